"""ROS parameters from the declarations in `config`, and the options they give.

Every option is declared with its help, bounds and whether it may change. What is read back is a
checked `NodeOptions`. A change at run time is checked as a whole and then replaces the options
object in one assignment, or is rejected with the reason and changes nothing. Options that are not
dynamic change only while the node is not configured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
import sys

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from da3_ros.errors import ConfigError, NodeError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.options import (
    NodeOptions,
    OptionSpec,
    OptionValue,
    check_value,
    from_flat,
    option_specs,
    with_truth,
)
from da3_ros.options.camera import BASE_FROM_CAMERA, CAMERA_PARAMETERS, CameraParameter
from da3_ros.options.camera_values import check_camera_name, pose_of, prefixed
from da3_ros.types import RigCalibration

START_ONLY = frozenset({'autostart'})
"""Options that count once, when the process starts."""

FIXED_TEXT = 'read-only while the node is configured'
"""What parameters that are not dynamic say of themselves."""

CAMERA_PREFIXES = tuple(sorted({f'{parameter.prefix}.' for parameter in CAMERA_PARAMETERS}))
"""How the names of the parameters of single cameras begin."""

_INT64_MAX = 2**63 - 1


class OptionsHolder:
    """The options as they are now; whoever reads `current` sees one consistent set.

    A wrong value given at start is kept in mind, not raised, so that the node comes up and the
    parameter can be corrected; `checked` tells of it.

    Args:
        node: a node that has no parameters of these names yet. They are declared here.
    """

    def __init__(self, node: Node) -> None:
        self._specs = {spec.name: spec for spec in option_specs()}
        self._wrong: dict[str, str] = {}
        self._values: dict[str, OptionValue] = {}
        for spec in self._specs.values():
            self._values[spec.name] = self._declared(node, spec)
        self._default_model = ''
        self._current: NodeOptions | None = None
        with suppress(ConfigError):
            self._current = self._whole(self._values)
        self.is_configured = False
        """Whether only dynamic options may change, and parameters of cameras may not."""
        # The handles keep the callbacks registered.
        self._check_handle = node.add_on_set_parameters_callback(self._check)
        self._take_handle: object = None
        # Where there are such callbacks (not in Humble), nobody else can object any more.
        self._takes_later = hasattr(node, 'add_post_set_parameters_callback')
        if self._takes_later:
            self._take_handle = node.add_post_set_parameters_callback(self._take)

    def _declared(self, node: Node, spec: OptionSpec) -> OptionValue:
        try:
            return _declare(node, spec)
        except NodeError as error:
            self._wrong[spec.name] = str(error)
            return _declare(node, spec, ignore_given=True)

    def set_default_model(self, name: str) -> None:
        """Let `current` name this model where the parameter names none; '' for none again."""
        self._default_model = name

    @property
    def current(self) -> NodeOptions:
        """The options.

        Raises:
            NodeError: those given at start do not fit together; see `checked`.
        """
        return self._current or self.checked()

    def checked(self) -> NodeOptions:
        """Return the options, after a look at every value that was given.

        Raises:
            NodeError: a parameter is wrong; names it and says what was expected.
        """
        for reason in self._wrong.values():
            raise NodeError(reason)
        try:
            self._current = self._whole(self._values)
        except ConfigError as error:
            raise NodeError(f'parameter {error}') from error
        return self._current

    def _check(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        """Accept all of a change or none of it."""
        reason = self._objection(parameters)
        if not reason and not self._takes_later:
            self._take(parameters)
        return SetParametersResult(successful=not reason, reason=reason)

    def _changed(self, parameters: Sequence[Parameter]) -> dict[str, OptionValue]:
        specs = self._specs
        return {p.name: _value(specs[p.name], p.value) for p in parameters if p.name in specs}

    def _objection(self, parameters: Sequence[Parameter]) -> str:
        """Return what speaks against a change, empty if nothing does."""
        changed = self._changed(parameters)
        fixed = [name for name in changed if not self._specs[name].dynamic]
        fixed += [p.name for p in parameters if p.name.startswith(CAMERA_PREFIXES)]
        if fixed and self.is_configured:
            return (
                f'{", ".join(fixed)}: read-only; set it at start, or deactivate and clean up, '
                'set it and configure again'
            )
        try:
            for name, value in changed.items():
                check_value(self._specs[name], value)
            if self._current is not None:
                self._whole({**self._values, **changed})
        except ConfigError as error:
            return str(error)
        return ''

    def _take(self, parameters: Sequence[Parameter]) -> None:
        """Take a change to which nobody objected."""
        changed = self._changed(parameters)
        if not changed:
            return
        self._values = {**self._values, **changed}
        for name in changed:
            self._wrong.pop(name, None)
        with suppress(ConfigError):
            self._current = self._whole(self._values)

    def _whole(self, values: Mapping[str, OptionValue]) -> NodeOptions:
        """Return options of all values, checked together.

        Raises:
            ConfigError: they do not fit.
        """
        options = from_flat({**values, 'model': values['model'] or self._default_model})
        for camera in options.stream.cameras:
            with prefixed('cameras: '):
                check_camera_name(camera)
        return options


def descriptor(spec: OptionSpec) -> ParameterDescriptor:
    """Return what ROS shows and checks of an option."""
    found = ParameterDescriptor(name=spec.name, description=spec.help)
    found.read_only = spec.name in START_ONLY
    # rcl has one type for a parameter otherwise.
    found.dynamic_typing = spec.is_mixed
    limits = [spec.limits] if spec.choices else []
    if not spec.dynamic and not found.read_only:
        limits.append(FIXED_TEXT)
    found.additional_constraints = '; '.join(limits)
    if spec.minimum is None and spec.maximum is None:
        return found
    if spec.kind is float:
        low = -sys.float_info.max if spec.minimum is None else spec.minimum
        high = sys.float_info.max if spec.maximum is None else spec.maximum
        bounds = FloatingPointRange(from_value=float(low), to_value=float(high))
        found.floating_point_range = [bounds]
    else:
        least = -_INT64_MAX if spec.minimum is None else int(spec.minimum)
        most = _INT64_MAX if spec.maximum is None else int(spec.maximum)
        found.integer_range = [IntegerRange(from_value=least, to_value=most)]
    return found


def _declare(node: Node, spec: OptionSpec, *, ignore_given: bool = False) -> OptionValue:
    default = spec.default
    details = descriptor(spec)
    try:
        if not ignore_given:
            default = _given_by_alias(node, spec, default)
        value = list(default) if isinstance(default, tuple) else default
        value = node.declare_parameter(spec.name, value, details, ignore_given).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise NodeError(f'parameter {spec.name}: expected {_expected(spec)}; {error}') from error
    return _value(spec, value)


def _given_by_alias(
    node: Node, spec: OptionSpec, default: OptionValue | None
) -> OptionValue | None:
    """Return what is given under another name of an option, the default where nothing is."""
    for alias in spec.aliases:
        details = ParameterDescriptor(name=alias, dynamic_typing=True)
        given = node.declare_parameter(alias, None, details).value
        # It was only declared to be read: the option has one name while the node runs.
        node.undeclare_parameter(alias)
        if given is None:
            continue
        node.get_logger().warning(f'parameter {alias}: another name of {spec.name}')
        try:
            check_value(spec, _value(spec, given))
        except ConfigError as error:
            raise NodeError(f'parameter {alias}: {error}') from error
        default = _value(spec, given)
    return default


def _expected(spec: OptionSpec) -> str:
    if spec.choices:
        return spec.limits
    kind = 'list of strings' if spec.kind is tuple else spec.kind.__name__
    if spec.minimum is None and spec.maximum is None:
        return kind
    example = ', for example 1.0 and not 1' if spec.kind is float else ''
    return f'{kind} from {spec.minimum} to {spec.maximum}{example}'


def _value(spec: OptionSpec, value: object) -> OptionValue:
    return with_truth(spec, _plain(value))


def _plain(value: object) -> OptionValue:
    if isinstance(value, (bool, int, float, str)):
        return value
    return tuple(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)


def declare_rig(node: Node, options: NodeOptions) -> RigCalibration:
    """Read `rig.<camera>.base_from_camera` of every camera and return those that are given.

    What is not declared yet is declared.

    Raises:
        NodeError: one is not seven numbers with a non-zero quaternion; names it.
    """
    found: dict[str, FloatArray] = {}
    for camera in options.stream.cameras:
        value = declared_once(node, BASE_FROM_CAMERA, camera)
        if value is None or (isinstance(value, Sequence) and not len(value)):
            continue
        with refused_as(BASE_FROM_CAMERA.of(camera)):
            found[camera] = pose_of(value)
    return RigCalibration(found)


@contextmanager
def refused_as(name: str) -> Iterator[None]:
    """Let what is said of a value name the parameter that has it.

    Raises:
        NodeError: for a ConfigError.
    """
    try:
        yield
    except ConfigError as error:
        raise NodeError(f'parameter {name}: {error}') from error


def declared_once(node: Node, parameter: CameraParameter, camera: str) -> object:
    """Return the value of a parameter of a camera; it is declared when it is not yet.

    It has no type: an empty list is as good as none, and 90.0 as good as 90.
    """
    name = parameter.of(camera)
    if not node.has_parameter(name):
        details = ParameterDescriptor(
            name=name,
            description=parameter.help_of(camera),
            additional_constraints=FIXED_TEXT,
            dynamic_typing=True,
        )
        node.declare_parameter(name, parameter.default, details)
    value: object = node.get_parameter(name).value
    return value


def undeclared(node: Node, given: Mapping[str, object]) -> tuple[str, ...]:
    """Return those of the given names that are no parameters of the node, sorted.

    rclpy ignores them without a word, so that a misspelt name looks like a set one.
    """
    aliases = {alias for spec in option_specs() for alias in spec.aliases}
    return tuple(
        sorted(
            name
            for name in given
            if not node.has_parameter(name)
            and name not in aliases
            and not name.startswith('qos_overrides.')
        )
    )
