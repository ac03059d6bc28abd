"""Every snippet of the official documentation, in our names: 52 rows, each with what is right.

Rows 1 to 18 are of the API page, 19 to 29 of a reproduction guide, 30 to 39 of the architecture
guide and the readme, 40 to 51 of a widely read article. They stand in `helpers.official_api`,
`official_commands` and `official_guides`; `official_places` has the models, which are those of the
hub in everything but their width and weights.
"""

from __future__ import annotations

from collections.abc import Iterator
import logging
from pathlib import Path
import re

import pytest

from helpers import official_places
from helpers.official_places import ROOT, ROWS, Place

pytest.register_assert_rewrite(
    'helpers.official_api', 'helpers.official_commands', 'helpers.official_guides'
)

from helpers import official_api, official_commands, official_guides  # noqa: E402

PAGE = ROOT / 'docs' / 'upstream.md'
MODULES = (official_api, official_commands, official_guides)


@pytest.fixture(scope='module', autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with official_places.hub_cache(tmp_path_factory.mktemp('hub')) as folder:
        yield folder


@pytest.fixture
def place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    official_places.write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    return Place(tmp_path, monkeypatch, caplog, capsys)


@pytest.mark.parametrize('number', range(52))
def test_row_of_the_official_documentation(number: int, place: Place) -> None:
    ROWS[number](place)


def test_there_are_no_other_rows() -> None:
    assert sorted(ROWS) == list(range(52))
    assert {check.__module__ for check in ROWS.values()} == {m.__name__ for m in MODULES}


@pytest.mark.slow
def test_the_real_giant_of_row_6(place: Place) -> None:
    official_api.random_giant_of(place, trj_mode='original')


def blocks() -> list[str]:
    """Return the Python blocks of the page; they follow one another."""
    return re.findall(r'^```python\n(.*?)^```$', PAGE.read_text(encoding='utf-8'), re.M | re.S)


@pytest.mark.parametrize('index', range(len(blocks())))
def test_blocks_of_the_page_run(index: int, place: Place) -> None:
    official_guides.run_block(blocks()[index], place)
