"""The unfinished results of `da3 stream`: a hidden folder in that of the results.

It is locked as long as its process lives and bears the marker of `export.staging`. What a killed
run left in it is what the next one goes on from, if that asks for the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import crc32

from da3_ros.errors import ExportError
from da3_ros.export.staging import (
    abandoned_folders,
    locked_folder,
    make_folder,
    remove_staging,
)
from da3_ros.foreign import read_bounded
from da3_ros.plain_data import PlainDataError, json_of
from da3_ros.sinks.run_settings import changed_settings

PART_PREFIX = '.unfinished-da3_stream-'
"""Of the name of the folder."""

_SETTINGS, _STATE = 'settings.json', 'state.json'
_MOST_BYTES = 64 * 2**20


class StreamPart:
    """The folder of one run, and what an earlier one has committed in it.

    Args:
        directory: of the results; made when missing.
        settings: everything that decides about the content of the files, as text by name.
        restart: whether what an interrupted run left is thrown away.

    Raises:
        ExportError: another process writes there, or an interrupted run had other settings.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str], *, restart: bool) -> None:
        self._held = ExitStack()
        self._undo = ExitStack()
        self.committed: dict[str, Any] | None = None
        """State of the last commit of an interrupted run; None at a beginning."""
        try:
            make_folder(directory, self._undo)
            self.path = self._open(directory, settings, restart=restart)
        except OSError as error:
            self._held.close()
            raise ExportError(
                f'{directory}: cannot be written: {error.strerror or error}'
            ) from error
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> StreamPart:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go; what nothing was committed of is removed."""
        if self.committed is None:
            remove_staging(self.path)
            self._undo.close()
        self._held.close()

    def commit(self, state: dict[str, Any]) -> None:
        """Record what a later run goes on from; whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        _write(self.path / _STATE, state)
        self.committed = state

    def remove(self) -> None:
        """Remove the folder: the results are in their place."""
        # First: nobody can go on from half a folder.
        (self.path / _STATE).unlink(missing_ok=True)
        remove_staging(self.path)
        self.committed = None
        self._undo.pop_all()

    def _open(self, directory: Path, settings: Mapping[str, str], *, restart: bool) -> Path:
        found = self._held.enter_context(abandoned_folders(directory, PART_PREFIX))
        living = set(directory.glob(f'{PART_PREFIX}*')) - set(found)
        if living:
            raise ExportError(
                f'{directory}: another da3 stream is writing there; wait for it, or name another '
                'folder with --export-dir'
            )
        for index, folder in enumerate(found):
            state = None if restart or index else _read(folder / _STATE)
            if state is None:
                remove_staging(folder)
                continue
            _check_settings(directory, _read(folder / _SETTINGS), settings)
            self.committed = state
            return folder
        folder, lock = locked_folder(directory, PART_PREFIX)
        self._held.callback(os.close, lock)
        _write(folder / _SETTINGS, dict(settings))
        return folder


def _check_settings(
    directory: Path, before: dict[str, Any] | None, settings: Mapping[str, str]
) -> None:
    """Refuse to go on with other settings.

    Raises:
        ExportError: names those that differ.
    """
    different = changed_settings(before or {}, settings)
    if different:
        raise ExportError(
            f'{directory}: an interrupted run can only go on as it began: {different}. '
            '--restart begins anew, --export-dir names another folder'
        )


def _read(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, None where there is none or it is damaged, if only by a digit."""
    with suppress(OSError, ValueError, PlainDataError):
        text, _, crc = read_bounded(path, _MOST_BYTES).decode('utf-8').rpartition('\n')
        if crc == _crc(text):
            content = json_of(text, _MOST_BYTES)
            return content if isinstance(content, dict) else None
    return None


def _crc(text: str) -> str:
    return f'{crc32(text.encode()):08x}'


def _write(path: Path, content: dict[str, Any]) -> None:
    new, text = path.with_suffix('.new'), json.dumps(content)
    with new.open('w', encoding='utf-8') as file:
        file.write(f'{text}\n{_crc(text)}')
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
