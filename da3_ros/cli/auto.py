"""`da3 auto`: finds out what its input is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.reporting import say
from da3_ros.cli.scene_options import SceneOptions, takes_scene_options

if TYPE_CHECKING:
    from da3_ros.cli.scene_sources import SceneSource


@takes_scene_options
def auto(
    input_path: Annotated[Path, typer.Argument(help='Image, video, folder, COLMAP dataset.')],
    options: SceneOptions,
    fps: float,
    keep_frames: bool,
    sparse_subdir: str,
    align_to_input_ext_scale: bool,
) -> None:
    """Depth, cameras and scene of whatever it is given."""
    from da3_ros.cli.scene_sources import detect
    from da3_ros.cli.single_scene import run_single_scene

    def make_source() -> SceneSource:
        kind, source = detect(
            input_path,
            fps=fps,
            sparse_subdir=sparse_subdir,
            align_to_input_ext_scale=align_to_input_ext_scale,
            keep_frames=keep_frames,
        )
        say(f'{input_path}: taken as for `da3 {kind}`')
        return source

    run_single_scene('auto', options, make_source)
