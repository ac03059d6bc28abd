"""`da3 colmap`: images with the cameras that COLMAP found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from da3_ros.cli.scene_options import SceneOptions, takes_scene_options


@takes_scene_options
def colmap(
    colmap_dir: Annotated[Path, typer.Argument(help='Folder with images/ and sparse/.')],
    options: SceneOptions,
    sparse_subdir: str,
    align_to_input_ext_scale: bool,
) -> None:
    """Depth of a COLMAP dataset, with its cameras; distorted images are rectified."""
    from da3_ros.cli.colmap_source import ColmapSource
    from da3_ros.cli.single_scene import run_single_scene

    run_single_scene(
        'colmap',
        options,
        lambda: ColmapSource(
            colmap_dir, sparse_subdir, align_to_input_ext_scale=align_to_input_ext_scale
        ),
    )
