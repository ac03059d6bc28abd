"""Packages that are used where they are installed: absent, broken, there."""

from __future__ import annotations

from collections.abc import Iterator
import logging
from pathlib import Path
import sys

import pytest

from da3_ros.ros.optional import optional_module


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    optional_module.cache_clear()
    yield
    optional_module.cache_clear()


def package(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f'{name}.py').write_text(body)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_what_is_not_installed_is_passed_over_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert optional_module('da3_no_such_package') is None
        assert optional_module('da3_no_such_package.inner') is None
    assert caplog.text == ''


@pytest.mark.parametrize(
    'body', ['import da3_no_such_library', 'raise RuntimeError("built for another NumPy")']
)
def test_what_is_installed_and_broken_is_told_once(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package(tmp_path, 'da3_broken_package', body, monkeypatch)
    assert optional_module('da3_broken_package') is None
    assert optional_module('da3_broken_package') is None
    (record,) = caplog.records
    assert 'da3_broken_package is installed and cannot be loaded' in record.getMessage()


def test_what_is_installed_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, 'da3_good_package', 'answer = 42', monkeypatch)
    found = optional_module('da3_good_package')
    assert found is not None
    assert found.answer == 42
