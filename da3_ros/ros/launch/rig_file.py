"""Rig files: which topics the cameras of a robot publish and where they sit, as plain YAML.

docs/launch.md describes the format. A file holds data only: nothing in it is code, names code or
is evaluated. What is not known, missing, doubled or out of bounds is refused with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import math
from pathlib import Path
import re
from typing import Any

import numpy as np

from da3_ros.errors import ConfigError, GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.geometry.se3 import require_rigid, rigid, rigid_from_xyz_xyzw
from da3_ros.options import NodeOptions, OptionSpec, OptionValue, from_flat, option_specs
from da3_ros.ros.launch.yaml_file import load_yaml, mapping

TRANSPORTS = ('raw', 'compressed')
ROTATIONS_DEG = (0, 90, 180, 270)

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
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')
_TOPIC = re.compile(r'(/|~/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')
_BODY_FROM_OPTICAL = rigid([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], [0.0, 0.0, 0.0])
"""REP 103: optical x right, y down, z forward in a body x forward, y left, z up."""


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
    rotation_deg: int = 0
    """Clockwise turn that makes its image upright."""
    crop_px: tuple[int, ...] | None = None
    """Left, top, width, height; None for the whole image."""


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """A rig file."""

    cameras: tuple[RigCamera, ...]
    transport: str = 'raw'
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
                found[f'rig.{camera.name}.base_from_camera'] = [float(v) for v in seven]
            if camera.rotation_deg:
                found[f'input.{camera.name}.rotation_deg'] = camera.rotation_deg
            if camera.crop_px is not None:
                found[f'input.{camera.name}.crop_px'] = list(camera.crop_px)
        return found


def read_rig(path: str | Path) -> Rig:
    """Read a rig file.

    Raises:
        ConfigError: it is not there, no YAML or no rig; names the place.
    """
    path = Path(path)
    where = f'rig file {path}'
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
    transport = top.get('transport', 'raw')
    if transport not in TRANSPORTS:
        raise ConfigError(
            f'{where}: transport: expected one of {", ".join(TRANSPORTS)}, got {transport!r}'
        )
    rig = Rig(
        tuple(_camera(name, values, where) for name, values in cameras.items()),
        transport,
        _parameters(top.get('parameters') or {}, where),
    )
    _check_together(rig, where)
    return rig


def _camera(name: object, values: object, where: str) -> RigCamera:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f'{where}: camera {name!r}: expected a name of letters, digits and _, not a digit '
            'first, parts joined by /'
        )
    where = f'{where}: camera {name}'
    given = mapping({} if values is None else values, where, _CAMERA_KEYS)
    rotation = given.get('rotation_deg', 0)
    if isinstance(rotation, bool) or rotation not in ROTATIONS_DEG:
        raise ConfigError(
            f'{where}: rotation_deg: expected one of {", ".join(map(str, ROTATIONS_DEG))}, '
            f'got {rotation!r}'
        )
    return RigCamera(
        name,
        _topic(given, 'image', where),
        _topic(given, 'camera_info', where),
        _pose(given, where),
        int(rotation),
        _crop(given.get('crop_px'), f'{where}: crop_px'),
    )


def _topic(given: Mapping[str, Any], key: str, where: str) -> str | None:
    topic = given.get(key)
    if topic is None:
        return None
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise ConfigError(f'{where}: {key}: expected the name of a topic, got {topic!r}')
    return topic


def _crop(value: object, where: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    numbers = value if isinstance(value, list) else []
    is_whole = all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
    if len(numbers) != 4 or not is_whole or min(numbers) < 0 or min(numbers[2:]) < 1:
        raise ConfigError(
            f'{where}: expected [left, top, width, height] in whole pixels, left and top at '
            f'least 0, the others at least 1, got {value!r}'
        )
    return tuple(numbers)


def _pose(given: Mapping[str, Any], where: str) -> FloatArray | None:
    keys = [key for key in ('base_from_camera', 'base_from_body') if given.get(key) is not None]
    if not keys:
        return None
    if len(keys) == 2:
        raise ConfigError(f'{where}: expected base_from_camera or base_from_body, got both')
    place = f'{where}: {keys[0]}'
    try:
        pose = _transform(given[keys[0]], place)
    except (GeometryError, TypeError, ValueError) as error:
        raise ConfigError(f'{place}: {error}') from error
    return pose if keys[0] == 'base_from_camera' else np.asarray(pose @ _BODY_FROM_OPTICAL)


def _transform(value: object, where: str) -> FloatArray:
    if isinstance(value, list) and len(value) == 4:
        return require_rigid('matrix', _numbers(value, (4, 4), where))
    if isinstance(value, list):
        return rigid_from_xyz_xyzw(_numbers(value, (7,), where))
    parts = mapping(value, where, ('xyz', 'rpy', 'rpy_deg', 'quaternion_xyzw'))
    turns = [key for key in parts if key != 'xyz']
    if 'xyz' not in parts or len(turns) > 1:
        raise ConfigError(
            f'{where}: expected xyz and at most one of rpy, rpy_deg, quaternion_xyzw, '
            f'got {", ".join(parts)}'
        )
    xyz = _numbers(parts['xyz'], (3,), f'{where}: xyz')
    if not turns:
        return rigid(np.eye(3), xyz)
    (turn,) = turns
    numbers = _numbers(parts[turn], (4 if turn == 'quaternion_xyzw' else 3,), f'{where}: {turn}')
    if turn == 'quaternion_xyzw':
        return rigid_from_xyz_xyzw([*xyz, *numbers])
    return rigid(_rotation_rpy(numbers if turn == 'rpy' else np.radians(numbers)), xyz)


def _numbers(value: object, shape: tuple[int, ...], where: str) -> FloatArray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != shape or not np.isfinite(array).all():
        size = ' x '.join(map(str, shape))
        raise ConfigError(f'{where}: expected {size} finite numbers, got {value!r}')
    return array


def _rotation_rpy(rpy_rad: FloatArray) -> FloatArray:
    """Return the rotation (3, 3) of roll, pitch, yaw about fixed x, y, z, in this order.

    Source: REP 103, the fixed-axis form, as in a URDF's origin.
    """
    (sr, sp, sy), (cr, cp, cy) = (tuple(map(f, rpy_rad)) for f in (math.sin, math.cos))
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll)


def _parameters(value: object, where: str) -> dict[str, OptionValue]:
    where = f'{where}: parameters'
    specs = {spec.name: spec for spec in option_specs()}
    known = [name for name in specs if name not in _SAID_ELSEWHERE]
    for name in value if isinstance(value, Mapping) else ():
        if name in _SAID_ELSEWHERE:
            raise ConfigError(f'{where}: {name} is given by {_SAID_ELSEWHERE[name]}')
    given = mapping(value, where, known)
    found = {name: as_option(specs[name], item) for name, item in given.items()}
    return _checked(found, where)


def as_option(spec: OptionSpec, value: Any) -> OptionValue:
    """Return a value of YAML as one of an option: lists as tuples, whole numbers as decimals."""
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    if isinstance(spec.default, float) and type(value) is int:
        return float(value)
    return value  # type: ignore[no-any-return]


def _checked(values: dict[str, OptionValue], where: str) -> dict[str, OptionValue]:
    try:
        # Bounds that involve the cameras are looked at again with them.
        from_flat({k: v for k, v in values.items() if k != 'min_cameras'})
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error
    return values


def _check_together(rig: Rig, where: str) -> NodeOptions:
    by_topic: dict[str, str] = {}
    for camera in rig.cameras:
        if camera.image is not None and camera.image in by_topic:
            raise ConfigError(
                f'{where}: camera {camera.name}: image: {camera.image} is already that of camera '
                f'{by_topic[camera.image]}'
            )
        by_topic[camera.image or camera.name] = camera.name
    try:
        names = tuple(camera.name for camera in rig.cameras)
        return from_flat({**rig.parameters, 'cameras': names})
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error
