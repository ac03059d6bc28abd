"""`da3 auto`: finds out what its input is."""

from __future__ import annotations

from pathlib import Path
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.reporting import say
from da3_ros.cli.scene_options import SceneOptions, takes_scene_options

if TYPE_CHECKING:
    from da3_ros.cli.named_inputs import NamedInputs
    from da3_ros.cli.scene_sources import SceneSource


@takes_scene_options
def auto(
    input_path: Annotated[
        list[Path],
        typer.Argument(
            metavar='INPUT', help='Image, video, folder, COLMAP dataset; or images of one scene.'
        ),
    ],
    options: SceneOptions,
    fps: float,
    keep_frames: bool,
    sparse_subdir: str,
    align_to_input_ext_scale: bool,
) -> None:
    """Depth, cameras and scene of whatever it is given."""
    from da3_ros.cli.named_inputs import FilesSource, named_inputs
    from da3_ros.cli.scene_sources import detect
    from da3_ros.cli.single_scene import run_single_scene

    def make_source() -> SceneSource:
        inputs = named_inputs(input_path)
        if len(inputs.everything) > 1:
            _check_images(inputs)
            say(f'{len(inputs.files)} images: taken as for `da3 images`')
            return FilesSource(inputs)
        (path,) = inputs.everything
        kind, source = detect(
            path,
            fps=fps,
            sparse_subdir=sparse_subdir,
            align_to_input_ext_scale=align_to_input_ext_scale,
            keep_frames=keep_frames,
        )
        say(f'{path}: taken as for `da3 {kind}`')
        return source

    run_single_scene('auto', options, make_source)


def _check_images(inputs: NamedInputs) -> None:
    """Refuse several inputs that are not images of one scene.

    Raises:
        BadParameter: there are folders, or videos, among them.
    """
    from da3_ros.sources.images import IMAGE_SUFFIXES

    if inputs.folders:
        folders = shlex.join(map(str, inputs.folders))
        raise typer.BadParameter(
            'expected one input, or several images of one scene; several folders are several '
            f'scenes: da3 images {folders}'
        )
    others = [path for path in inputs.files if path.suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        raise typer.BadParameter(
            f'expected one input, or several images of one scene; {others[0]} is no image, so '
            'that it is a scene of its own'
        )
