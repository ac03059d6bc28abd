"""`da3 eval depth`: depth images beside the true ones."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from da3_ros.cli.reporting import reporting, say
from da3_ros.cli.table_options import takes_options
from da3_ros.options.evaluation import EvaluationOptions
from da3_ros.options.table import Entrance


class Pair(str, Enum):
    """How estimates find their truth."""

    auto = 'auto'
    stamp = 'stamp'
    name = 'name'
    number = 'number'
    place = 'place'


_Sigma = Annotated[
    str | None,
    typer.Option(
        help='Stated standard deviation of the estimate: a folder, BAG#/TOPIC, or its key beside '
        'depth in npz files.'
    ),
]
_Confidence = Annotated[
    str | None,
    typer.Option(help='Confidence of the estimate, likewise; default: the key conf.'),
]


@takes_options(Entrance.EVAL)
def depth(
    truth: Annotated[
        str,
        typer.Argument(
            help='True depth: folder of 16-bit PNG, npy or npz, BAG#/TOPIC, or the folder of a '
            'dataset.'
        ),
    ],
    estimate: Annotated[
        str, typer.Argument(help='Estimated depth: the same, or a folder of results.')
    ],
    shared: EvaluationOptions,
    as_json: bool,
    overwrite: bool,
    pair: Annotated[
        Pair,
        typer.Option(
            help='By stamps, names, the last number in names, or places; auto is the first that '
            'pairs.'
        ),
    ] = Pair.auto,
    depth_unit: Annotated[
        float | None,
        typer.Option(min=1e-9, help='Metres of a step of true images of whole numbers.  [0.001]'),
    ] = None,
    estimate_unit: Annotated[
        float | None,
        typer.Option(min=1e-9, help='The same of estimated ones.  [0.001]'),
    ] = None,
    ranges: Annotated[
        str, typer.Option(help='Edges of ranges of true depth, metres.')
    ] = '0,1,2,4,8,16,inf',
    sigma: _Sigma = None,
    confidence: _Confidence = None,
) -> None:
    """Errors of depth by range, beside baselines; whether stated spreads are right.

    Estimates of another size are brought to the pixels of the truth.
    """
    edges = parse_ranges(ranges)
    with reporting('eval depth', as_json=as_json) as report:
        from da3_ros.cli.eval_depth_plots import depth_pictures
        from da3_ros.cli.eval_depth_run import Question, compare_depth
        from da3_ros.cli.eval_depth_table import depth_table
        from da3_ros.cli.eval_output import Output

        output = Output('eval depth', shared.json_file, shared.plots, overwrite=overwrite)
        question = Question(
            truth,
            estimate,
            rule=None if pair is Pair.auto else pair.value,
            max_difference_s=shared.max_difference,
            truth_step_m=depth_unit,
            estimate_step_m=estimate_unit,
            edges=edges,
            sigma=sigma,
            confidence=confidence,
        )
        found = compare_depth(question, say)
        report.content = found.content
        output.write(found.content, depth_pictures(found))
        report.print_summary = lambda: print(depth_table(found, output.written))


def parse_ranges(text: str) -> tuple[float, ...]:
    """Return the edges of a list such as `0,2,4,inf`.

    Raises:
        BadParameter: they are no ascending numbers from 0 up.
    """
    from da3_ros.errors import GeometryError
    from da3_ros.metrics.depth_set import check_edges

    try:
        edges = tuple(float(part) for part in text.split(','))
        check_edges(edges)
    except (ValueError, GeometryError) as error:
        raise typer.BadParameter(
            f'--ranges: expected ascending edges from 0 up, as in 0,2,4,8,inf; got {text!r}'
        ) from error
    return edges
