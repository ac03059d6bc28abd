"""Options of commands from the option table: nothing about them is declared here a second time.

`takes_options` turns the parameters of a function into those that typer reads. A parameter whose
type is an options dataclass becomes the options of its entries, one whose name is an entry becomes
that option, and all others (arguments, options of one command alone) stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import lru_cache
import inspect
import math
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from da3_ros.cli.reporting import say
from da3_ros.options import EstimatorOptions, PredictionOptions, StreamOptions
from da3_ros.options.evaluation import EvaluationOptions
from da3_ros.options.export import ContentOptions, GlbOptions, ResultOptions
from da3_ros.options.output import OutputOptions
from da3_ros.options.outputs import OutputChoice
from da3_ros.options.scenes import BagOptions, InputOptions, PlaybackOptions, RunOptions
from da3_ros.options.streaming import StreamFileOptions, StreamInputOptions
from da3_ros.options.table import Entrance, OptionSpec, specs_of, with_truth

_PANELS: dict[type, str] = {
    EstimatorOptions: 'Network',
    PredictionOptions: 'Network',
    RunOptions: 'Input',
    StreamOptions: 'Network',
    OutputOptions: 'Output',
    OutputChoice: 'Result',
    InputOptions: 'Input',
    StreamInputOptions: 'Input',
    BagOptions: 'Result',
    EvaluationOptions: 'Result',
    PlaybackOptions: 'Output',
    ContentOptions: 'Result',
    GlbOptions: 'Result',
    ResultOptions: 'Result',
    StreamFileOptions: 'Result',
}
"""Group of the table to the panel of `--help` that shows its options, in the order of both."""


def complete_model(incomplete: str) -> list[str]:
    """Return the short names of checkpoints that begin so."""
    from da3_ros.model.presets import NETWORKS

    return [name for name in NETWORKS if name.startswith(incomplete)]


def complete_format(incomplete: str) -> list[str]:
    """Return joined formats that begin so, one more than are there already."""
    from da3_ros.export.registry import FORMATS

    *before, last = incomplete.split('-')
    return [
        '-'.join([*before, name])
        for name in FORMATS
        if name.startswith(last) and name not in before
    ]


_COMPLETIONS: dict[str, Callable[[str], list[str]]] = {
    'model': complete_model,
    'export_format': complete_format,
}

_SHORT: dict[str, str] = {'export_dir': '-o'}
"""Short flags beside the long ones."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """One option of the table as a command has it."""

    spec: OptionSpec
    panel: str

    def parameters(self, *, is_required: bool) -> Iterator[inspect.Parameter]:
        """Yield what typer reads: the option and its other names."""
        spec = self.spec
        default: Any = spec.default
        shown: str | bool = True
        if is_required:
            default = inspect.Parameter.empty
        elif spec.aliases and default is not None:
            # What is not given under one name may be under another.
            default, shown = None, str(default)
        yield self._parameter(spec.name, spec.brief, default, shown)
        for alias in spec.aliases:
            yield self._parameter(alias, f'Another name of {flag_of(spec)}.', None, False)

    def _parameter(
        self, name: str, text: str, default: Any, shown: str | bool
    ) -> inspect.Parameter:
        spec = self.spec
        short = _SHORT.get(name)
        flags = (flag_of(spec), *([short] if short else [])) if spec.flag or short else ()
        option = typer.Option(
            *(flags if name == spec.name else ()),
            help=text,
            min=spec.minimum,
            max=None if spec.maximum is None or math.isinf(spec.maximum) else spec.maximum,
            autocompletion=_COMPLETIONS.get(spec.name),
            show_default=shown,
            rich_help_panel=self.panel,
        )
        choices = (*spec.choices, 'true', 'false') if spec.is_mixed else spec.choices
        kind = _enum(spec.name, choices) if choices else spec.kind
        if issubclass(kind, Path):
            # Typer knows only the general one in all its versions, not PosixPath of a default.
            kind = Path
        if default is None:
            kind = kind | None
        elif choices and default is not inspect.Parameter.empty:
            default = kind(str(default).lower() if isinstance(default, bool) else default)
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[kind, option],
        )

    def taken(self, given: dict[str, Any]) -> Any:
        """Take the value of the option out of what typer gives, whichever its name was.

        Raises:
            BadParameter: two of its names were used.
        """
        spec = self.spec
        found = {
            name: value
            for name in (spec.name, *spec.aliases)
            if (value := given.pop(name, None)) is not None
        }
        if len(set(found.values())) > 1:
            names = ' or '.join(f'--{name.replace("_", "-")}' for name in found)
            raise typer.BadParameter(f'expected {names}, got both')
        for alias in found.keys() & set(spec.aliases):
            say(f'--{alias.replace("_", "-")} is another name of {flag_of(spec)}')
        value = next(iter(found.values()), spec.default)
        return with_truth(spec, value.value if isinstance(value, Enum) else value)


def flag_of(spec: OptionSpec) -> str:
    """Return how an option is written on the command line."""
    return spec.flag or f'--{spec.name.replace("_", "-")}'


def takes_options(
    entrance: Entrance, *, required: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command its options of the table.

    The command's own parameters come first, then those of the table, in its order.

    Args:
        entrance: the command, as the table names it.
        required: options that have no default here.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        hints.pop('return', None)
        single = {name: hints[name] for name in hints if _is_entry(name, hints[name], entrance)}
        groups = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            for name, parameter in inspect.signature(command).parameters.items()
            if name not in groups and name not in single
        ]
        shared = {**_in_groups(groups.values(), entrance)}
        shared |= {name: _entries(entrance)[name] for name in single}
        order = [name for name in _entries(entrance) if name in shared]

        def with_options(**given: Any) -> None:
            values = {name: shared[name].taken(given) for name in order}
            made = {name: _made(kind, values, entrance) for name, kind in groups.items()}
            command(**given, **made, **{name: values[name] for name in single})

        parameters = [
            *own,
            *(p for name in order for p in shared[name].parameters(is_required=name in required)),
        ]
        with_options.__name__ = command.__name__
        with_options.__doc__ = command.__doc__
        with_options.__module__ = command.__module__
        signature = inspect.Signature(parameters)
        with_options.__signature__ = signature  # type: ignore[attr-defined]
        with_options.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_options

    return decorate


@lru_cache
def _entries(entrance: Entrance) -> dict[str, _Shared]:
    """Return every option of the table that an entrance has, by name."""
    return {
        spec.name: _Shared(spec, panel)
        for group, panel in _PANELS.items()
        for spec in specs_of(group, entrance)
    }


def _is_entry(name: str, hint: Any, entrance: Entrance) -> bool:
    return name in _entries(entrance) and not hasattr(hint, '__metadata__')


def _in_groups(groups: Any, entrance: Entrance) -> dict[str, _Shared]:
    found: dict[str, _Shared] = {}
    for group in groups:
        if group in _PANELS:
            found |= {s.name: _Shared(s, _PANELS[group]) for s in specs_of(group, entrance)}
        else:
            found |= _in_groups(_inner(group).values(), entrance)
    return found


def _made(group: Any, values: dict[str, Any], entrance: Entrance) -> Any:
    """Return an options object of the values; what the command does not offer has its default."""
    if group not in _PANELS:
        return group(**{n: _made(inner, values, entrance) for n, inner in _inner(group).items()})
    return group(**{spec.name: values[spec.name] for spec in specs_of(group, entrance)})


@lru_cache
def _inner(group: type) -> dict[str, Any]:
    """Return the options dataclasses that another one is made of."""
    hints = get_type_hints(group)
    return {field.name: hints[field.name] for field in fields(group)}


@lru_cache
def _enum(name: str, choices: tuple[str, ...]) -> Any:
    """Return the type by which typer offers choices."""
    return Enum(name, {choice: choice for choice in choices}, type=str)
