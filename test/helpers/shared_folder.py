"""A folder that the workers of one test session make once and share."""

from collections.abc import Callable
import fcntl
import os
from pathlib import Path

import pytest


def shared_folder(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return a folder to read from, made by the first worker that wants it.

    Whoever comes meanwhile waits; what a maker that failed has left is never used.

    Args:
        factory: that of the session; workers of pytest-xdist have folders beside each other.
        name: of the folder, one for each content.
        make: gets a path that does not exist yet and makes the folder there.
    """
    base = factory.getbasetemp()
    root = base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base
    folder = root / name
    with (root / f'{name}.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = factory.mktemp(name) / 'unfinished'
            make(unfinished)
            unfinished.rename(folder)
    return folder
