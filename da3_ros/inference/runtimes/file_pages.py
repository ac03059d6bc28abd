"""Memory that only mirrors a file, given back to the system."""

from __future__ import annotations

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
    with suppress(OSError, AttributeError, ValueError):
        advise = ctypes.CDLL(None, use_errno=True).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for line in _MAPS.read_text(encoding='utf-8', errors='surrogateescape').splitlines():
            # first-last permissions offset device inode path
            places, permissions, *_ = fields = line.split(maxsplit=5)
            if fields[-1] == name and 'w' not in permissions:
                first, last = (int(place, 16) for place in places.split('-'))
                advise(first, last - first, _DONT_NEED)
