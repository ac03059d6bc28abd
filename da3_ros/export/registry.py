"""The formats by name, and the one call that writes a scene in several of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from da3_ros.errors import ExportCancelledError, ExportError
from da3_ros.export.files import staged
from da3_ros.export.scene import ExportScene

FORMATS: tuple[str, ...] = ('npz', 'glb')
"""Names that may be joined by '-'; each is the module of the same name."""


class Exporter(Protocol):
    """A format: a module with these two names."""

    FILE_NAME: str
    """The file it writes, relative to the export folder."""

    def write(self, scene: ExportScene, path: Path, progress: Callable[[float], None]) -> int:
        """Write the scene to `path` and return the number of points written."""
        ...


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote."""

    files: tuple[Path, ...]
    """Absolute paths, in the order of the formats."""
    views: int
    points: int
    """Most points that any of the formats wrote."""


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the distinct formats that a '-'-joined name asks for.

    Raises:
        ExportError: none, or one that does not exist.
    """
    names = tuple(dict.fromkeys(part for part in text.split('-') if part))
    unknown = [name for name in names if name not in FORMATS]
    if not names or unknown:
        raise ExportError(
            f'format {text!r}: expected one or more of {", ".join(FORMATS)} joined by "-"'
        )
    return names


def export_scene(
    scene: ExportScene,
    formats: str,
    directory: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[float, str], None] = lambda fraction, stage: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ExportReport:
    """Write a scene into a folder; all files appear together, or none.

    Args:
        scene: what to write; not changed.
        formats: names joined by '-', e.g. 'npz-glb'.
        directory: the folder of the files; made when missing.
        overwrite: whether existing files of these names may be replaced.
        progress: called with the share done in 0..1 and the format being written.
        cancelled: asked between steps; when it says True, nothing is left behind.

    Raises:
        ExportError: unknown format, empty scene, file in the way, folder not writable.
        ExportCancelledError: `cancelled` said so.
    """
    names = parse_formats(formats)
    if not scene.views:
        raise ExportError('the scene has no views yet; export after the first window')
    exporters = [cast(Exporter, import_module(f'da3_ros.export.{name}')) for name in names]
    points = 0
    with staged(directory, [e.FILE_NAME for e in exporters], overwrite=overwrite) as staging:
        for index, (name, exporter) in enumerate(zip(names, exporters, strict=True)):

            def step(share: float, index: int = index, name: str = name) -> None:
                if cancelled():
                    raise ExportCancelledError(f'export to {directory} was cancelled at {name}')
                progress((index + share) / len(names), name)

            step(0.0)
            points = max(points, exporter.write(scene, staging / exporter.FILE_NAME, step))
    files = tuple((directory / e.FILE_NAME).resolve() for e in exporters)
    return ExportReport(files=files, views=len(scene.views), points=points)
