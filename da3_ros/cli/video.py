"""`da3 video`: frames of a video to one scene."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from da3_ros.cli.scene_options import SceneOptions, takes_scene_options


@takes_scene_options
def video(
    video_path: Annotated[Path, typer.Argument(help='Any file that FFmpeg reads.')],
    options: SceneOptions,
    fps: float,
    keep_frames: bool,
) -> None:
    """Depth and cameras of a video's frames, as one scene."""
    from da3_ros.cli.named_inputs import refuse_other_kinds
    from da3_ros.cli.single_scene import run_single_scene
    from da3_ros.cli.video_source import VideoSource

    def make_source() -> VideoSource:
        refuse_other_kinds(video_path)
        return VideoSource(video_path, fps, keep_frames=keep_frames)

    run_single_scene('video', options, make_source)
