"""Hashes of large files, remembered by path, size and time of change.

A start would otherwise read all weights once more only to know which they are.
"""

from __future__ import annotations

from contextlib import suppress
import json
import os
from pathlib import Path
from typing import Any

from da3_ros.inference.runtimes.engine_files import sha256_of
from da3_ros.plain_data import read_json

MAX_REMEMBERED = 256
MIN_BYTES = 1 << 20
"""Smaller files are hashed faster than anything is looked up."""


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
        mark = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._read()
        found = known.get(str(file))
        if isinstance(found, list) and found[:-1] == mark and isinstance(found[-1], str):
            return found[-1]
        sha256 = sha256_of(file)
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
        with suppress(OSError):
            scratch.write_text(json.dumps(newest), encoding='utf-8')
            scratch.replace(self._path)
