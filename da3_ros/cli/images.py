"""`da3 images`: folders of images, each one scene, or each image a scene of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from da3_ros.cli.scene_options import SceneOptions, takes_scene_options


@takes_scene_options
def images(
    images_dir: Annotated[
        list[Path], typer.Argument(help='Folder of images of one scene; several for several.')
    ],
    options: SceneOptions,
    image_extensions: str,
    each: bool,
    resume: bool,
) -> None:
    """Depth, cameras and scene of a folder of images.

    Several folders become several scenes, EXPORT_DIR/FOLDER/; with --each every image becomes
    one. The model is loaded once, a scene that fails is reported and the others go on; the exit
    status is then 1.
    """
    from da3_ros.cli.scene_sources import FolderSource
    from da3_ros.cli.single_scene import run_single_scene
    from da3_ros.sources.images import parse_suffixes

    if each or len(images_dir) > 1:
        from da3_ros.cli.batch import run_batch

        run_batch(options, images_dir, image_extensions, each=each, resume=resume)
        return
    if resume:
        raise typer.BadParameter('--resume: expected --each or several folders, got one scene')
    run_single_scene(
        'images', options, lambda: FolderSource(images_dir[0], parse_suffixes(image_extensions))
    )
