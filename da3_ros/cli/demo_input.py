"""What the demo plays: a rendered room, a video turned into a bag, or a bag as it is."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import islice
import logging
from pathlib import Path
import re

from da3_ros.cli.demo_folder import INPUT
from da3_ros.errors import SourceError
from da3_ros.notes import joined

_LOG = logging.getLogger(__name__)
_RAW = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_MAX_CAMERAS = 6
_RENDERED_PER_S = 2.5
# The shape of the images that da3-nano learned from: nothing is cut or squeezed.
_RENDERED_SIZE = '560x400'
_VIDEO_PER_S = 10.0
_VIDEO_SIDE_PX = 640
# The longest window that the demo chooses by itself.
_FEWEST_FRAMES = 3


@dataclass(frozen=True, slots=True)
class DemoInput:
    """A bag and how its topics become the node's cameras."""

    path: Path
    cameras: tuple[str, ...]
    transport: str
    """raw or compressed."""
    remappings: tuple[tuple[str, str], ...] = ()
    """(topic in the bag, topic that the node would subscribe to), where they differ."""
    description: str = ''
    """What it is, in words."""
    is_rendered: bool = False
    """Whether it is a room of the kind that da3-nano learned from."""
    odometry_frame: str = ''
    """Fixed frame of the odometry on its /tf, empty for none that could be relied on."""


def check_input(bag: Path | None, video: Path | None) -> None:
    """Read as much of a given input as shows that it can be played; nothing is written.

    Raises:
        SourceError: the bag or the video cannot be read, or has no camera images.
    """
    if bag is not None:
        _from_bag(bag)
    if video is not None:
        from da3_ros.sources.video import VideoReader

        frames = VideoReader(video, rate_hz=_VIDEO_PER_S, max_side=_VIDEO_SIDE_PX).frames()
        if len(list(islice(frames, _FEWEST_FRAMES))) < _FEWEST_FRAMES:
            raise SourceError(
                f'video {video}: expected {_FEWEST_FRAMES} frames or more at {_VIDEO_PER_S:g} per '
                'second, there are fewer; pictures are for `da3 image` or `da3 images`'
            )


def plan_input(bag: Path | None, video: Path | None, out: Path) -> DemoInput:
    """Return the input; what must be made for it, `make_input` writes to `out/input.mcap`.

    Raises:
        SourceError: the bag cannot be read, or has no camera images.
    """
    if bag is not None:
        return _from_bag(bag, warns=True)
    path = out / INPUT
    if video is not None:
        return DemoInput(path, ('camera',), 'raw', description=f'video {video.name}')
    from da3_ros.cli.synthesize import ODOMETRY_FRAME

    return DemoInput(
        path,
        ('front', 'left', 'right'),
        'raw',
        description='synthetic room, three cameras',
        is_rendered=True,
        odometry_frame=ODOMETRY_FRAME,
    )


def make_input(source: DemoInput, video: Path | None, seconds: float) -> None:
    """Render or convert what `plan_input` planned; a bag is as it is.

    Raises:
        SourceError: the video cannot be read.
        SinkError: the disk refuses.
    """
    # The commands would name a path that is gone in the end.
    with redirect_stdout(StringIO()):
        if source.is_rendered:
            from da3_ros.cli.synthesize import synthesize

            synthesize(out=source.path, seconds=seconds, rate=_RENDERED_PER_S, size=_RENDERED_SIZE)
        elif video is not None:
            from da3_ros.cli.bag_from_video import bag_from_video

            bag_from_video(
                video=video,
                out=source.path,
                rate=_VIDEO_PER_S,
                max_side=_VIDEO_SIDE_PX,
                seconds=seconds,
            )


def _from_bag(path: Path, *, warns: bool = False) -> DemoInput:
    from da3_ros.sources.bag import BagReader

    with BagReader(path) as reader:
        topics = [t for t in reader.topics if t.count and not t.name.startswith('/truth/')]
        if warns and reader.notes:
            _LOG.warning('bag %s: %s', path, joined(reader.notes))
    raw = [t.name for t in topics if t.msgtype == _RAW and 'depth' not in t.name]
    compressed = [t.name for t in topics if t.msgtype == _COMPRESSED and 'depth' not in t.name]
    if not raw and not compressed:
        raise SourceError(
            f'bag {path}: expected colour images on a topic of type {_RAW} or {_COMPRESSED}; it '
            f'has {", ".join(t.name for t in topics) or "no messages"}'
        )
    images, transport = (raw, 'raw') if raw else (compressed, 'compressed')
    cameras: list[str] = []
    remappings: list[tuple[str, str]] = []
    known = {t.name for t in topics}
    for topic in images[:_MAX_CAMERAS]:
        camera = _camera_name(topic, cameras)
        cameras.append(camera)
        suffix = 'image_raw' if transport == 'raw' else 'image_raw/compressed'
        info = f'{_namespace(topic)}/camera_info'
        for used, there in ((f'/{camera}/{suffix}', topic), (f'/{camera}/camera_info', info)):
            if used != there and there in known:
                remappings.append((there, used))
    return DemoInput(path, tuple(cameras), transport, tuple(remappings), f'bag {path.name}')


def _namespace(topic: str) -> str:
    """Return the topic without the image's own name: /a/image_raw/compressed becomes /a."""
    return topic.removesuffix('/compressed').rpartition('/')[0]


def _camera_name(topic: str, taken: list[str]) -> str:
    """Return a name for the camera of a topic that no other camera has."""
    words = re.sub(r'[^A-Za-z0-9]+', '_', _namespace(topic)).strip('_') or 'camera'
    name = words if not words[0].isdigit() else f'camera_{words}'
    while name in taken:
        name += '_2'
    return name
