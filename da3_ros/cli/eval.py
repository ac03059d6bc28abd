"""`da3 eval`: how far results are from the truth."""

from __future__ import annotations

import typer

from da3_ros.cli.lazy_group import LazyCommand, LazyGroup

COMMANDS: dict[str, LazyCommand] = {
    'traj': LazyCommand(
        'eval_traj:traj',
        'Compare with the truth',
        'Absolute and relative errors of trajectories, all runs side by side.',
    ),
    'depth': LazyCommand(
        'eval_depth:depth',
        'Compare with the truth',
        'Errors of depth by range, beside baselines; whether stated spreads are right.',
    ),
}


class EvalCommands(LazyGroup):
    """The commands of `da3 eval`."""

    commands_by_name = COMMANDS


app = typer.Typer(
    name='eval',
    cls=EvalCommands,
    help='How far trajectories and depth are from the truth.',
    no_args_is_help=True,
)


@app.callback()
def evaluate() -> None:
    """How far trajectories and depth are from the truth."""
