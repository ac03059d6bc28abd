"""Parameters of the node from a file, a rig file and the command line, as the node has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import logging
from pathlib import Path
from typing import Any

from da3_ros.errors import ConfigError
from da3_ros.foreign import foreign_file
from da3_ros.geometry.arrays import FloatArray
from da3_ros.options import OptionValue, check_value, option_specs, without_aliases
from da3_ros.options.camera import (
    BASE_FROM_CAMERA,
    CAMERA_PARAMETERS,
    CROP_PX,
    ROTATION_DEG,
)
from da3_ros.options.camera_values import (
    ViewOptions,
    crop_of,
    pose_of,
    prefixed,
    quarter_turns_of,
)
from da3_ros.options.table import Entrance
from da3_ros.ros.launch.rig_file import as_option
from da3_ros.ros.launch.yaml_file import load_yaml, one_line
from da3_ros.types import RigCalibration

_NODE = 'da3_node'
_EVERY = '/**'
_ROS_OWN = ('qos_overrides.', 'use_sim_time', 'start_type_description_service')
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters that were given, and no defaults."""

    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """By name, of the option table."""
    of_cameras: Mapping[str, Any] = field(default_factory=dict)
    """By whole name, like `rig.front.base_from_camera`; as they were written."""

    def over(self, others: Parameters) -> Parameters:
        """Return these and, where these say nothing, the others."""
        return Parameters(
            {**others.options, **self.options}, {**others.of_cameras, **self.of_cameras}
        )

    def rig(self, cameras: tuple[str, ...]) -> RigCalibration:
        """Return where cameras sit, as far as it is given.

        Raises:
            ConfigError: one is not seven numbers with a non-zero quaternion; names it.
        """
        found: dict[str, FloatArray] = {}
        for camera in cameras:
            name = BASE_FROM_CAMERA.of(camera)
            value = self.of_cameras.get(name)
            if value is None or (isinstance(value, (list, tuple)) and not value):
                continue
            with prefixed(f'parameter {name}: '):
                found[camera] = pose_of(value)
        return RigCalibration(found)

    def views(self, cameras: tuple[str, ...]) -> dict[str, ViewOptions]:
        """Return what is done to the images of every camera.

        Raises:
            ConfigError: a parameter is wrong; names it.
        """
        return {camera: self._view(camera) for camera in cameras}

    def _view(self, camera: str) -> ViewOptions:
        rotation, crop = ROTATION_DEG.of(camera), CROP_PX.of(camera)
        with prefixed(f'parameter {rotation}: '):
            turns = quarter_turns_of(self.of_cameras.get(rotation, ROTATION_DEG.default))
        with prefixed(f'parameter {crop}: '):
            return ViewOptions(crop_of(self.of_cameras.get(crop)), turns)

    def unknown(self, cameras: tuple[str, ...]) -> Mapping[str, bool]:
        """Return parameters of cameras that are none, and whether they name one of these."""
        known = {p.of(camera) for p in CAMERA_PARAMETERS for camera in cameras}
        places = tuple(f'{p.prefix}.{camera}.' for p in CAMERA_PARAMETERS for camera in cameras)
        return {name: name.startswith(places) for name in sorted(set(self.of_cameras) - known)}


def read_parameters(path: Path) -> Parameters:
    """Read a parameter file of the node; what is no parameter of it is named in the log.

    Sections that count are `/**` and then those of `da3_node`, in whichever namespace.

    Raises:
        ConfigError: it cannot be read, has no section that counts, or a value is of a wrong type.
    """
    where = f'params_file {path}'
    with foreign_file(path, 'params_file', ConfigError), one_line():
        flat = _values_in(load_yaml(path, where), where)
        given = without_aliases(flat, where)
        return _sorted(given, where)


def parameters_of(given: Mapping[str, Any], where: str) -> Parameters:
    """Return parameters by name as the groups of their kind; unknown ones are named in the log.

    Raises:
        ConfigError: a value is of a wrong type.
    """
    return _sorted(given, where)


def _sorted(given: Mapping[str, Any], where: str) -> Parameters:
    specs = {spec.name: spec for spec in option_specs()}
    prefixes = tuple({f'{p.prefix}.' for p in CAMERA_PARAMETERS})
    options: dict[str, OptionValue] = {}
    of_cameras: dict[str, Any] = {}
    for name, value in given.items():
        if name in specs:
            options[name] = as_option(specs[name], value)
            with prefixed(f'{where}: '):
                check_value(specs[name], options[name])
            if Entrance.BAG not in specs[name].entrances and name != 'cameras':
                _log.info('%s: %s has no effect on a bag', where, name)
        elif name.startswith(prefixes):
            of_cameras[name] = value
        elif not name.startswith(_ROS_OWN):
            _log.warning('%s: %s is no parameter of the node; ignored', where, name)
    return Parameters(options, of_cameras)


def _values_in(document: object, where: str) -> dict[str, Any]:
    sections = tuple(_sections(document))
    meant = [section for section in sections if _is_meant(section[0])]
    # What names the node wins over what names all.
    meant.sort(key=lambda section: section[0] != _EVERY)
    if not meant:
        raise ConfigError(
            f'{where}: expected a section {_EVERY} or {_NODE} with ros__parameters, it has '
            f'{", ".join(key for key, _ in sections) or "none"}'
        )
    nodes = list(dict.fromkeys(key for key, _ in meant if '*' not in key))
    if len(nodes) > 1:
        raise ConfigError(
            f'{where}: expected the parameters of one {_NODE}, it has {", ".join(nodes)}; leave '
            'only those of the robot that was recorded'
        )
    return {name: value for _, values in meant for name, value in _flat(values)}


def _sections(document: object, above: str = '') -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the name of every node, with the namespaces above it, and its parameters."""
    for key, inside in document.items() if isinstance(document, Mapping) else ():
        if key != 'ros__parameters':
            yield from _sections(inside, f'{above}/{str(key).strip("/")}')
        elif isinstance(inside, Mapping):
            yield above, inside


def _is_meant(key: str) -> bool:
    return key == _EVERY or key.rpartition('/')[2] == _NODE


def _flat(values: Mapping[Any, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield parameters under their whole names: nested mappings are joined by dots."""
    for key, value in values.items():
        name = f'{prefix}{key}'
        if isinstance(value, Mapping):
            yield from _flat(value, f'{name}.')
        else:
            yield name, value
