"""Rig files: which topics the cameras of a robot publish and where they sit, as plain YAML.

docs/launch.md describes the format. A file holds data only: nothing in it is code, names code or
is evaluated. What is not known, missing, doubled or out of bounds is refused with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
import re
from typing import Any

import numpy as np

from da3_ros.errors import ConfigError
from da3_ros.foreign import foreign_file
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.geometry.se3 import require_rigid, rigid
from da3_ros.options import (
    OptionSpec,
    OptionValue,
    check_value,
    from_flat,
    option_specs,
    with_truth,
    without_aliases,
)
from da3_ros.options.camera import BASE_FROM_CAMERA, CROP_PX, ROTATION_DEG, ROTATIONS_DEG
from da3_ros.options.camera_values import (
    ViewOptions,
    check_camera_name,
    crop_of,
    numbers_of,
    pose_of,
    prefixed,
    quarter_turns_of,
)
from da3_ros.options.choices import ImageTransport
from da3_ros.options.output import OUTPUT
from da3_ros.ros.launch.yaml_file import load_yaml, mapping, one_line
from da3_ros.ros.messages.rotations import rotation_from_rpy

_TOP_KEYS = ('cameras', 'transport', 'parameters')
_CAMERA_KEYS = (
    'image',
    'camera_info',
    'base_from_camera',
    'base_from_body',
    'rotation_deg',
    'crop_px',
)
# Parameters that the rest of the file already says.
_SAID_ELSEWHERE = {'cameras': 'the keys of cameras', 'image_transport': 'transport'}
_TOPIC = re.compile(r'(/|~/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')
_BODY_FROM_OPTICAL = rigid([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], [0.0, 0.0, 0.0])
"""REP 103: optical x right, y down, z forward in a body x forward, y left, z up."""


_UPRIGHT = ViewOptions()


@dataclass(frozen=True, slots=True, eq=False)
class RigCamera:
    """One camera of a rig file."""

    name: str
    """Name of the camera: its prefix of topics and parameters."""
    image: str | None = None
    """Topic of its images in the transport of the rig; None for the node's own name."""
    camera_info: str | None = None
    """Topic of its calibration; None for the node's own name."""
    base_from_camera: FloatArray | None = None
    """(4, 4) pose of the optical frame in base_frame; None to take it from /tf_static."""
    view: ViewOptions = _UPRIGHT
    """What part of its image is used, and how it is made upright."""


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """A rig file."""

    cameras: tuple[RigCamera, ...]
    transport: ImageTransport = OUTPUT.image_transport
    """Transport of the images of all cameras."""
    parameters: Mapping[str, OptionValue] = field(default_factory=dict)
    """Further parameters of the node, checked."""

    def remappings(self) -> list[tuple[str, str]]:
        """Return (name of the node, name of the driver) of every topic that differs."""
        image = 'image_raw' if self.transport == 'raw' else 'image_raw/compressed'
        pairs = []
        for camera in self.cameras:
            pairs.append((f'{camera.name}/{image}', camera.image))
            pairs.append((f'{camera.name}/camera_info', camera.camera_info))
        return [(own, topic) for own, topic in pairs if topic is not None]

    def node_parameters(self) -> dict[str, Any]:
        """Return parameters of the node by name: bool, int, float, str and lists of one kind."""
        found: dict[str, Any] = {
            **self.parameters,
            'cameras': [camera.name for camera in self.cameras],
            'image_transport': self.transport,
        }
        for camera in self.cameras:
            if camera.base_from_camera is not None:
                pose = camera.base_from_camera
                seven = [*pose[:3, 3], *quaternion_xyzw_from_matrix(pose[:3, :3])]
                found[BASE_FROM_CAMERA.of(camera.name)] = [float(v) for v in seven]
            if camera.view.quarter_turns:
                degrees = ROTATIONS_DEG[camera.view.quarter_turns]
                found[ROTATION_DEG.of(camera.name)] = degrees
            if (crop := camera.view.crop) is not None:
                four = [crop.left_px, crop.top_px, crop.size.width, crop.size.height]
                found[CROP_PX.of(camera.name)] = four
        return found


def read_rig(path: str | Path) -> Rig:
    """Read a rig file.

    Raises:
        ConfigError: it is not there, no YAML or no rig; names the place.
    """
    path = Path(path)
    where = f'rig file {path}'
    with foreign_file(path, 'rig file', ConfigError), one_line():
        return parse_rig(load_yaml(path, where), where)


def parse_rig(document: object, where: str = 'rig') -> Rig:
    """Return the rig that a loaded document describes.

    Args:
        document: mappings, lists, strings and numbers.
        where: begins every message.

    Raises:
        ConfigError: it describes none; says what was expected and where.
    """
    top = mapping(document, where, _TOP_KEYS)
    cameras = top.get('cameras')
    if not isinstance(cameras, Mapping) or not cameras:
        raise ConfigError(f'{where}: cameras: expected a mapping of at least one camera by name')
    transport = top.get('transport', OUTPUT.image_transport)
    with prefixed(f'{where}: transport: '):
        check_value(_specs()['image_transport'], transport)
    rig = Rig(
        tuple(_camera(name, values, where) for name, values in cameras.items()),
        transport,
        _parameters(top.get('parameters') or {}, where),
    )
    _check_together(rig, where)
    return rig


def _camera(name: object, values: object, where: str) -> RigCamera:
    with prefixed(f'{where}: camera '):
        camera = check_camera_name(name)
    where = f'{where}: camera {camera}'
    given = mapping({} if values is None else values, where, _CAMERA_KEYS)
    rotation, crop = given.get(ROTATION_DEG.name, ROTATION_DEG.default), given.get(CROP_PX.name)
    with prefixed(f'{where}: rotation_deg: '):
        quarter_turns = quarter_turns_of(rotation)
    with prefixed(f'{where}: crop_px: '):
        view = ViewOptions(crop_of(crop), quarter_turns)
    return RigCamera(
        camera,
        _topic(given, 'image', where),
        _topic(given, 'camera_info', where),
        _pose(given, where),
        view,
    )


def _topic(given: Mapping[str, Any], key: str, where: str) -> str | None:
    topic = given.get(key)
    if topic is None:
        return None
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise ConfigError(f'{where}: {key}: expected the name of a topic, got {topic!r}')
    return topic


def _pose(given: Mapping[str, Any], where: str) -> FloatArray | None:
    keys = [key for key in ('base_from_camera', 'base_from_body') if given.get(key) is not None]
    if not keys:
        return None
    if len(keys) == 2:
        raise ConfigError(f'{where}: expected base_from_camera or base_from_body, got both')
    with prefixed(f'{where}: {keys[0]}: '):
        pose = _transform(given[keys[0]])
    return pose if keys[0] == 'base_from_camera' else np.asarray(pose @ _BODY_FROM_OPTICAL)


def _transform(value: object) -> FloatArray:
    if isinstance(value, list) and len(value) == 4:
        return require_rigid('matrix', numbers_of(value, 4, 4))
    if isinstance(value, list):
        return pose_of(value)
    parts = mapping(value, 'pose', ('xyz', 'rpy', 'rpy_deg', 'quaternion_xyzw'))
    turns = [key for key in parts if key != 'xyz']
    if 'xyz' not in parts or len(turns) > 1:
        raise ConfigError(
            'expected xyz and at most one of rpy, rpy_deg, quaternion_xyzw, '
            f'got {", ".join(parts)}'
        )
    with prefixed('xyz: '):
        xyz = numbers_of(parts['xyz'], 3)
    if not turns:
        return rigid(np.eye(3), xyz)
    (turn,) = turns
    with prefixed(f'{turn}: '):
        numbers = numbers_of(parts[turn], 4 if turn == 'quaternion_xyzw' else 3)
        if turn == 'quaternion_xyzw':
            return pose_of([*xyz, *numbers])
    return rigid(rotation_from_rpy(numbers if turn == 'rpy' else np.radians(numbers)), xyz)


def _parameters(value: object, where: str) -> dict[str, OptionValue]:
    where = f'{where}: parameters'
    specs = _specs()
    known = [name for name in specs if name not in _SAID_ELSEWHERE]
    value = without_aliases(value, where) if isinstance(value, Mapping) else value
    for name in value if isinstance(value, Mapping) else ():
        if name in _SAID_ELSEWHERE:
            raise ConfigError(f'{where}: {name} is given by {_SAID_ELSEWHERE[name]}')
    given = mapping(value, where, known)
    found = {name: as_option(specs[name], item) for name, item in given.items()}
    with prefixed(f'{where}: '):
        # Bounds that involve the cameras are looked at again with them.
        from_flat({name: item for name, item in found.items() if name != 'min_cameras'})
    return found


def _specs() -> dict[str, OptionSpec]:
    return {spec.name: spec for spec in option_specs()}


def as_option(spec: OptionSpec, value: Any) -> OptionValue:
    """Return a value of YAML as one of an option: lists as tuples, whole numbers as decimals."""
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    if spec.kind is float and type(value) is int:
        return float(value)
    return with_truth(spec, value)


def _check_together(rig: Rig, where: str) -> None:
    by_topic: dict[str, str] = {}
    for camera in rig.cameras:
        if camera.image is not None and camera.image in by_topic:
            raise ConfigError(
                f'{where}: camera {camera.name}: image: {camera.image} is already that of camera '
                f'{by_topic[camera.image]}'
            )
        by_topic[camera.image or camera.name] = camera.name
    with prefixed(f'{where}: '):
        from_flat({**rig.parameters, 'cameras': tuple(camera.name for camera in rig.cameras)})
