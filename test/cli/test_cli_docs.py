"""docs/cli.md names every command and every shared option, and none that do not exist."""

from pathlib import Path
import re
from typing import Any

import typer

from da3_ros.cli.app import COMMANDS, app
from da3_ros.cli.lazy_group import LazyGroup
from da3_ros.options.scenes import InputOptions
from da3_ros.options.table import Entrance, specs_of
from helpers.option_groups import entries

TEXT = (Path(__file__).resolve().parents[2] / 'docs' / 'cli.md').read_text(encoding='utf-8')


def options_of(command: str) -> set[str]:
    group = typer.main.get_group(app)
    found = group.get_command(typer.Context(group), command)
    assert found is not None
    return options_in(found)


def options_in(found: Any) -> set[str]:
    """Return the options of a command, or of all commands of a group."""
    names: set[str] = set()
    if isinstance(found, LazyGroup):
        context = typer.Context(found)
        for name in found.list_commands(context):
            names |= options_in(found.get_command(context, name))
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


SHARED = [
    spec
    for spec in entries(Entrance.SCENES)
    if spec not in specs_of(InputOptions, Entrance.SCENES)
]


def test_shared_options_are_described_and_shared() -> None:
    table = TEXT.split('<!-- options: shared -->')[1].split('<!-- end -->')[0]
    named = set(
        re.findall(
            r'`(--[\w-]+)`', ' '.join(row.split('|')[1] for row in table.splitlines()[3:-1])
        )
    )
    own = {'as_json': '--json'}
    expected = {
        own.get(name, '--' + name.replace('_', '-'))
        for spec in SHARED
        for name in (spec.name, *spec.aliases)
    }
    assert len(expected) > 20
    assert named == expected
    for command in ('auto', 'image', 'images', 'video', 'colmap'):
        assert expected <= options_of(command), command


def test_no_option_is_made_up() -> None:
    every = set().union(*(options_of(command) for command in COMMANDS))
    every |= {'--help', '--install-completion'}
    assert set(re.findall(r'(?<![\w-])(--[a-z][\w-]+)', TEXT)) <= every


def test_defaults_are_those_described() -> None:
    for spec in SHARED:
        if spec.default != '' and not isinstance(spec.default, bool):
            assert f'`{spec.default}`' in TEXT
