"""`da3 eval traj`: trajectories beside the true one."""

from __future__ import annotations

from enum import Enum
import re
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.reporting import reporting, say
from da3_ros.cli.table_options import takes_options
from da3_ros.options.evaluation import EvaluationOptions
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.metrics.pose_pairs import Delta


class Align(str, Enum):
    """What is fitted before poses are compared."""

    none = 'none'
    se3 = 'se3'
    sim3 = 'sim3'
    scale = 'scale'


_DELTA = re.compile(r'\s*([\d.eE+-]+)\s*(m|s|f|frames?)?\s*')


@takes_options(Entrance.EVAL)
def traj(
    truth: Annotated[
        str,
        typer.Argument(
            help='True trajectory: file (TUM, KITTI, EuRoC), BAG#/TOPIC, BAG#/tf:PARENT:CHILD, '
            'or the folder of a dataset.'
        ),
    ],
    estimates: Annotated[
        list[str],
        typer.Argument(help='Estimated ones: the same, or folders of results.'),
    ],
    shared: EvaluationOptions,
    as_json: bool,
    overwrite: bool,
    align: Annotated[
        Align,
        typer.Option(
            help='What is fitted first: nothing, rotation and translation, these and a scale, or '
            'a scale alone.'
        ),
    ] = Align.se3,
    delta: Annotated[
        str,
        typer.Option(help='How far apart poses of the relative error are: 10 (frames), 1s, 5m.'),
    ] = '1',
    consecutive: Annotated[
        bool,
        typer.Option(
            '--consecutive', help='Pairs of the relative error one behind the other; else all.'
        ),
    ] = False,
) -> None:
    """Absolute and relative errors of trajectories, all runs side by side.

    Poses pair by their stamps, each once; where one side has none, by their place.
    """
    apart = parse_delta(delta, consecutive=consecutive)
    with reporting('eval traj', as_json=as_json) as report:
        from da3_ros.cli.eval_output import Output
        from da3_ros.cli.eval_traj_plots import trajectory_pictures
        from da3_ros.cli.eval_traj_runs import compare_runs
        from da3_ros.cli.eval_traj_table import trajectory_table

        output = Output('eval traj', shared.json_file, shared.plots, overwrite=overwrite)
        found = compare_runs(truth, estimates, align.value, shared.max_difference, apart, say)
        report.content = found.content
        report.exit_code = 1 if any(run.problem for run in found.runs) else 0
        output.write(found.content, trajectory_pictures(found))
        report.print_summary = lambda: print(trajectory_table(found, output.written))


def parse_delta(text: str, *, consecutive: bool) -> Delta:
    """Return the distance that a text such as `10`, `1s` or `5m` names.

    Raises:
        BadParameter: it names none.
    """
    from da3_ros.errors import GeometryError
    from da3_ros.metrics.pose_pairs import Delta, DeltaUnit

    match = _DELTA.fullmatch(text)
    units: dict[str, DeltaUnit] = {'m': 'm', 's': 's'}
    try:
        if match is None:
            raise ValueError(text)
        return Delta(float(match[1]), units.get(match[2], 'frames'), consecutive)
    except (ValueError, GeometryError) as error:
        reason = f' ({error})' if isinstance(error, GeometryError) else ''
        raise typer.BadParameter(
            f'--delta: expected frames, seconds or metres as in 10, 1s, 5m; got {text!r}{reason}'
        ) from error
