"""The cameras of a run: options, topics, rig and views, from whatever names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import logging
from pathlib import Path
from typing import Any

from da3_ros.errors import ConfigError
from da3_ros.options import NodeOptions, OptionValue, from_flat
from da3_ros.options.camera_values import ViewOptions, check_camera_name, prefixed
from da3_ros.options.choices import IMAGE_TRANSPORTS
from da3_ros.ros.launch.rig_file import Rig, read_rig
from da3_ros.ros.offline.camera_topics import (
    IMAGE,
    CameraTopics,
    Content,
    NamedTopic,
    TopicChooser,
    camera_name,
    content_of_encoding,
)
from da3_ros.ros.offline.parameters import Parameters, parameters_of, read_parameters
from da3_ros.ros.offline.tape import Tape
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import TopicInfo
from da3_ros.types import RigCalibration

_INFO_END = '.info'
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user says of cameras and options; the last ones win."""

    params_file: Path | None = None
    """YAML of parameters of the node."""
    rig_file: Path | None = None
    """YAML of a rig, see docs/launch.md."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Of the option table, by name; only those that were given."""
    topics: Sequence[str] = ()
    """`NAME=/TOPIC`, `NAME.info=/TOPIC` or only `/TOPIC`."""


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """The cameras of a run, and the options that go with them."""

    topics: tuple[CameraTopics, ...]
    """One for each camera."""
    options: NodeOptions
    rig: RigCalibration
    """Where cameras sit, as far as parameters or a rig file say it."""
    views: dict[str, ViewOptions]
    """Of every camera by name."""
    were_found: bool
    """Whether the topics were found by what they hold, rather than named."""


def choose_cameras(tape: Tape, asked: Asked) -> Cameras:
    """Return the cameras of a recording.

    Raises:
        ConfigError: a file or an option is wrong; names the place.
        SourceError: a camera has no images in the recording, or none is there; lists the topics.
    """
    named = named_topics(asked.topics)
    given = parameters_of(asked.options, 'options')
    rig = None if asked.rig_file is None else read_rig(asked.rig_file)
    if rig is not None:
        given = given.over(parameters_of(rig.node_parameters(), f'rig file {asked.rig_file}'))
    if asked.params_file is not None:
        given = given.over(read_parameters(asked.params_file))
    names = given.options.get('cameras')
    chooser = _chooser(tape, given)
    if isinstance(names, tuple):
        topics = chooser.named(_of_cameras(names, named, rig))
    elif named:
        topics = chooser.named(named)
    else:
        topics = chooser.found()
    return _with_options(topics, given, were_found=not (names or named))


def _with_options(
    topics: tuple[CameraTopics, ...], given: Parameters, *, were_found: bool
) -> Cameras:
    cameras = tuple(one.camera for one in topics)
    for camera in cameras:
        with prefixed('cameras: '):
            check_camera_name(camera)
    for name, is_of_camera in given.unknown(cameras).items():
        if is_of_camera:
            _log.warning('parameter %s: no parameter of the node; ignored', name)
        else:
            there_is = ', '.join(cameras)
            _log.error('parameter %s: no such camera; there is %s; ignored', name, there_is)
    options = from_flat({**given.options, 'cameras': cameras})
    return Cameras(topics, options, given.rig(cameras), given.views(cameras), were_found)


def _chooser(tape: Tape, given: Parameters) -> TopicChooser:
    def content_of(info: TopicInfo) -> Content:
        message = tape.first(info.name)
        return Content.OTHER if message is None else _content(message.data, info.msgtype)

    wanted = given.options.get('image_transport')
    transport = next((name for name in IMAGE_TRANSPORTS if name == wanted), None)
    return TopicChooser(tape.topics, content_of, transport)


def _content(data: bytes, msgtype: str) -> Content:
    message: Any
    try:
        message = shared_definitions().typestore.deserialize_cdr(data, msgtype)
    except Exception:  # of whatever bytes are no such message
        return Content.OTHER
    return content_of_encoding(message.encoding if msgtype == IMAGE else message.format)


def named_topics(texts: Sequence[str]) -> dict[str, NamedTopic]:
    """Return the cameras that a user names, with their topics.

    Args:
        texts: `NAME=/TOPIC`, `NAME.info=/TOPIC` or only `/TOPIC`.

    Raises:
        ConfigError: one is none of these, or names a second topic for the same.
    """
    images: dict[str, str] = {}
    infos: dict[str, str] = {}
    for text in texts:
        name, equals, topic = text.partition('=')
        if not equals:
            name, topic = camera_name(text), text
        found = images
        if name.endswith(_INFO_END):
            found, name = infos, name.removesuffix(_INFO_END)
        if not name or not topic.startswith('/'):
            raise ConfigError(
                f'topic: expected NAME=/TOPIC, NAME{_INFO_END}=/TOPIC or /TOPIC, got {text!r}'
            )
        with prefixed('topic: '):
            check_camera_name(name)
        if name in found:
            raise ConfigError(f'topic: camera {name} has {found[name]} already, got {topic}')
        found[name] = topic
    return {
        name: NamedTopic(images.get(name), infos.get(name), is_info_required=True)
        for name in dict.fromkeys((*images, *infos))
    }


def _of_cameras(
    cameras: tuple[str, ...], named: Mapping[str, NamedTopic], rig: Rig | None
) -> dict[str, NamedTopic]:
    """Return the topics of cameras that parameters or a rig file name, where anybody says them.

    Raises:
        ConfigError: a topic is named for a camera that there is not.
    """
    unknown = sorted(set(named) - set(cameras))
    if unknown:
        raise ConfigError(
            f'topic: no such camera {", ".join(unknown)}; there is {", ".join(cameras)}'
        )
    of_rig = {} if rig is None else {camera.name: camera for camera in rig.cameras}
    found = {}
    for camera in cameras:
        own, other = named.get(camera, NamedTopic()), of_rig.get(camera)
        if other is not None:
            image = own.image or _absolute(other.image)
            info = own.info or _absolute(other.camera_info)
            own = NamedTopic(image, info, is_info_required=own.info is not None)
        found[camera] = own
    return found


def _absolute(topic: str | None) -> str | None:
    return topic if topic is None or topic.startswith('/') else f'/{topic.removeprefix("~/")}'
