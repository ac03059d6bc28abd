"""ROS parameters from the declarations in `config`, and the options they give.

Every option is declared with its help, bounds and whether it may change. What is read back is a
checked `NodeOptions`. A change at run time is checked as a whole and then replaces the options
object in one assignment, or is rejected with the reason and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import re
import sys

import numpy as np
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from da3_ros.config import NodeOptions, OptionSpec, OptionValue, from_flat, option_specs, to_flat
from da3_ros.errors import ConfigError, GeometryError, NodeError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid_from_xyz_xyzw
from da3_ros.types import RigCalibration

_RIG_PREFIX = 'rig.'
_RIG_FIELD = '.base_from_camera'
_RIG_HELP = (
    'Pose of the optical frame of camera {camera} in base_frame: x y z (m) qx qy qz qw. Not set '
    'or empty: taken from /tf_static if use_tf_static, else unknown.'
)
# One or more tokens of a topic name: https://design.ros2.org/articles/topic_and_service_names
_TOPIC_PREFIX = re.compile(r'/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')
_INT64_MAX = 2**63 - 1


class OptionsHolder:
    """The options as they are now; whoever reads `current` sees one consistent set.

    Args:
        node: a node that has no parameters of these names yet. They are declared here.

    Raises:
        NodeError: a parameter given at start is wrong; names it and says what was expected.
    """

    def __init__(self, node: Node) -> None:
        values: dict[str, OptionValue] = {}
        for spec in option_specs():
            values[spec.name] = _declare(node, spec)
        try:
            self.current = from_flat(values)
        except ConfigError as error:
            raise NodeError(f'parameter {error}') from error
        for camera in self.current.stream.cameras:
            _check_camera_name(camera)
        self._specs = {spec.name: spec for spec in option_specs()}
        # The handle keeps the callback registered.
        self._handle = node.add_on_set_parameters_callback(self._change)

    def _change(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        """Accept all of a change or none of it."""
        changed = {p.name: _plain(p.value) for p in parameters if p.name in self._specs}
        fixed = [name for name in changed if not self._specs[name].dynamic]
        if fixed:
            reason = f'{", ".join(fixed)}: read only; restart the node to change it'
            return SetParametersResult(successful=False, reason=reason)
        try:
            options = from_flat({**to_flat(self.current), **changed})
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.current = options
        return SetParametersResult(successful=True)


def _check_camera_name(camera: str) -> None:
    if not _TOPIC_PREFIX.fullmatch(camera):
        raise NodeError(
            f'parameter cameras: {camera!r} cannot begin a topic name; use letters, digits and _, '
            'not a digit first, parts joined by /'
        )


def descriptor(spec: OptionSpec) -> ParameterDescriptor:
    """Return what ROS shows and checks of an option."""
    found = ParameterDescriptor(name=spec.name, description=spec.help, read_only=not spec.dynamic)
    if spec.choices:
        found.additional_constraints = 'one of ' + ', '.join(spec.choices)
    if spec.minimum is None and spec.maximum is None:
        return found
    if isinstance(spec.default, float):
        low = -sys.float_info.max if spec.minimum is None else spec.minimum
        high = sys.float_info.max if spec.maximum is None else spec.maximum
        bounds = FloatingPointRange(from_value=float(low), to_value=float(high))
        found.floating_point_range = [bounds]
    else:
        least = -_INT64_MAX if spec.minimum is None else int(spec.minimum)
        most = _INT64_MAX if spec.maximum is None else int(spec.maximum)
        found.integer_range = [IntegerRange(from_value=least, to_value=most)]
    return found


def _declare(node: Node, spec: OptionSpec) -> OptionValue:
    default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
    try:
        value = node.declare_parameter(spec.name, default, descriptor(spec)).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise NodeError(f'parameter {spec.name}: expected {_expected(spec)}; {error}') from error
    return _plain(value)


def _expected(spec: OptionSpec) -> str:
    if spec.choices:
        return 'one of ' + ', '.join(spec.choices)
    kind = 'list of strings' if isinstance(spec.default, tuple) else type(spec.default).__name__
    if spec.minimum is None and spec.maximum is None:
        return kind
    example = ', for example 1.0 and not 1' if isinstance(spec.default, float) else ''
    return f'{kind} from {spec.minimum} to {spec.maximum}{example}'


def _plain(value: object) -> OptionValue:
    if isinstance(value, (bool, int, float, str)):
        return value
    return tuple(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)


def declare_rig(node: Node, options: NodeOptions) -> RigCalibration:
    """Declare `rig.<camera>.base_from_camera` of every camera and return those that are given.

    Raises:
        NodeError: one is not seven numbers with a non-zero quaternion; names it.
    """
    found: dict[str, FloatArray] = {}
    for camera in options.stream.cameras:
        name = f'{_RIG_PREFIX}{camera}{_RIG_FIELD}'
        # Without a type: [] and whole numbers are as good as decimal ones.
        details = ParameterDescriptor(
            name=name,
            description=_RIG_HELP.format(camera=camera),
            read_only=True,
            dynamic_typing=True,
        )
        value = node.declare_parameter(name, None, details).value
        if value is None or (isinstance(value, Sequence) and not len(value)):
            continue
        try:
            found[camera] = rigid_from_xyz_xyzw(np.asarray(value, dtype=np.float64))
        except (GeometryError, TypeError, ValueError) as error:
            raise NodeError(
                f'parameter {name}: expected seven numbers x y z qx qy qz qw, '
                f'got {value!r} ({error})'
            ) from error
    return RigCalibration(found)


def undeclared(node: Node, given: Mapping[str, object]) -> tuple[str, ...]:
    """Return those of the given names that are no parameters of the node, sorted.

    rclpy ignores them without a word, so that a misspelt name looks like a set one.
    """
    return tuple(
        sorted(
            name
            for name in given
            if not node.has_parameter(name) and not name.startswith('qos_overrides.')
        )
    )
