"""`da3 image`: one image to depth, cameras and files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from da3_ros.cli.scene_options import SceneOptions, takes_scene_options


@takes_scene_options
def image(
    image_path: Annotated[list[Path], typer.Argument(help='Any image file.')],
    options: SceneOptions,
) -> None:
    """Depth of one image, and its scene as files."""
    from da3_ros.cli.named_inputs import refuse_other_kinds
    from da3_ros.cli.scene_sources import ImageSource
    from da3_ros.cli.single_scene import run_single_scene

    if len(image_path) > 1:
        raise typer.BadParameter(
            f'expected one image, got {len(image_path)}: `da3 images` takes several as one scene, '
            'with --each every one as a scene of its own'
        )

    def make_source() -> ImageSource:
        refuse_other_kinds(image_path[0])
        return ImageSource(image_path[0])

    run_single_scene('image', options, make_source)
