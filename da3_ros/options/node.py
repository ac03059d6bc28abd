"""All options of the node together: by group, or flat by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import logging
from typing import Any, TypeVar

from da3_ros.errors import ConfigError
from da3_ros.options.network import EstimatorOptions
from da3_ros.options.output import OutputOptions
from da3_ros.options.stream import StreamOptions
from da3_ros.options.table import Entrance, OptionSpec, OptionValue, check_value, specs_of

_Value = TypeVar('_Value')

_log = logging.getLogger(__name__)

# Side of the network's patches: no image can be smaller.
_PATCH_PX = 14


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """All options of the node, by group."""

    estimator: EstimatorOptions = field(default_factory=EstimatorOptions)
    stream: StreamOptions = field(default_factory=StreamOptions)
    output: OutputOptions = field(default_factory=OutputOptions)

    def __post_init__(self) -> None:
        """Check every option and what they mean together.

        Raises:
            ConfigError: an option is outside its bounds; names it, the bounds and the value.
        """
        values = to_flat(self)
        for spec in option_specs():
            check_value(spec, values[spec.name])
        cameras = self.stream.cameras
        if not cameras or len(set(cameras)) != len(cameras) or not all(cameras):
            raise ConfigError(f'cameras: expected distinct names, at least one, got {cameras}')
        if self.stream.min_cameras > len(cameras):
            raise ConfigError(
                f'min_cameras: {self.stream.min_cameras} is more than the {len(cameras)} cameras'
            )
        if self.stream.stride > self.stream.window:
            raise ConfigError(
                f'stride: {self.stream.stride} is more than window = {self.stream.window}, '
                'so that sets would be skipped'
            )
        self._check_prior_frame()
        if 0 < self.estimator.process_res < _PATCH_PX:
            raise ConfigError(
                f'process_res: expected 0 or at least {_PATCH_PX}, '
                f'got {self.estimator.process_res}'
            )
        if self.output.min_depth_m >= self.output.max_depth_m:
            raise ConfigError(
                f'min_depth_m: {self.output.min_depth_m:g} is not less than max_depth_m = '
                f'{self.output.max_depth_m:g}, so that no depth would be left'
            )

    def _check_prior_frame(self) -> None:
        """Refuse to take this node's own poses for an odometry."""
        o = self.output
        prior = o.prior_frame.lstrip('/')
        for switch, is_on, frame in (
            ('publish_tf', o.publish_tf is True, o.odom_frame),
            ('publish_map_tf', o.publish_map_tf is True and bool(o.publish_tf), o.map_frame),
        ):
            if prior and is_on and prior == frame.lstrip('/'):
                raise ConfigError(
                    f'prior_frame: this node itself publishes transforms from {prior!r} '
                    f'({switch}), and never follows its own output; set {switch} to auto or '
                    'false if another node publishes them, or give this node another odom_frame'
                )
        if prior and prior == o.base_frame.lstrip('/'):
            raise ConfigError(
                f'prior_frame: {prior!r} is base_frame, which moves with the robot; expected the '
                'fixed frame of the odometry, for example odom'
            )


_GROUPS: tuple[tuple[str, type], ...] = (
    ('estimator', EstimatorOptions),
    ('stream', StreamOptions),
    ('output', OutputOptions),
)


def option_specs() -> tuple[OptionSpec, ...]:
    """Return every entry that is a parameter of the node, in the order of the groups."""
    return tuple(spec for _, group in _GROUPS for spec in specs_of(group, Entrance.NODE))


def to_flat(options: NodeOptions) -> dict[str, OptionValue]:
    """Return name to value of every option."""
    return {
        spec.name: getattr(getattr(options, name), spec.name)
        for name, group in _GROUPS
        for spec in specs_of(group, Entrance.NODE)
    }


def from_flat(values: Mapping[str, OptionValue]) -> NodeOptions:
    """Return options with the given values, defaults elsewhere.

    Raises:
        ConfigError: a name is unknown, a value has the wrong type or is out of bounds.
    """
    known = {spec.name: spec for spec in option_specs()}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f'unknown options: {", ".join(unknown)}; known: {", ".join(known)}')
    for name, value in values.items():
        check_value(known[name], value)
    groups: dict[str, Any] = {
        name: group(
            **{spec.name: values[spec.name] for spec in specs_of(group) if spec.name in values}
        )
        for name, group in _GROUPS
    }
    return NodeOptions(**groups)


def without_aliases(values: Mapping[str, _Value], where: str) -> dict[str, _Value]:
    """Return values under the names of the options, however they were named; a log line says so.

    Args:
        values: name to value; unknown names stay.
        where: begins the log line.

    Raises:
        ConfigError: an option is given under two names.
    """
    names = {alias: spec.name for spec in option_specs() for alias in spec.aliases}
    found: dict[str, _Value] = {}
    for name, value in values.items():
        own = names.get(name, name)
        if own != name:
            _log.warning('%s: %s is another name of %s', where, name, own)
        if own in found:
            raise ConfigError(f'{where}: {own} is given twice, once under another name')
        found[own] = value
    return found
