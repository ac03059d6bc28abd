"""`da3 stream`: videos and images of any length, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from da3_ros.cli.stream_options import StreamRequest
from da3_ros.cli.table_options import takes_options
from da3_ros.options.table import Entrance


@takes_options(Entrance.STREAM)
def stream(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar='INPUT',
            help='Video, images or a folder of them, a pattern, or a dataset of a known layout.',
        ),
    ],
    request: StreamRequest,
) -> None:
    """Depth and cameras of a video or of images of any length, in windows of bounded memory.

    Writes what DA3-Streaming writes (camera_poses.txt, intrinsic.txt, pcd/, results_output/), a
    TUM trajectory, stream.json and the formats of --export-format. A run that was interrupted is
    continued by the same command.
    """
    from da3_ros.cli.stream_job import run_stream

    given = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == 'COMMANDLINE'
    }
    run_stream(inputs, request, given)
