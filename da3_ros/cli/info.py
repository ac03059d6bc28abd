"""`da3 info`: what a file or folder is, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from da3_ros.cli.reporting import reporting
from da3_ros.cli.table_options import takes_options
from da3_ros.foreign import plain_line
from da3_ros.options.table import Entrance

_MAX_TEXT = 2000


@takes_options(Entrance.ABOUT)
def info(
    path: Annotated[
        str,
        typer.Argument(
            help='Image, video, bag, COLMAP dataset, checkpoint, engine, results, or a network '
            'by name.'
        ),
    ],
    as_json: bool,
) -> None:
    """Tell what something is: sizes, rates, topics, tensors, cameras, depth."""
    with reporting('info', as_json=as_json) as report:
        from da3_ros.cli.describe import describe

        content = describe(Path(path))
        report.content = content
        report.print_summary = lambda: _show(content)


def _show(content: dict[str, Any], indent: str = '') -> None:
    width = max((len(key) for key in content), default=0)
    for key, value in content.items():
        name = plain_line(key.replace('_', ' '), _MAX_TEXT)
        label = f'{indent}{name:<{width}}'
        if isinstance(value, dict):
            print(label.rstrip())
            _show(value, indent + '  ')
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            print(label.rstrip())
            for item in value:
                print(f'{indent}  ' + '  '.join(_text(part) for part in item.values()))
        else:
            print(f'{label}  {_text(value)}')


def _text(value: Any) -> str:
    if value is None:
        return 'unknown'
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, float):
        return f'{value:.6g}'
    if isinstance(value, tuple):
        return 'x'.join(map(_text, value)) or 'scalar'
    if isinstance(value, list):
        return ', '.join(map(_text, value)) or 'none'
    return plain_line(value, _MAX_TEXT)
