"""Calls of the `da3` command inside the test's own process."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from da3_ros.cli.app import app
from da3_ros.export.ledger import LEDGER

SMALL = ('--process-res', '56', '--device', 'cpu')
"""Options that make every command quick."""


def invoke(*arguments: str | Path) -> Any:
    """Return the result of a call; errors of ours are in `exception`."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def da3(*arguments: str | Path) -> str:
    """Return what a call prints on stdout; it must succeed."""
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return str(result.stdout)


def da3_json(*arguments: str | Path) -> dict[str, Any]:
    """Return the one JSON object of a call that must succeed."""
    content = json.loads(da3(*arguments, '--json'))
    assert isinstance(content, dict)
    return content


def results_in(folder: Path) -> set[str]:
    """Return the names in a folder of results, without the record of its files."""
    return {path.name for path in folder.iterdir()} - {LEDGER}


def failure(*arguments: str | Path) -> str:
    """Return the message of the known error that a call ends with."""
    result = invoke(*arguments)
    assert result.exit_code != 0, result.output
    return str(result.exception) if result.exit_code == 1 else str(result.stderr)
