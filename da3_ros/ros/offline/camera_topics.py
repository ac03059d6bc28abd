"""Which topics of a recording are the cameras: as they are named, else found by what they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
import re

from da3_ros.errors import SourceError
from da3_ros.options.choices import ImageTransport
from da3_ros.sources.bag import TopicInfo

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
INFO = 'sensor_msgs/msg/CameraInfo'
_IMAGES = (IMAGE, COMPRESSED)
_VIDEO = re.compile(r'(theora_image_transport|ffmpeg_image_transport\w*|foxglove_msgs)/msg/\w+')
_COMPRESSED_PART = '/compressed'
# Parts of names of topics that show something else than what a camera sees.
_OTHER_PARTS = frozenset(
    [
        'depth',
        'disparity',
        'confidence',
        'mask',
        'masks',
        'sky_mask',
        'segmentation',
        'semantic',
        'labels',
        'flow',
        'normals',
        'debug',
        'heatmap',
    ]
)
# Of one camera: what has no distortion left before what may have, colours before grey.
_FORMS = ('image_rect_color', 'image_rect', 'image_color', 'image_raw', 'image')
_SHOWN_TOPICS = 60
_FORM_NAME = re.compile(r'image(_\w+)?')


class Content(Enum):
    """What the pixels of a topic are, by its first message."""

    COLOUR = 'colour'
    GREY = 'grey'
    OTHER = 'no picture'


@dataclass(frozen=True, slots=True)
class NamedTopic:
    """What somebody said of the topics of a camera; None where nothing."""

    image: str | None = None
    info: str | None = None
    is_info_required: bool = False
    """Whether a bag without the topic of `info` is an error."""


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """The topics of one camera in a recording."""

    camera: str
    image: str
    is_compressed: bool
    info: str | None
    """None where the recording has no calibration of it."""

    @property
    def expected_info(self) -> str:
        """Where its calibration would be."""
        return self.info or info_topic(self.image)

    @property
    def line(self) -> str:
        """The choice in words."""
        info = 'no CameraInfo' if self.info is None else self.info
        return f'camera {self.camera}: {self.image}, {info}'


class TopicChooser:
    """Chooses the topics of cameras.

    Args:
        topics: of the recording.
        content_of: looks at the first message of a topic of images.
        transport: which to take of a camera that has both; None for raw.
    """

    def __init__(
        self,
        topics: Sequence[TopicInfo],
        content_of: Callable[[TopicInfo], Content],
        transport: ImageTransport | None = None,
    ) -> None:
        self._topics = {info.name: info for info in topics if info.count}
        self._content_of = content_of
        first, second = _COMPRESSED_PART, ''
        self._ends = (first, second) if transport == 'compressed' else (second, first)

    def named(self, cameras: Mapping[str, NamedTopic]) -> tuple[CameraTopics, ...]:
        """Return the topics of cameras whose names are known.

        Raises:
            SourceError: one has no images here that can be read; lists what there is.
        """
        found = tuple(self._named(camera, topic) for camera, topic in cameras.items())
        owners: dict[str, str] = {}
        for one in found:
            other = owners.setdefault(one.image, one.camera)
            if other != one.camera:
                raise SourceError(
                    f'camera {one.camera}: {one.image} is already that of camera {other}'
                )
        return found

    def found(self) -> tuple[CameraTopics, ...]:
        """Return what looks like cameras: those in colour, else those in grey.

        Raises:
            SourceError: there is none; lists what there is.
        """
        by_content: dict[Content, list[str]] = {content: [] for content in Content}
        for name in self._one_of_each():
            by_content[self._content_of(self._topics[name])].append(name)
        chosen = by_content[Content.COLOUR] or by_content[Content.GREY]
        if not chosen:
            raise SourceError(
                'no topic looks like the images of a camera; name them by --topic NAME=/TOPIC. '
                f'{self._video()}{self._there_is()}'
            )
        names = _distinct([camera_name(topic) for topic in chosen])
        return tuple(
            self._camera(name, topic, None) for name, topic in zip(names, chosen, strict=True)
        )

    # ---- cameras by name

    def _named(self, camera: str, named: NamedTopic) -> CameraTopics:
        image = self._image_named(named.image) if named.image else self._image_of(camera)
        if image is None:
            wanted = named.image or f'/{camera}/image_raw'
            raise SourceError(
                f'camera {camera}: expected images on {wanted}, or on it with '
                f'{_COMPRESSED_PART}; name the topic by --topic {camera}=/TOPIC. '
                f'{self._video(wanted)}{self._there_is()}'
            )
        if named.info and named.is_info_required and named.info not in self._topics:
            raise SourceError(
                f'camera {camera}: there is no topic {named.info}. {self._there_is(INFO)}'
            )
        return self._camera(camera, image, named.info)

    def _image_named(self, topic: str) -> str | None:
        base = topic.removesuffix(_COMPRESSED_PART)
        # The one that was named, however the other is.
        names = (topic, *(base + end for end in self._ends))
        return next((name for name in names if self._is_image(name)), None)

    def _image_of(self, camera: str) -> str | None:
        """Return the images of a camera by the names of the node, in any namespace."""
        for end in self._ends:
            own = f'/{camera.lstrip("/")}/image_raw{end}'
            if self._is_image(own):
                return own
        for end in self._ends:
            tail = f'/{camera.lstrip("/")}/image_raw{end}'
            inner = [n for n in self._topics if n.endswith(tail) and self._is_image(n)]
            if len(inner) == 1:
                return inner[0]
        return None

    def _is_image(self, topic: str) -> bool:
        return topic in self._topics and self._topics[topic].msgtype in _IMAGES

    def _camera(self, camera: str, image: str, info: str | None) -> CameraTopics:
        names = (info,) if info else (info_topic(image), f'/{camera.lstrip("/")}/camera_info')
        there = (n for n in names if n in self._topics and self._topics[n].msgtype == INFO)
        is_compressed = self._topics[image].msgtype == COMPRESSED
        return CameraTopics(camera, image, is_compressed, next(there, None))

    # ---- cameras that nobody named

    def _one_of_each(self) -> list[str]:
        """Return one topic of images of each camera, by name."""
        forms: dict[str, list[str]] = {}
        for name in sorted(self._topics):
            if self._is_image(name) and not _shows_other(name) and not self._is_own(name):
                base = name.removesuffix(_COMPRESSED_PART)
                forms.setdefault(_parent(base), []).append(name)
        return [min(names, key=self._preference) for names in forms.values()]

    def _preference(self, topic: str) -> tuple[int, int, str]:
        base = topic.removesuffix(_COMPRESSED_PART)
        end = topic[len(base) :]
        form = base.rpartition('/')[2]
        rank = _FORMS.index(form) if form in _FORMS else len(_FORMS)
        return rank, self._ends.index(end), topic

    def _is_own(self, topic: str) -> bool:
        """Return whether this is what the node publishes of a camera as it saw it."""
        camera = topic.removesuffix('/color/image')
        beside = (f'{camera}/depth/image', f'{camera}/depth/camera_info', f'{camera}/points')
        return camera != topic and any(name in self._topics for name in beside)

    # ---- what there is

    def _video(self, wanted: str = '') -> str:
        """Return what to do with packets of videos, where a camera has only these."""
        base = wanted.removesuffix(_COMPRESSED_PART)
        found = [
            info
            for info in self._topics.values()
            if _VIDEO.fullmatch(info.msgtype) and info.name.startswith(base)
        ]
        if not found:
            return ''
        return (
            f'{found[0].name} has packets of a video ({found[0].msgtype}), which are not read: '
            'play the bag through `ros2 run image_transport republish` and record the images. '
        )

    def _there_is(self, msgtype: str = '') -> str:
        infos = [info for info in self._topics.values() if not msgtype or info.msgtype == msgtype]
        infos.sort(key=lambda info: (info.msgtype not in _IMAGES, info.name))
        lines = [f'{info.name} [{info.msgtype}]' for info in infos[:_SHOWN_TOPICS]]
        if len(infos) > len(lines):
            lines.append(f'{len(infos) - len(lines)} more')
        return f'There is {", ".join(lines) or "none"}'


def camera_name(topic: str) -> str:
    """Return the name of a camera by the topic of its images.

    `/zed/left/image_rect` is camera `zed/left`, whose outputs are `/zed/left/depth/image` and so
    on.
    """
    base = topic.removesuffix(_COMPRESSED_PART).strip('/')
    parent, _, last = base.rpartition('/')
    if parent and _FORM_NAME.fullmatch(last):
        return parent
    return 'camera' if _FORM_NAME.fullmatch(last) else base


def info_topic(image: str) -> str:
    """Return the topic of the calibration beside images, as image_transport has it."""
    return f'{_parent(image.removesuffix(_COMPRESSED_PART))}/camera_info'


def content_of_encoding(encoding: str) -> Content:
    """Return what pixels are by the encoding of an Image, or the format of a CompressedImage.

    Args:
        encoding: like `bgr8`, `rgb8; jpeg compressed bgr8` or `jpeg`.
    """
    first = re.sub(r';.*', '', encoding).strip().lower()
    if 'compresseddepth' in encoding.lower():
        return Content.OTHER
    if first.startswith(('mono', '8uc1')):
        return Content.GREY
    if re.fullmatch(r'(8|16|32|64)[usf]c?\d*', first) and first not in ('8uc3', '8uc4'):
        return Content.OTHER
    return Content.COLOUR


def _parent(topic: str) -> str:
    return topic.rpartition('/')[0]


def _shows_other(topic: str) -> bool:
    parts = topic.removesuffix(_COMPRESSED_PART).strip('/').split('/')
    words = {*parts, *re.split(r'_+', parts[-1])}
    return bool(words & _OTHER_PARTS) or topic.endswith('/compressedDepth')


def _distinct(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, unique = 2, name
        while unique in found:
            unique, number = f'{name}_{number}', number + 1
        found.append(unique)
    return found
