"""Entry point of `da3`: settles threads and Ctrl-C, then loads and runs the command line."""

from __future__ import annotations

from io import TextIOWrapper
import sys

from da3_ros.process import (
    INTERRUPTED,
    deaf,
    loading,
    patient_interrupts,
    settle_threads,
    skip_converters,
)


def run() -> None:
    """Run the command line; see `da3_ros.cli.app.run` for the exit status."""
    settle_threads()
    skip_converters()
    # Names of files need not be text of the terminal's encoding.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    try:
        with loading():
            from da3_ros.cli.app import run as run_app
        with patient_interrupts():
            run_app()
    except KeyboardInterrupt:
        # Between two steps, where nothing is under way.
        sys.exit(INTERRUPTED)
    finally:
        deaf()


if __name__ == '__main__':
    run()
