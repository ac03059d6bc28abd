"""`da3 bag-from-video`: any video as the recording of a camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.foreign import plain_line, plain_path
from da3_ros.options.scenes import BagOptions
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.sources.video import VideoInfo


@takes_options(Entrance.BAGS)
def bag_from_video(
    video: Annotated[Path, typer.Argument(help='Any file that FFmpeg reads.')],
    out: Annotated[Path, typer.Argument(help='OUT.mcap or OUT.db3 for one file, else a folder.')],
    bag_options: BagOptions,
    overwrite: bool,
    camera: Annotated[
        str, typer.Option(help='Name of the camera, prefix of its topics.')
    ] = 'camera',
    rate: Annotated[
        float | None, typer.Option(help='Most images per second; default: every frame.')
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(min=1, help='Scale down to this longer side, px.')
    ] = None,
    fov_deg: Annotated[
        float | None,
        typer.Option(help='Horizontal field of view, deg; without it no CameraInfo is written.'),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help='Seconds of the video to take.')
    ] = None,
) -> None:
    """Turn a video into a ROS 2 bag of /CAMERA/image_raw, ready for `da3 play`."""
    from tqdm import tqdm

    from da3_ros.cli.process import unwind_on_terminate
    from da3_ros.sinks.camera_bag import CameraBagWriter
    from da3_ros.sources.video import VIDEO_START_NS, VideoReader

    reader = VideoReader(
        video, camera=camera, rate_hz=rate, max_side=max_side, horizontal_fov_deg=fov_deg
    )
    limit_ns = None if seconds is None else VIDEO_START_NS + round(seconds * 1e9)
    images = 0
    with (
        unwind_on_terminate(),
        CameraBagWriter(
            out,
            storage=bag_options.storage,
            is_compressed=bag_options.compressed,
            overwrite=overwrite,
        ) as bag,
        tqdm(total=_expected(reader.info, rate, seconds), unit='img', disable=None) as bar,
    ):
        for frame in reader.frames():
            if limit_ns is not None and frame.stamp_ns >= limit_ns:
                break
            bag.write_frame(frame)
            images += 1
            bar.update()
    for note in reader.notes:
        print(f'note: {plain_line(note.text)}')
    size = reader.info.size
    print(f'wrote {images} images of {size.width}x{size.height} to {plain_path(out)}')
    if fov_deg is None:
        print('no CameraInfo: the field of view is unknown (--fov-deg states it)')


def _expected(info: VideoInfo, rate: float | None, seconds: float | None) -> int | None:
    """Return about how many images there will be, None when the file does not say."""
    if info.duration_s is None or info.rate_hz is None:
        return None
    length = info.duration_s if seconds is None else min(seconds, info.duration_s)
    return int(length * min(rate or info.rate_hz, info.rate_hz))
