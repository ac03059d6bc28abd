"""The options of `da3 stream`, and what a configuration of DA3-Streaming says of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from da3_ros.errors import ConfigError, ExportError
from da3_ros.foreign import plain_path
from da3_ros.options import EstimatorOptions, StreamOptions
from da3_ros.options.export import ContentOptions, GlbOptions, ResultOptions
from da3_ros.options.scenes import InputOptions, RunOptions
from da3_ros.options.streaming import StreamFileOptions, StreamInputOptions
from da3_ros.options.table import Entrance, OptionSpec, OptionValue, check_value, specs_of


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Everything that can be asked of `da3 stream`, by group."""

    network: EstimatorOptions
    stream: StreamOptions
    reading: InputOptions
    input: StreamInputOptions
    run: RunOptions
    content: ContentOptions
    glb: GlbOptions
    results: ResultOptions
    files: StreamFileOptions

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats that are written at the end; none for an empty text.

        Raises:
            ExportError: one does not exist, or cannot be written of a stream.
        """
        from da3_ros.export.registry import parse_formats

        text = self.results.export_format
        names = parse_formats(text) if text else ()
        refused = unstreamable(names)
        if refused:
            raise ExportError(refused)
        return names

    def values(self) -> dict[str, OptionValue]:
        """Return name to value of the options that decide what is in the files."""
        return {
            spec.name: getattr(getattr(self, group.name), spec.name)
            for group in fields(self)
            for spec in specs_of(getattr(self, group.name), Entrance.STREAM)
            if spec.changes_files
        }

    def with_values(self, values: Mapping[str, OptionValue], where: str) -> StreamRequest:
        """Return the same with other values of some options.

        Raises:
            ConfigError: a value is none of its option.
        """
        return replace(
            self,
            **{
                group.name: _changed(getattr(self, group.name), values, where)
                for group in fields(self)
            },
        )


def unstreamable(formats: Collection[str]) -> str:
    """Return why formats cannot be written of a stream of any length; empty where they can."""
    from da3_ros.sinks.stream_results import STREAM_FORMATS

    refused = [name for name in formats if name not in STREAM_FORMATS]
    if not refused:
        return ''
    return (
        f'{", ".join(refused)}: holds all frames at once, which a stream does not; expected '
        f'{", ".join(STREAM_FORMATS)}. results_output/frame_N.npz has the numbers of every frame'
    )


def with_config(request: StreamRequest, given: Collection[str]) -> tuple[StreamRequest, list[str]]:
    """Return a request with what its configuration says, and notes about that.

    Args:
        request: as the command line has it.
        given: names of the options that the command line named: these stay.

    Raises:
        ConfigError: the configuration cannot be read, or a value in it is none.
    """
    path = request.input.config
    if path is None:
        return request, []
    from da3_ros.sources.streaming_yaml import read_streaming_config

    config = read_streaming_config(path)
    where = f'config {plain_path(path)}'
    # Who names one of them has left the pair.
    taken = {*given, *({'window', 'stride'} if {'window', 'stride'} & {*given} else ())}
    values = {name: value for name, value in config.options.items() if name not in taken}
    notes = [f'{where}: {note}' for note in config.notes]
    if config.ignored:
        notes.append(f'{where}: means nothing here: {", ".join(config.ignored)}')
    return request.with_values(values, where), notes


def _changed(group: Any, values: Mapping[str, OptionValue], where: str) -> Any:
    specs = {spec.name: spec for spec in specs_of(group, Entrance.STREAM)}
    new: dict[str, Any] = {
        name: _checked(specs[name], value, where)
        for name, value in values.items()
        if name in specs
    }
    return replace(group, **new)


def _checked(spec: OptionSpec, value: OptionValue, where: str) -> OptionValue:
    try:
        check_value(spec, value)
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error
    return value
