"""The `da3` command: registers the subcommands and turns known errors into one line."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from da3_ros import __version__
from da3_ros.cli import verbosity
from da3_ros.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED
from da3_ros.cli.lazy_group import LazyCommand, LazyGroup
from da3_ros.cli.reporting import KNOWN_ERRORS, one_line

_CONTEXT = {'help_option_names': ['-h', '--help']}
_IMAGES, _ROS = 'Images to scenes', 'Recordings and ROS 2'
_NETWORKS, _ABOUT = 'Networks without torch', 'What is here'
_RESULTS = 'Results'

COMMANDS: dict[str, LazyCommand] = {
    'auto': LazyCommand(
        'auto:auto', _IMAGES, 'Depth, cameras and scene of whatever it is given.', True
    ),
    'image': LazyCommand(
        'image:image', _IMAGES, 'Depth of one image, and its scene as files.', True
    ),
    'images': LazyCommand(
        'images:images',
        _IMAGES,
        'Depth, cameras and scene of images, or of a folder of them.',
        True,
    ),
    'video': LazyCommand(
        'video:video', _IMAGES, "Depth and cameras of a video's frames, as one scene.", True
    ),
    'colmap': LazyCommand(
        'colmap:colmap',
        _IMAGES,
        'Depth of a COLMAP dataset, with its cameras; distorted images are rectified.',
        True,
    ),
    'stream': LazyCommand(
        'stream:stream',
        _IMAGES,
        'Depth and cameras of a video or of images of any length, in windows of bounded memory.',
    ),
    'export': LazyCommand(
        'export:export',
        _IMAGES,
        'Write saved results in other formats: ours, or those of the official tool.',
    ),
    'bag': LazyCommand(
        'bag:bag',
        _ROS,
        'Depth, poses and clouds of recordings, as the node gives them: every set once.',
    ),
    'play': LazyCommand(
        'play:play', _ROS, 'Publish the messages of a bag at their recorded pace.'
    ),
    'record': LazyCommand(
        'record:record',
        _ROS,
        'Write topics to a bag until Ctrl-C or a limit; the bag is complete then.',
    ),
    'cloud': LazyCommand(
        'cloud:cloud',
        _ROS,
        'Fuse the point clouds of a recording to one cloud, a mean point for every voxel.',
    ),
    'bag-from-video': LazyCommand(
        'bag_from_video:bag_from_video',
        _ROS,
        'Turn a video into a ROS 2 bag of /CAMERA/image_raw, ready for `da3 play`.',
    ),
    'synthesize': LazyCommand(
        'synthesize:synthesize',
        _ROS,
        'Render a drive through a furnished room to a ROS 2 bag, with exact poses and depth.',
    ),
    'demo': LazyCommand(
        'demo:demo',
        _ROS,
        'Play a recording into the node, export the scene, and draw what came out.',
    ),
    'eval': LazyCommand(
        'eval:app', _RESULTS, 'How far trajectories and depth are from the truth.'
    ),
    'compile': LazyCommand(
        'compile:compile_engines',
        _NETWORKS,
        'Build what runtimes other than torch compute, ahead of the first use.',
    ),
    'export-onnx': LazyCommand(
        'export_onnx:export_onnx',
        _NETWORKS,
        'Write the stages of a network as ONNX graphs, for other programs.',
    ),
    'info': LazyCommand(
        'info:info',
        _ABOUT,
        'Tell what something is: sizes, rates, topics, tensors, cameras, depth.',
    ),
    'models': LazyCommand(
        'models:models',
        _ABOUT,
        'List the networks: size, capabilities, licence, repository, whether they are here.',
    ),
    'doctor': LazyCommand(
        'doctor:doctor',
        _ABOUT,
        'Check Python, packages, GPU, weights, disks, ROS 2 and its transport, with advice.',
    ),
}
"""One entry for each command; what it needs is imported when it is called."""


class Commands(LazyGroup):
    """The commands of `da3`."""

    commands_by_name = COMMANDS
    context_settings_of_commands = _CONTEXT

    def unlisted_command(self, name: str) -> Any:
        """Return the answer to a command of the official tool that is not here; else None."""
        from da3_ros.cli.later import command_instead

        return command_instead(name)


app = typer.Typer(
    name='da3',
    cls=Commands,
    help='Depth Anything 3 for ROS 2: images, videos and recordings in, geometry out.',
    epilog='Exit status: 0 done, 1 an error or a failed part, 2 wrong usage, 130 interrupted.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f'da3_ros {__version__}')
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            '--version', help='Print the version and exit.', callback=_show_version, is_eager=True
        ),
    ] = False,
    verbose: verbosity.Verbose = False,
    quiet: verbosity.Quiet = False,
) -> None:
    """Depth Anything 3 for ROS 2: images, videos and recordings in, geometry out."""
    # The version's callback has done its work before this body runs.
    del version
    verbosity.begin(verbose=verbose, quiet=quiet)


def run() -> None:
    """Run the command line; known errors become one line, others keep their trace.

    Exit status: 0 done, 1 a known error, 2 wrong usage, 130 interrupted (143 terminated).
    """
    try:
        app(prog_name='da3')
    except KNOWN_ERRORS as error:
        print(f'da3: {one_line(error)}', file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        print('da3: interrupted', file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as end:
        # Typer ends silently.
        if end.code == EXIT_INTERRUPTED:
            print('da3: interrupted', file=sys.stderr)
        raise
