"""Options of commands come from the option table, under every name that it has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import EnumMeta
from importlib import import_module
import inspect
import math
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from da3_ros.cli.app import COMMANDS, app
from da3_ros.cli.eval import COMMANDS as EVAL_COMMANDS
from da3_ros.cli.scene_options import SceneOptions
from da3_ros.cli.table_options import takes_options
from da3_ros.errors import ExportError
from da3_ros.inference.prediction_export import export_options
from da3_ros.options import EstimatorOptions, PredictionOptions, specs_of
from da3_ros.options.export import ContentOptions, GlbOptions, ResultOptions
from da3_ros.options.network import NETWORK
from da3_ros.options.scenes import BagOptions, InputOptions
from da3_ros.options.table import Entrance, OptionSpec, defaults_at
from helpers.option_groups import entries

OF_COMMAND: dict[str, Entrance] = {
    **dict.fromkeys(('auto', 'image', 'images', 'video', 'colmap'), Entrance.SCENES),
    **dict.fromkeys(('record', 'cloud', 'bag-from-video', 'synthesize'), Entrance.BAGS),
    **dict.fromkeys(('info', 'models', 'doctor'), Entrance.ABOUT),
    **dict.fromkeys(('compile', 'export-onnx'), Entrance.ENGINES),
    'stream': Entrance.STREAM,
    **dict.fromkeys(('eval traj', 'eval depth'), Entrance.EVAL),
    'export': Entrance.EXPORT,
    'play': Entrance.PLAY,
    'bag': Entrance.BAG,
    'demo': Entrance.DEMO,
}


EVERY_COMMAND = COMMANDS | {f'eval {name}': found for name, found in EVAL_COMMANDS.items()}


def command(name: str) -> Any:
    found: Any = typer.main.get_group(app)
    for part in name.split():
        found = found.get_command(typer.Context(found), part)
    return found


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    module, function = EVERY_COMMAND[name].target.split(':')
    found = getattr(import_module(f'da3_ros.cli.{module}'), function)
    return inspect.signature(found).parameters


def invoke(function: Callable[..., None], *arguments: str) -> Any:
    own = typer.Typer()
    own.command()(function)
    return CliRunner().invoke(own, list(arguments))


def spelling(spec: OptionSpec) -> str:
    return spec.flag or '--' + spec.name.replace('_', '-')


def test_every_command_is_an_entrance_of_the_table() -> None:
    assert set(OF_COMMAND) == set(EVERY_COMMAND) - {'eval'}


@pytest.mark.parametrize('entrance', list(dict.fromkeys(OF_COMMAND.values())))
def test_every_entry_of_an_entrance_is_an_option_with_its_default_bounds_and_choices(
    entrance: Entrance,
) -> None:
    names = [name for name, own in OF_COMMAND.items() if own is entrance]
    shown = {o: p for name in names for p in command(name).params for o in p.opts}
    declared = {k: v for name in names for k, v in parameters(name).items()}
    for spec in entries(entrance):
        assert shown[spelling(spec)].help == spec.brief
        parameter = declared[spec.name]
        kind, option = get_args(parameter.annotation)
        if spec.aliases:
            assert option.show_default == (True if spec.default is None else spec.default)
        elif not shown[spelling(spec)].required:
            is_word = spec.is_mixed and isinstance(spec.default, bool)
            assert parameter.default == (str(spec.default).lower() if is_word else spec.default)
        assert option.min == spec.minimum
        assert option.max == (None if spec.maximum in (None, math.inf) else spec.maximum)
        kinds = {kind, *get_args(kind)} - {NoneType}
        listed = [tuple(k.__members__) for k in kinds if isinstance(k, EnumMeta)]
        words = (*spec.choices, 'true', 'false') if spec.is_mixed else spec.choices
        assert listed == ([words] if words else [])


@pytest.mark.parametrize('entrance', [Entrance.SCENES, Entrance.DEMO])
def test_another_name_of_an_option_is_taken_and_named(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    @takes_options(entrance)
    def show(model: str) -> None:
        taken.append(model)

    heard: list[str] = []
    monkeypatch.setattr('da3_ros.cli.table_options.say', heard.append)
    assert invoke(show, '--model', 'a').exit_code == 0
    assert not heard
    assert invoke(show, '--model-dir', 'b').exit_code == 0
    assert heard == ['--model-dir is another name of --model']
    assert invoke(show, '--model-dir', 'b', '--model', 'b').exit_code == 0
    result = invoke(show, '--model-dir', 'b', '--model', 'c')
    assert result.exit_code == 2
    assert 'got both' in result.stderr
    assert taken == ['a', 'b', 'b']


def test_another_name_of_an_option_of_a_format_is_taken_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level('INFO'):
        options = export_options(export_kwargs={'gs_ply': {'gs_views_interval': 3}})
    assert options.of('gs_ply').gs_ply.views_interval == 3
    assert 'gs_views_interval is another name of views_interval' in caplog.text
    with pytest.raises(ExportError, match='no option'):
        export_options(export_kwargs={'gs_ply': {'model_dir': 3}})


def test_groups_single_options_and_own_ones_live_side_by_side() -> None:
    seen: list[object] = []

    @takes_options(Entrance.SCENES)
    def show(
        path: Annotated[Path, typer.Argument()],
        network: EstimatorOptions,
        fps: float,
        loud: Annotated[bool, typer.Option('--loud')] = False,
    ) -> None:
        seen.extend((path, network, fps, loud))

    arguments = ('p', '--precision', 'bf16', '--model', 'm', '--fps', '2.5', '--loud')
    assert invoke(show, *arguments).exit_code == 0
    expected = replace(NETWORK, model='m', precision='bf16')
    assert seen == [Path('p'), expected, 2.5, True]
    assert invoke(show, 'p', '--precision', 'int4').exit_code == 2
    assert invoke(show, 'p', '--threads', '1025').exit_code == 2
    # What only the node offers is no option of a command.
    assert invoke(show, 'p', '--conditioning', 'off').exit_code == 2


def test_defaults_of_the_entrance_are_taken_when_called_from_python() -> None:
    seen: list[object] = []

    @takes_options(Entrance.BAGS)
    def show(out: Path, bag: BagOptions, overwrite: bool) -> None:
        seen.extend((out, bag, overwrite))

    show(out=Path('x'), overwrite=True)
    assert seen == [Path('x'), BagOptions(), True]


def test_a_required_option_has_no_default() -> None:
    @takes_options(Entrance.EXPORT, required=('export_dir',))
    def show(export_dir: Path) -> None:
        typer.echo(export_dir)

    assert invoke(show).exit_code == 2
    assert invoke(show, '--export-dir', 'there').stdout == 'there\n'


def test_the_key_of_resume_holds_all_but_where_and_how() -> None:
    """An option that is new is part of it, so that no result of other options is taken."""
    scenes = Entrance.SCENES
    options = SceneOptions(
        defaults_at(EstimatorOptions, scenes),
        defaults_at(PredictionOptions, scenes),
        defaults_at(ContentOptions, scenes),
        defaults_at(GlbOptions, scenes),
        defaults_at(ResultOptions, scenes),
    )
    # Options of the input decide which files there are, and those are in the key.
    every = {spec.name for spec in entries(scenes)}
    every -= {spec.name for spec in specs_of(InputOptions)}
    # The key has the checkpoint and the files of the input besides.
    assert every - set(options.deciding()) == {
        'model', 'device', 'runtime', 'threads', 'allow_smaller', 'export_dir', 'overwrite',
        'auto_cleanup', 'as_json',
    }  # fmt: skip
    other = replace(options, network=replace(options.network, use_ray_pose=True))
    assert other.deciding() == {**options.deciding(), 'use_ray_pose': True}
