"""What the official tool has and this one not yet: each says what to use instead.

They stand in no list of commands or options; who types them from the official documentation is
answered in one line, and the exit status is that of wrong usage.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
import json
import sys
from typing import Annotated, Any

import typer

from da3_ros.cli.exit_codes import EXIT_USAGE

_SERVER = (
    'there is no server that keeps a network loaded; `da3 images FOLDER1 FOLDER2` and '
    '`da3 images FOLDER --each` load it once for many scenes, and so does one '
    'DepthAnything3.from_pretrained(...) in Python'
)
_PAGE = (
    'there is no page to upload images to; `da3 auto INPUT --export-format glb --export-dir OUT` '
    'writes OUT/scene.glb for any glTF viewer, and `da3_node --ros-args -p viewer:=true` shows '
    'cameras live in a browser'
)
COMMANDS_INSTEAD: dict[str, str] = {
    'backend': _SERVER,
    'gradio': _PAGE,
    'app': _PAGE,
    'gallery': (
        'there is no gallery; any glTF viewer shows the scene.glb that `--export-format glb` '
        'writes, its pictures are in depth_vis/, and `da3 info FOLDER` says what is there'
    ),
    'streaming': (
        '`da3 stream IMAGE_DIR --config base_config.yaml --export-dir OUT` writes the same files, '
        'with less disk; it takes videos, too'
    ),
    'bench': (
        'DA3-BENCH is not evaluated here; `da3 images SCENE --export-format mini_npz --export-dir '
        'OUT` writes OUT/exports/mini_npz/results.npz, which the official evaluator measures '
        '(eval.eval_only=true); `da3 eval depth` and `da3 eval traj` compare with any truth'
    ),
}
"""Name of a command to one sentence, without the name."""


def refuse(name: str, instead: str, *, as_json: bool) -> typer.Exit:
    """Say what to use instead; return what ends the command.

    Args:
        name: of the command or option.
        instead: the sentence.
        as_json: whether stdout takes the error too.
    """
    message = f'{name}: {instead}'
    print(f'da3: {message}', file=sys.stderr)
    if as_json:
        command = name.split()[0]
        error = {'command': command, 'status': 'error', 'exit_code': EXIT_USAGE, 'error': message}
        print(json.dumps(error, indent=2))
    return typer.Exit(EXIT_USAGE)


def command_instead(name: str) -> Any:
    """Return a command that takes any arguments and only says what to use; None for others."""
    instead = COMMANDS_INSTEAD.get(name)
    if instead is None:
        return None
    app = typer.Typer(add_completion=False)

    def answer(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        """Say what to use instead."""
        raise refuse(name, instead, as_json='--json' in (arguments or ()))

    # Its --help has nothing else to say.
    settings = {'ignore_unknown_options': True, 'help_option_names': []}
    app.command(name, context_settings=settings)(answer)
    return typer.main.get_command(app)


def _with_backend(
    use_backend: Annotated[bool, typer.Option(hidden=True)] = False,
    backend_url: Annotated[str, typer.Option(hidden=True)] = '',
) -> None:
    """Has only the options."""


def add_backend_options(name: str, command: Any) -> None:
    """Let a command know `--use-backend` and `--backend-url`, which it cannot serve.

    Args:
        name: of the command.
        command: what typer made of a function.
    """
    app = typer.Typer(add_completion=False)
    app.command()(_with_backend)
    made = typer.main.get_command(app)
    command.params.extend(p for p in made.params if p.name in ('use_backend', 'backend_url'))
    inner: Callable[..., Any] = command.callback

    @wraps(inner)
    def run(**given: Any) -> Any:
        asked = [given.pop('use_backend'), given.pop('backend_url')]
        if any(asked):
            instead = f'{_SERVER}; without it the command computes by itself'
            raise refuse(f'{name} --use-backend', instead, as_json=given['as_json'])
        return inner(**given)

    command.callback = run
