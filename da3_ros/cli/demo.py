"""`da3 demo`: a recording through the running node over real DDS, and a picture of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
import os
from pathlib import Path
import time
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.errors import WebError
from da3_ros.foreign import plain_path
from da3_ros.options.output import OUTPUT
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.cli.demo_input import DemoInput
    from da3_ros.cli.demo_run import DemoRun
    from da3_ros.types import Caution

_BUNDLED = 'da3-nano'
# Longest image side on a CPU, px; da3-small then takes about a second per window.
_CPU_SIDE_PX = 224


@dataclass(frozen=True, slots=True)
class _Model:
    """What the node is asked to run."""

    parameter: str
    title: str
    """In words, for the picture."""
    uses_odometry: bool = True
    """Whether the input's odometry may tell scale and poses: the truth knows better."""


@takes_options(Entrance.DEMO)
def demo(
    model: str | None,
    process_res: int,
    window: int,
    bag: Annotated[
        Path | None, typer.Option(help='ROS 2 bag with camera topics as the input.')
    ] = None,
    video: Annotated[Path | None, typer.Option(help='Video as the input of one camera.')] = None,
    out: Annotated[
        Path,
        typer.Option(
            help='Folder of everything written; replaces what an earlier demo left there, and '
            'nothing else.'
        ),
    ] = Path('demo_output'),
    seconds: Annotated[float, typer.Option(min=1.0, help='Length of the input played.')] = 24.0,
    rate: Annotated[float, typer.Option(min=0.05, help='Speed; 1 is real time.')] = 1.0,
    viewer: Annotated[
        bool,
        typer.Option(
            '--viewer',
            help='Show the run live in a browser; at a terminal it stays open until Ctrl-C.',
        ),
    ] = OUTPUT.viewer,
) -> None:
    """Play a recording into the node, export the scene, and draw what came out.

    Without --bag and --video the input is a synthetic room with exact truth. Ends by itself.
    Results appear when the run has succeeded; until then those of the last one stay.
    """
    from da3_ros.cli.demo_folder import DemoFolder
    from da3_ros.cli.demo_input import check_input, plan_input
    from da3_ros.cli.process import import_ros, unwind_on_terminate
    from da3_ros.pipeline.estimators import own_caution

    began = time.monotonic()
    if bag is not None and video is not None:
        raise typer.BadParameter('give --bag or --video, not both')
    import_ros('da3_ros.ros.client.node_client', 'demo')
    if viewer and find_spec('viser') is None:
        raise WebError(
            '--viewer needs the Python package viser, which is not installed: '
            'pip install "viser>=1.1,<1.2", or leave out --viewer'
        )
    check_input(bag, video)
    folder = DemoFolder(out, bag or video)
    folder.check()
    chosen = _choose_model(model)
    caution = own_caution(chosen.parameter)
    with unwind_on_terminate(), folder.run() as staging:
        source = plan_input(bag, video, staging)
        print(f'input: {source.description}\nmodel: {chosen.title}', flush=True)
        if caution is not None and not source.is_rendered:
            print(f'warning: {caution.text}')
        parameters = _node_parameters(chosen, source, process_res, window)
        source = _with_odometry(chosen, source)
        from da3_ros.cli.demo_run import DemoRun

        # The room is what the test network learned from.
        said = '' if caution is None or source.is_rendered else caution.text
        run = DemoRun(folder, source, parameters, seconds, rate, said, viewer, began)
        _play_and_report(run, video, chosen.title, caution)


def _node_parameters(
    chosen: _Model, source: DemoInput, process_res: int, window: int
) -> dict[str, object]:
    parameters: dict[str, object] = {
        'model': chosen.parameter,
        'cameras': list(source.cameras),
        'image_transport': source.transport,
        'process_res': process_res or _default_process_res(chosen.parameter),
        'window': window or (3 if chosen.parameter == _BUNDLED else 2),
        'use_sim_time': True,
    }
    if source.odometry_frame and chosen.uses_odometry:
        # A base_link below the odometry's frame can have no second parent.
        parameters |= {'prior_frame': source.odometry_frame, 'publish_tf': False}
    return parameters


def _with_odometry(chosen: _Model, source: DemoInput) -> DemoInput:
    """Return the input with what tells its poses in its description."""
    if not (source.odometry_frame and chosen.uses_odometry):
        return source
    return replace(source, description=f'{source.description}, poses by wheel odometry')


def _play_and_report(
    run: DemoRun, video: Path | None, title: str, caution: Caution | None
) -> None:
    """Play, export, draw, and move the results into place."""
    from da3_ros.cli.demo_input import make_input
    from da3_ros.cli.demo_report import report
    from da3_ros.cli.demo_run import play_and_export, running_node, stay_until_interrupted

    folder = run.folder
    with running_node(run) as node:
        make_input(run.source, video, run.seconds)
        played_s = min(run.seconds, _length_s(run.source.path)) / run.rate
        exported = play_and_export(run, node)
        if not run.has_viewer:
            node.stop()
        report(folder.staging, run.source, title, exported, played_s, caution)
        folder.finish()
        sheet, recorded = (plain_path(folder.out / name) for name in ('sheet.png', 'output.mcap'))
        print(f'look at {sheet}; recorded topics: {recorded}')
        print(f'done after {time.monotonic() - run.began_s:.0f} s', flush=True)
        if run.has_viewer:
            stay_until_interrupted(node)


def _choose_model(model: str | None) -> _Model:
    """Return the model that was asked for, or the best that can be had when none was.

    Raises:
        CheckpointError: a model was asked for and cannot be had.
    """
    from da3_ros.errors import CheckpointError
    from da3_ros.inference.default_model import VARIABLE, choose_default_model
    from da3_ros.inference.hub import find_checkpoint
    from da3_ros.pipeline.estimators import TRUTH_MODEL

    # What the variable names was asked for, too: nothing else takes its place.
    model = model or os.environ.get(VARIABLE, '').strip()
    if model == TRUTH_MODEL:
        title = 'truth: exact geometry of the synthetic room, no network'
        return _Model(model, title, uses_odometry=False)
    if model:
        find_checkpoint(model)
        return _Model(model, model)
    try:
        default = choose_default_model()
        print(f'model: {default.title}', flush=True)
        find_checkpoint(default.name)
    except CheckpointError as error:
        return _bundled(error)
    return _Model(default.name, default.title)


def _bundled(error: Exception) -> _Model:
    from da3_ros.inference.default_model import PREFERRED

    wanted = PREFERRED[0]
    print(f'{wanted} cannot be had, going on with {_BUNDLED}: {error}')
    return _Model(
        _BUNDLED, f'{_BUNDLED} ({wanted} cannot be had; this small one comes with the package)'
    )


def _length_s(bag: Path) -> float:
    from da3_ros.sources.bag import BagReader

    with BagReader(bag) as reader:
        return reader.duration_s


def _default_process_res(model: str) -> int:
    import torch

    from da3_ros.pipeline.estimators import own_process_res

    own = own_process_res(model)
    return own if torch.cuda.is_available() else min(own, _CPU_SIDE_PX)
