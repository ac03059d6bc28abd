"""Hashes of large files, remembered by path, size and times of change.

A start would otherwise read all weights once more only to know which they are.
"""

from __future__ import annotations

from contextlib import suppress
import json
import os
from pathlib import Path
import re
import time
from typing import Any

from da3_ros.inference.runtimes.engine_files import sha256_of
from da3_ros.plain_data import read_json

MAX_REMEMBERED = 256
MIN_BYTES = 1 << 20
"""Smaller files are hashed faster than anything is looked up."""

SETTLED_NS = 100_000_000
"""A file that has changed within this time may change again without another time of change: the
kernel's clock of files has steps of up to 10 ms."""

_SHA256 = re.compile(r'[0-9a-f]{64}')


class RememberedHashes:
    """Hashes of files, kept in a file of their own; what cannot be kept is computed again."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not be there, nor be writable."""
        self._path = path

    def of(self, file: Path) -> str:
        """Return the hash of a file.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no regular file.
        """
        file = file.resolve()
        status = file.stat()
        if status.st_size < MIN_BYTES:
            return sha256_of(file)
        # A user can set the time of change of the content, not that of the entry.
        mark = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._read()
        remembered = _sha256_in(known.get(str(file)), mark)
        if remembered:
            return remembered
        is_settled = time.time_ns() - status.st_ctime_ns > SETTLED_NS
        sha256 = sha256_of(file)
        if is_settled:
            self._write({**known, str(file): [*mark, sha256]})
        return sha256

    def _read(self) -> dict[str, Any]:
        try:
            content = read_json(self._path)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, known: dict[str, Any]) -> None:
        newest = dict(list(known.items())[-MAX_REMEMBERED:])
        scratch = self._path.with_name(f'{self._path.name}.{os.getpid()}')
        try:
            scratch.write_text(json.dumps(newest), encoding='utf-8')
            scratch.replace(self._path)
        except OSError:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)


def _sha256_in(entry: Any, mark: list[int]) -> str:
    """Return the hash in an entry of the same mark; empty where it is none."""
    if not isinstance(entry, list) or entry[:-1] != mark:
        return ''
    # It becomes the name of a folder.
    sha256 = entry[-1]
    return sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else ''
