"""`da3 export`: saved results into other formats, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import time
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.export_folder import (
    check_export_dir,
    earlier_results,
    recorded_results,
    remove_earlier,
)
from da3_ros.cli.process import unwind_on_terminate
from da3_ros.cli.reporting import Report, in_words, reporting, show_files
from da3_ros.cli.table_options import takes_options
from da3_ros.errors import ExportError, SourceError
from da3_ros.foreign import plain_path
from da3_ros.options.choices import ResizeMethod
from da3_ros.options.export import ContentOptions
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.export.registry import ExportReport
    from da3_ros.sources.results import SavedResults

_PLACES = (
    'results.npz', 'exports/npz/results.npz', 'exports/mini_npz/results.npz', 'predictions.npz',
)  # fmt: skip
_WITHOUT_IMAGES = ('glb', 'ply', 'mini_npz', 'depth_png', 'depth_image', 'tum', 'kitti')
"""Formats that say something without the colours of the images."""


@takes_options(Entrance.EXPORT, required=('export_dir',))
def export(
    results: Annotated[Path, typer.Argument(help='A results.npz, or the folder of an export.')],
    export_dir: Path,
    export_format: str,
    process_res_method: ResizeMethod,
    content: ContentOptions,
    show_cameras: bool,
    overwrite: bool,
    auto_cleanup: bool,
    as_json: bool,
    images: Annotated[
        Path | None,
        typer.Option(help='The images, for files without them (mini_npz): their folder.'),
    ] = None,
) -> None:
    """Write saved results in other formats: ours, or those of the official tool."""
    with reporting('export', as_json=as_json) as report, unwind_on_terminate():
        from da3_ros.export.registry import export_scene, parse_formats
        from da3_ros.inference.prediction_export import export_options, warn_of_assumptions

        formats = parse_formats(export_format)
        path = find_results(results)
        inputs = (path, *((images,) if images else ()))
        check_export_dir(
            export_dir, inputs, overwrite=overwrite, auto_cleanup=auto_cleanup, formats=formats
        )
        saved = _read(path, images, process_res_method)
        _check_images(saved, formats)
        warn_of_assumptions(saved.scene, formats)
        options = export_options(
            conf_thresh_percentile=content.conf_thresh_percentile,
            num_max_points=content.num_max_points,
            show_cameras=show_cameras,
        )
        if not saved.has_images:
            # Pictures beside it would show grey.
            options = replace(options, glb=replace(options.glb, export_depth_vis=False))
        earlier = earlier_results(export_dir) if auto_cleanup else ()
        began = time.perf_counter()
        with recorded_results(export_dir):
            written = export_scene(
                saved.scene,
                export_format,
                export_dir,
                overwrite=overwrite or auto_cleanup,
                options=options,
            )
        if auto_cleanup:
            remove_earlier(export_dir, earlier)
        _tell(report, path, saved, written, export_dir, time.perf_counter() - began)


def _read(path: Path, images: Path | None, method: str) -> SavedResults:
    from da3_ros.sources.results import read_results

    saved = read_results(path)
    return saved if images is None else _with_images(saved, images, method)


def _tell(
    report: Report,
    path: Path,
    saved: SavedResults,
    written: ExportReport,
    export_dir: Path,
    seconds: float,
) -> None:
    names = [file.relative_to(export_dir.resolve()).as_posix() for file in written.files]
    report.content = {
        'source': str(path),
        'views': written.views,
        'is_metric': saved.scene.is_metric,
        'export_dir': str(export_dir),
        'files': names,
        'points': written.points,
        'has_images': saved.has_images,
        'seconds': {'export': seconds},
    }

    plural = '' if written.views == 1 else 's'

    def show() -> None:
        print(f'{written.views} view{plural} of {plain_path(path)}; export {in_words(seconds)}')
        if not saved.has_images:
            print('note: the file holds no images, points are grey; --images names them')
        show_files(export_dir, names)

    report.print_summary = show


def find_results(path: Path) -> Path:
    """Return the file of saved results that a path means.

    Raises:
        SourceError: there is none.
    """
    if not path.is_dir():
        return path
    for place in _PLACES:
        if (path / place).is_file():
            return path / place
    from da3_ros.cli.describe_scene import scenes_of_batch

    scenes = scenes_of_batch(path)
    if scenes:
        raise SourceError(
            f'{path}: expected saved results of one scene, it holds {len(scenes)} scenes: name '
            f'one, such as {scenes[0]}'
        )
    raise SourceError(
        f'{path}: expected saved results in it ({", ".join(_PLACES)}), found none; the commands '
        'for images and videos save them with --export-format npz or mini_npz'
    )


def _check_images(saved: SavedResults, formats: Sequence[str]) -> None:
    needing = [name for name in formats if name not in _WITHOUT_IMAGES]
    if needing and not saved.has_images:
        raise ExportError(
            f'{", ".join(needing)}: the results hold no images (mini_npz); name their folder with '
            '--images'
        )


def _with_images(saved: SavedResults, folder: Path, method: str) -> SavedResults:
    """Give the views the images of a folder, in the order of their names."""
    from da3_ros.inference.preprocess import preprocess
    from da3_ros.sources.images import list_images

    views = saved.scene.views
    paths = list_images(folder)
    if len(paths) != len(views):
        raise SourceError(f'{folder}: expected {len(views)} images, there are {len(paths)}')
    height, width = views[0].depth.shape
    pick = max if method.startswith('upper') else min
    processed = preprocess([str(path) for path in paths], pick(height, width), method).images
    if {view.depth.shape for view in views} != {processed.shape[1:3]}:
        raise SourceError(
            f'{folder}: the images become {processed.shape[1:3]}, depth is {(height, width)}; '
            'another --process-res-method?'
        )
    changed = tuple(
        replace(view, image=image) for view, image in zip(views, processed, strict=True)
    )
    return replace(saved, scene=replace(saved.scene, views=changed), has_images=True)
