"""Where the results of `da3 eval` go beside the terminal: one JSON file, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
import json
import math
from pathlib import Path
from typing import Any

from da3_ros.errors import ExportError
from da3_ros.export.files import check_target, staged

Picture = Callable[[Path], None]
"""Writes a PNG to a path."""

_INSTALL = (
    "pictures need matplotlib, which is not installed: pip install matplotlib, or '.[plots]' from "
    'a clone; the figures need nothing'
)


class Output:
    """Files that a command was asked for; checked before anything is computed.

    Args:
        command: in words, for the file.
        json_file: gets the JSON object; None for none.
        plots: folder of the pictures; None for none.
        overwrite: whether files of the same names may be replaced.

    Raises:
        ExportError: the JSON file is there already, or matplotlib is missing.
    """

    def __init__(
        self, command: str, json_file: Path | None, plots: Path | None, *, overwrite: bool
    ) -> None:
        self._command, self._json_file, self._plots = command, json_file, plots
        self._overwrite = overwrite
        self.written: list[Path] = []
        """Files, once they are there."""
        if plots is not None and find_spec('matplotlib') is None:
            raise ExportError(_INSTALL)
        if json_file is not None:
            check_target(json_file.parent, [json_file.name], overwrite=overwrite)

    def write(self, content: Mapping[str, Any], pictures: Mapping[str, Picture]) -> None:
        """Write what was asked for.

        Args:
            content: of the JSON file.
            pictures: file name to what draws it.

        Raises:
            ExportError: a file is in the way, or the disk refuses.
        """
        if self._plots is not None and pictures:
            names = [*pictures]
            with staged(self._plots, names, overwrite=self._overwrite) as folder:
                for name, draw in pictures.items():
                    draw(folder / name)
            self.written += [self._plots / name for name in names]
        if self._json_file is not None:
            target = self._json_file
            with staged(target.parent, [target.name], overwrite=self._overwrite) as folder:
                whole = plain({'command': self._command, **content})
                text = json.dumps(whole, indent=2, allow_nan=False)
                (folder / target.name).write_text(text + '\n', encoding='utf-8')
            self.written.append(target)


def plain(value: Any) -> Any:
    """Return a value as JSON can say it: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
