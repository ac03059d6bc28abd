"""Memory that nobody needs any more, given back to the system."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
import ctypes
import os
from pathlib import Path

_MAPS = Path('/proc/self/maps')
_DONT_NEED = 4
"""MADV_DONTNEED of Linux: of a mapped file the pages are read again when they are needed."""


def forget_pages(file: Path) -> None:
    """Let the pages go that this process has read of a file mapped for reading.

    They count as its memory though the system could have them back at any time. Where that cannot
    be said, nothing changes.
    """
    name = os.fspath(file.resolve())
    _forget(lambda path, permissions: path == name and 'w' not in permissions)


def forget_code(folder: Path) -> None:
    """Let the code go that this process has read of the libraries in a folder.

    Most of it loads graphs, once. What runs is mapped again when it does.
    """
    # Only code: a library's constants may hold addresses that were entered when it was loaded.
    start = f'{folder.resolve()}{os.sep}'
    _forget(lambda path, permissions: path.startswith(start) and permissions == 'r-xp')


def trim_heap() -> None:
    """Give back what the C library keeps of freed memory, where it is one that can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _forget(is_meant: Callable[[str, str], bool]) -> None:
    """Let pages of mapped files go.

    Args:
        is_meant: says so of a path and permissions.
    """
    with suppress(OSError, AttributeError, ValueError):
        advise = ctypes.CDLL(None, use_errno=True).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for line in _MAPS.read_text(encoding='utf-8', errors='surrogateescape').splitlines():
            # first-last permissions offset device inode path
            places, permissions, *_ = fields = line.split(maxsplit=5)
            if is_meant(fields[-1], permissions):
                first, last = (int(place, 16) for place in places.split('-'))
                advise(first, last - first, _DONT_NEED)
