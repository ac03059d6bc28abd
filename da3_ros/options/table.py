"""One entry of the option table: all that an entrance has to know of an option.

An entry is the field of an options dataclass, declared with `option`. Everything else derives from
it: `specs_of` reads the entries of a dataclass, `at` gives an entry as one entrance has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from enum import Enum
import math
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar, cast

from da3_ros.errors import ConfigError, Da3Error

OptionValue = bool | int | float | str | Path | tuple[str, ...]

_Group = TypeVar('_Group')
_Value = TypeVar('_Value')
_KEY = 'option'


class Entrance(Enum):
    """Where a user gives an option."""

    NODE = 'da3_node'
    """ROS parameters, parameter files and rig files."""
    LAUNCH = 'launch files'
    SCENES = 'da3 auto, image, images, video, colmap'
    STREAM = 'da3 stream'
    EXPORT = 'da3 export'
    BAGS = 'da3 record, cloud, bag-from-video, synthesize'
    BAG = 'da3 bag'
    PLAY = 'da3 play'
    DEMO = 'da3 demo'
    ENGINES = 'da3 compile, export-onnx'
    EVAL = 'da3 eval traj, depth'
    ABOUT = 'da3 info, models, doctor'
    MODEL = 'DepthAnything3'
    """Its constructor and `from_pretrained`."""
    INFERENCE = 'DepthAnything3.inference'
    PREDICTION = 'Prediction.export'


class Unchanged(Enum):
    """Marks a default that an entrance leaves as it is."""

    UNCHANGED = 'unchanged'


@dataclass(frozen=True, slots=True)
class Variant:
    """What one entrance has otherwise than the others; empty texts and None change nothing."""

    default: OptionValue | Unchanged | None = Unchanged.UNCHANGED
    summary: str = ''
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One entry of the table."""

    name: str
    default: OptionValue | None
    """None where nothing is said unless the user says it."""
    kind: type
    """bool, int, float, str, Path, or tuple for a list."""
    summary: str
    """One sentence: the help of the command line."""
    details: str = ''
    """Further sentences for ROS, YAML and the documentation."""
    unit: str = ''
    minimum: float | None = None
    above_minimum: bool = False
    """Whether the minimum itself is too little."""
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    """All values there are, empty for any; of a bool those beside true and false."""
    dynamic: bool = False
    """Whether it may change while the node runs."""
    entrances: tuple[Entrance, ...] = ()
    variants: Mapping[Entrance, Variant] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    """Other names, which every entrance of the option accepts, with a notice."""
    flag: str = ''
    """Its one spelling on the command line; empty for `--name` (and `--no-name`)."""
    optional: bool = False
    """Whether None is a value too."""
    changes_files: bool = True
    """Whether it can change the content of exported files: then it is part of the key of
    `--resume`."""

    @property
    def is_mixed(self) -> bool:
        """Whether a text may stand in place of true and false."""
        return self.kind is bool and bool(self.choices)

    @property
    def brief(self) -> str:
        """The summary, with the unit."""
        return f'{self.summary.removesuffix(".")}, {self.unit}.' if self.unit else self.summary

    @property
    def help(self) -> str:
        """All that is said about it."""
        return f'{self.brief} {self.details}'.rstrip()

    @property
    def limits(self) -> str:
        """The choices or the bounds in words; empty for neither."""
        if self.choices:
            truth = ('true', 'false') if self.kind is bool else ()
            return f'one of {", ".join((*truth, *self.choices))}'
        if self.minimum is None:
            return ''
        if self.above_minimum:
            return f'more than {self.minimum:g}'
        if self.maximum is None or math.isinf(self.maximum):
            return f'at least {self.minimum:g}'
        return f'{self.minimum:g}..{self.maximum:g}'

    def at(self, entrance: Entrance) -> OptionSpec:
        """Return the entry as one entrance has it."""
        variant = self.variants.get(entrance)
        if variant is None:
            return self
        default = variant.default
        return replace(
            self,
            default=self.default if isinstance(default, Unchanged) else default,
            summary=variant.summary or self.summary,
            details='' if variant.summary else self.details,
            minimum=self.minimum if variant.minimum is None else variant.minimum,
            maximum=self.maximum if variant.maximum is None else variant.maximum,
        )


def option(
    default: OptionValue | None,
    summary: str,
    *,
    entrances: tuple[Entrance, ...],
    details: str = '',
    kind: type | None = None,
    unit: str = '',
    minimum: float | None = None,
    above_minimum: bool = False,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    dynamic: bool = False,
    variants: Mapping[Entrance, Variant] | None = None,
    aliases: tuple[str, ...] = (),
    flag: str = '',
    optional: bool = False,
    changes_files: bool = True,
) -> Any:
    """Return the field of an options dataclass that is one entry; see `OptionSpec`.

    Args:
        default: at the entrances that have no variant.
        summary: one sentence.
        entrances: where a user can give it.
        details: further sentences.
        kind: type of its values; that of the default when None.
        unit: of its values.
        minimum: least value.
        above_minimum: whether the minimum itself is too little.
        maximum: largest value.
        choices: all values there are, empty for any; of a bool those beside true and false.
        dynamic: whether it may change while the node runs.
        variants: what single entrances have otherwise.
        aliases: other names of it.
        flag: its one spelling on the command line.
        optional: whether None is a value too.
        changes_files: whether it can change the content of exported files.
    """
    spec = OptionSpec(
        name='',
        default=default,
        kind=kind or type(default),
        summary=summary,
        details=details,
        unit=unit,
        minimum=minimum,
        above_minimum=above_minimum,
        maximum=maximum,
        choices=choices,
        dynamic=dynamic,
        entrances=entrances,
        variants=variants or {},
        aliases=aliases,
        flag=flag,
        optional=optional,
        changes_files=changes_files,
    )
    return field(default=default, metadata={_KEY: spec})


def specs_of(group: Any, entrance: Entrance | None = None) -> tuple[OptionSpec, ...]:
    """Return the entries of an options dataclass, in the order of declaration.

    Args:
        group: the dataclass, or an object of it.
        entrance: return only those that it has, as it has them; None for all as declared.
    """
    found = tuple(_spec(f) for f in fields(group) if _KEY in f.metadata)
    if entrance is None:
        return found
    return tuple(spec.at(entrance) for spec in found if entrance in spec.entrances)


def _spec(declared: Field[Any]) -> OptionSpec:
    spec: OptionSpec = declared.metadata[_KEY]
    return replace(spec, name=declared.name)


def defaults_at(group: type[_Group], entrance: Entrance) -> _Group:
    """Return an options object with the defaults of one entrance."""
    return group(**{spec.name: spec.default for spec in specs_of(group, entrance)})


def check_group(options: Any, error: type[Da3Error] = ConfigError) -> None:
    """Check every entry of an options object.

    Raises:
        ConfigError: or the given error; names the option, what was expected and the value.
    """
    for spec in specs_of(options):
        check_value(spec, getattr(options, spec.name), error)


def check_value(
    spec: OptionSpec, value: OptionValue | None, error: type[Da3Error] = ConfigError
) -> None:
    """Check one value against its entry.

    Raises:
        ConfigError: or the given error; wrong type, out of bounds or not one of the choices.
    """
    if value is None and (spec.optional or spec.default is None):
        return
    if spec.is_mixed:
        if not (isinstance(value, bool) or value in spec.choices):
            raise error(f'{spec.name}: expected {spec.limits}, got {value!r}')
        return
    if not _is_of(value, spec.kind):
        raise error(f'{spec.name}: expected {spec.kind.__name__}, got {value!r}')
    if spec.choices and value not in spec.choices:
        raise error(f'{spec.name}: expected {spec.limits}, got {value!r}')
    if spec.minimum is None or spec.kind is bool:
        return
    low, high = spec.minimum, math.inf if spec.maximum is None else spec.maximum
    number = cast(float, value)
    if not low <= number <= high or (spec.above_minimum and number == low):
        raise error(f'{spec.name}: expected {spec.limits}, got {value}')


def with_truth(spec: OptionSpec, value: _Value) -> _Value | bool:
    """Return a value, where texts are values too with true and false for the texts of these.

    Launch files and quotes in YAML make texts of them.
    """
    if spec.is_mixed and isinstance(value, str):
        return {'true': True, 'false': False}.get(value.lower(), value)
    return value


def _is_of(value: object, kind: type) -> bool:
    # Numbers of numpy are numbers; what is true or false is none.
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, Integral if kind is int else Real if kind is float else kind)
