"""The formats by name, and the one call that writes a scene in several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from da3_ros.errors import ExportCancelledError, ExportError
from da3_ros.export.files import check_target, staged
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.options.export import RESULTS

FORMATS: tuple[str, ...] = (
    'npz', 'mini_npz', 'glb', 'ply', 'depth_png', 'depth_image', 'depth_vis', 'colmap', 'tum',
    'kitti', 'feat_vis', 'gs_ply', 'gs_video',
)  # fmt: skip
"""Names that may be joined by '-'; each is the module of the same name."""

GAUSSIAN_FORMATS: tuple[str, ...] = ('gs_ply', 'gs_video')
"""Those that need Gaussians."""

FORMAT_ALIASES: dict[str, str] = {'3dgs_video': 'gs_video'}
"""Other names of formats, which are accepted wherever a format is named."""

_GAUSSIANS = frozenset(GAUSSIAN_FORMATS)

DEFAULT_OPTIONS = ExportOptions()


class Exporter(Protocol):
    """A format: a module with these three names."""

    OWNED: tuple[str, ...]
    """Globs of files that an export of this format may have left in the folder and that a reader
    would take for part of the next one, beyond those that it writes anyway."""

    def file_names(self, scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
        """Return the files that `write` will write, relative to the export folder."""
        ...

    def write(
        self,
        scene: ExportScene,
        folder: Path,
        options: ExportOptions,
        progress: Callable[[float], None],
    ) -> int:
        """Write the files and return the number of points in them, 0 when it has none.

        Args:
            scene: what to write; not changed.
            folder: the export folder; the folders of all files in it exist.
            options: of all formats.
            progress: to be called with the share done in 0..1; raises to stop the export.
        """
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
    """Return the distinct formats that a '-'-joined name asks for, aliases by their own names.

    Raises:
        ExportError: none, or one that does not exist.
    """
    parts = [FORMAT_ALIASES.get(part, part) for part in text.split('-') if part]
    names = tuple(dict.fromkeys(parts))
    unknown = [name for name in names if name not in FORMATS]
    if not names or unknown:
        raise ExportError(
            f'format {text!r}: expected one or more of {", ".join(FORMATS)} joined by "-"'
        )
    return names


def exporter(name: str) -> Exporter:
    """Return the format of a name out of `FORMATS`, importing its library now."""
    return cast(Exporter, import_module(f'da3_ros.export.{name}'))


def export_scene(
    scene: ExportScene,
    formats: str,
    directory: Path,
    *,
    overwrite: bool = RESULTS.overwrite,
    options: ExportOptions = DEFAULT_OPTIONS,
    add_gaussians: Callable[[ExportScene], ExportScene] | None = None,
    progress: Callable[[float, str], None] = lambda fraction, stage: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ExportReport:
    """Write a scene into a folder; all files appear together, or none.

    Args:
        scene: what to write; not changed.
        formats: names joined by '-', e.g. 'npz-glb'.
        directory: the folder of the files; made when missing.
        overwrite: whether files of an earlier export of these formats may be replaced.
        options: choices of the formats.
        add_gaussians: makes, from a scene that has none, the scene that formats of Gaussians
            write; called only for them.
        progress: called with the share done in 0..1 and the format being written.
        cancelled: asked between steps; when it says True, nothing is left behind.

    Raises:
        ExportError: unknown format, empty scene, a view whose image, depth and intrinsics are
            of different size, file in the way, folder not writable.
        ExportCancelledError: `cancelled` said so.
    """
    names = parse_formats(formats)
    if not scene.views:
        raise ExportError('the scene has no views yet; export after the first window')
    _check_sizes(scene)
    exporters = [exporter(name) for name in names]
    own = [options.of(name) for name in names]
    scenes = [scene] * len(names)
    if add_gaussians is not None and scene.gaussians is None and set(names) & _GAUSSIANS:
        with_gaussians = add_gaussians(scene)
        scenes = [with_gaussians if name in _GAUSSIANS else scene for name in names]
    files = _file_names(exporters, scenes, own)
    owned = [glob for e in exporters for glob in e.OWNED]
    points = 0
    with staged(directory, files, overwrite=overwrite, owned=owned) as staging:
        for folder in {(staging / file).parent for file in files}:
            folder.mkdir(parents=True, exist_ok=True)
        for index, (name, writer) in enumerate(zip(names, exporters, strict=True)):

            def step(share: float, index: int = index, name: str = name) -> None:
                if cancelled():
                    raise ExportCancelledError(f'export to {directory} was cancelled at {name}')
                progress((index + share) / len(names), name)

            step(0.0)
            points = max(points, writer.write(scenes[index], staging, own[index], step))
    root = directory.resolve()
    return ExportReport(tuple(root / file for file in files), len(scene.views), points)


def check_export(
    scene: ExportScene,
    formats: Sequence[str],
    directory: Path,
    *,
    overwrite: bool,
    options: ExportOptions,
    inputs: Sequence[Path] = (),
) -> None:
    """Refuse a folder that `export_scene` could not write now; nothing is written.

    Args:
        scene: one that has the files of that which will be written.
        formats: names out of `FORMATS`.
        directory: as of `export_scene`, like the other two.
        overwrite: see there.
        options: see there.
        inputs: files that the scene is made of; none of them may be replaced.

    Raises:
        ExportError: a file in the way, an input among the files, or a folder that cannot be
            written.
    """
    exporters = [exporter(name) for name in formats]
    own = [options.of(name) for name in formats]
    files = _file_names(exporters, [scene] * len(own), own)
    owned = [glob for e in exporters for glob in e.OWNED]
    kept = {path.resolve() for path in inputs}
    lost = [name for name in files if (directory / name).resolve() in kept]
    if lost:
        raise ExportError(
            f'{directory / lost[0]}: is an input and would be replaced; export to another folder'
        )
    check_target(directory, files, overwrite=overwrite, owned=owned)


def _file_names(
    exporters: Sequence[Exporter], scenes: Sequence[ExportScene], options: Sequence[ExportOptions]
) -> list[str]:
    named = [e.file_names(s, o) for e, s, o in zip(exporters, scenes, options, strict=True)]
    return list(dict.fromkeys(file for names_of_one in named for file in names_of_one))


def _check_sizes(scene: ExportScene) -> None:
    for view in scene.views:
        size = (view.camera.size.height, view.camera.size.width)
        if not size == view.depth.shape == view.image.shape[:2]:
            raise ExportError(
                f'camera {view.id.camera} at {view.id.stamp_ns}: expected one size, got '
                f'depth {view.depth.shape}, image {view.image.shape[:2]}, intrinsics {size}'
            )
