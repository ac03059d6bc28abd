"""`da3 images`: images of one scene, folders of images, or each image a scene of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.scene_options import SceneOptions, takes_scene_options

if TYPE_CHECKING:
    from da3_ros.cli.scene_sources import SceneSource


@takes_scene_options
def images(
    images_path: Annotated[
        list[Path],
        typer.Argument(
            metavar='IMAGES',
            help='Images of one scene, or its folder; several folders for several scenes.',
        ),
    ],
    options: SceneOptions,
    image_extensions: str,
    each: bool,
    resume: bool,
) -> None:
    """Depth, cameras and scene of images, or of a folder of them.

    Several images, or a pattern such as 'photos/*.jpg', are one scene. Several folders become
    several scenes, EXPORT_DIR/FOLDER/; with --each every image becomes one. The model is loaded
    once, a scene that fails is reported and the others go on; the exit status is then 1.
    """
    from da3_ros.cli.named_inputs import FilesSource, named_inputs, one_scene
    from da3_ros.cli.reporting import errors_as_json
    from da3_ros.cli.scene_sources import FolderSource
    from da3_ros.cli.single_scene import run_single_scene
    from da3_ros.sources.images import parse_suffixes

    with errors_as_json('images', wanted=options.results.as_json):
        inputs = named_inputs(images_path)
        are_files = not each and one_scene(inputs)
        is_batch = each or len(inputs.folders) > 1
        if resume and not is_batch:
            raise typer.BadParameter('--resume: expected --each or several folders, got one scene')
    if is_batch:
        from da3_ros.cli.batch import run_batch

        run_batch(options, inputs, image_extensions, each=each, resume=resume)
        return

    def make_source() -> SceneSource:
        if are_files:
            return FilesSource(inputs)
        return FolderSource(inputs.folders[0], parse_suffixes(image_extensions))

    run_single_scene('images', options, make_source)
