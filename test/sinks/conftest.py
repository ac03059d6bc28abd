"""Bags that are made in steps: one that was never interrupted."""

import os

import pytest

from helpers.stepwise_bag import make


@pytest.fixture(name='idle_disk')
def idle_disk_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between processes it does not matter, and a disk that others use takes seconds."""
    monkeypatch.setattr(os, 'fsync', lambda descriptor: None)


@pytest.fixture(scope='module', name='whole')
def whole_fixture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make(tmp_path_factory.mktemp('whole') / 'bag.mcap').read_bytes()
