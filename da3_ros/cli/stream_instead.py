"""A scene of more views than memory takes at once, as a stream: window by window."""

from __future__ import annotations

from dataclasses import replace
import shlex
from typing import TYPE_CHECKING

from da3_ros.cli.reporting import Report, complain
from da3_ros.cli.scene_sources import ImageFiles
from da3_ros.cli.stream_options import StreamRequest, unstreamable
from da3_ros.cli.video_source import VideoSource
from da3_ros.cli.view_check import TooManyViewsError
from da3_ros.export.registry import parse_formats
from da3_ros.options import StreamOptions
from da3_ros.options.scenes import InputOptions, RunOptions
from da3_ros.options.streaming import StreamFileOptions, StreamInputOptions
from da3_ros.options.table import Entrance, defaults_at

if TYPE_CHECKING:
    from da3_ros.cli.scene_options import SceneOptions
    from da3_ros.cli.scene_sources import SceneSource
    from da3_ros.cli.stream_reading import StreamSource


def run_instead(
    too_many: TooManyViewsError, options: SceneOptions, source: SceneSource, report: Report
) -> None:
    """Run a source as a stream, and say so; the folder of the results is checked.

    Args:
        too_many: why it is no scene.
        options: of the command.
        source: of the scene.
        report: of the command.

    Raises:
        TooManyViewsError: a stream cannot give what is asked for; says both ways out.
    """
    reason = _only_whole(options, source)
    if reason:
        name = shlex.quote(str(source.path))
        raise TooManyViewsError(
            f'{too_many}; or `da3 stream {name}`, which takes any number, window by window, but '
            f'not all that is asked for: {reason}'
        ) from too_many
    from da3_ros.cli.stream_job import make_job, run_job

    text = (
        f'{too_many}. Taken as for `da3 stream`: window by window, in one world, with its files '
        'beside those that are asked for'
    )
    complain(text)
    notes = [text]
    if isinstance(source, VideoSource):
        notes.append('a stream keeps no frames of the video in input_images/')
    # Little memory is free: that is why this is a stream.
    job = make_job(
        _stream_source(source), _request(options, source), notes, window_may_shrink=True
    )
    run_job(job, report)


def _only_whole(options: SceneOptions, source: SceneSource) -> str:
    """Return what of a request only a whole scene can give; empty for nothing."""
    results = options.results
    switches = {
        '--infer-gs': options.prediction.infer_gs,
        '--save-depth': results.save_depth,
        '--save-conf': results.save_conf,
        '--depth-size input': results.depth_size == 'input',
        '--export-feat': bool(results.export_feat),
        'known cameras': not isinstance(source, (VideoSource, ImageFiles)),
    }
    asked = [name for name, is_asked in switches.items() if is_asked]
    return ', '.join(asked) or unstreamable(parse_formats(results.export_format))


def _request(options: SceneOptions, source: SceneSource) -> StreamRequest:
    return StreamRequest(
        network=options.network,
        stream=defaults_at(StreamOptions, Entrance.STREAM),
        reading=replace(
            defaults_at(InputOptions, Entrance.STREAM),
            fps=source.fps if isinstance(source, VideoSource) else 0.0,
        ),
        input=StreamInputOptions(),
        run=RunOptions(),
        content=options.content,
        glb=options.glb,
        results=options.results,
        files=StreamFileOptions(),
    )


def _stream_source(source: SceneSource) -> StreamSource:
    from da3_ros.cli.stream_reading import Reading
    from da3_ros.cli.stream_source import ImageStream, VideoStream

    if isinstance(source, ImageFiles):
        return ImageStream(source.path, source.files, Reading(0.0, 1, (), 'none'), source.notes)
    assert isinstance(source, VideoSource)
    return VideoStream(source.path, Reading(source.fps, 1, (), 'none'))
