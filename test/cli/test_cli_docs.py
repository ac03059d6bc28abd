"""docs/cli.md names every command and every shared option, and none that do not exist."""

from dataclasses import fields
from pathlib import Path
import re
from typing import get_type_hints

import typer

from da3_ros.cli.app import COMMANDS, app
from da3_ros.cli.scene_options import SceneOptions

TEXT = (Path(__file__).resolve().parents[2] / 'docs' / 'cli.md').read_text(encoding='utf-8')


def options_of(command: str) -> set[str]:
    group = typer.main.get_group(app)
    found = group.get_command(typer.Context(group), command)
    assert found is not None
    names: set[str] = set()
    for parameter in found.params:
        if parameter.param_type_name == 'option':
            names |= {*parameter.opts, *parameter.secondary_opts}
    return names


def test_commands_are_described() -> None:
    table = TEXT.split('| command | input |')[1].split('\n\n')[0]
    named = set(
        re.findall(r'`([\w-]+)`', ' '.join(row.split('|')[1] for row in table.splitlines()[2:]))
    )
    assert named == set(COMMANDS)


def test_shared_options_are_described_and_shared() -> None:
    table = TEXT.split('| option | default | |')[1].split('\n\n')[0]
    named = set(
        re.findall(r'`(--[\w-]+)`', ' '.join(row.split('|')[1] for row in table.splitlines()[2:]))
    )
    hints = get_type_hints(SceneOptions, include_extras=True)
    own = {'as_json': '--json'}
    expected = {
        own.get(field.name, '--' + field.name.replace('_', '-')) for field in fields(SceneOptions)
    }
    assert len(hints) == len(expected)
    assert named == expected
    for command in ('auto', 'image', 'images', 'video', 'colmap'):
        assert expected <= options_of(command), command


def test_no_option_is_made_up() -> None:
    every = set().union(*(options_of(command) for command in COMMANDS))
    every |= {'--help', '--install-completion'}
    assert set(re.findall(r'(?<![\w-])(--[a-z][\w-]+)', TEXT)) <= every


def test_defaults_are_those_described() -> None:
    options = SceneOptions()
    for value in (
        options.model_dir, options.device, options.precision.value,
        options.process_res_method.value, options.ref_view_strategy.value,
        str(options.export_dir), options.export_format,
    ):  # fmt: skip
        assert f'`{value}`' in TEXT
