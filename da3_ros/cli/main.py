"""The `da3` command: registers the subcommands and turns known errors into one line."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from da3_ros import __version__
from da3_ros.cli import bag_from_video, demo, models, play, record, synthesize
from da3_ros.errors import Da3Error

app = typer.Typer(
    name='da3',
    help='Depth Anything 3 for ROS 2: recordings in, geometry out.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={'help_option_names': ['-h', '--help']},
)

# One line for each command; the modules are light, what they need they import when called.
app.command('play')(play.play)
app.command('record')(record.record)
app.command('bag-from-video')(bag_from_video.bag_from_video)
app.command('synthesize')(synthesize.synthesize)
app.command('demo')(demo.demo)
app.command('models')(models.models)

EXIT_KNOWN_ERROR = 1
EXIT_INTERRUPTED = 130


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
    verbose: Annotated[
        bool, typer.Option('--verbose', '-v', help='Print what happens in between, too.')
    ] = False,
) -> None:
    """Depth Anything 3 for ROS 2: recordings in, geometry out."""
    # The version's callback has done its work before this body runs.
    del version
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format='%(levelname)s: %(message)s'
    )


def run() -> None:
    """Run the command line; known errors become one line, others keep their trace.

    Exit status: 0 done, 1 a known error, 2 wrong usage, 130 interrupted.
    """
    try:
        app(prog_name='da3')
    except Da3Error as error:
        print(f'da3: {error}', file=sys.stderr)
        sys.exit(EXIT_KNOWN_ERROR)
    except KeyboardInterrupt:
        print('da3: interrupted', file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


if __name__ == '__main__':
    run()
