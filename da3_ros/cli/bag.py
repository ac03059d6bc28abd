"""`da3 bag`: recordings through the pipeline of the node, every set once."""

from __future__ import annotations

from dataclasses import replace
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.options import EstimatorOptions, OptionValue, OutputOptions, StreamOptions, specs_of
from da3_ros.options.outputs import OutputChoice
from da3_ros.options.scenes import RunOptions
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.cli.bag_report import ProgressLine
    from da3_ros.ros.offline.cameras import Cameras
    from da3_ros.ros.offline.run import RunResult
    from da3_ros.ros.offline.tape import Tape
    from da3_ros.types import Estimator

_LOG = logging.getLogger(__name__)


@takes_options(Entrance.BAG)
def bag(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar='IN', help='Bags: folders or bare files, whole or damaged.', show_default=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar='OUT', help='OUT.mcap for one file, else a folder.', show_default=False
        ),
    ],
    run: RunOptions,
    network: EstimatorOptions,
    stream: StreamOptions,
    output: OutputOptions,
    choice: OutputChoice,
    overwrite: bool,
    as_json: bool,
    params_file: Annotated[
        Path | None, typer.Option(help='YAML of parameters of da3_node, see config/da3.yaml.')
    ] = None,
    rig: Annotated[
        Path | None, typer.Option(help='Rig file: topics and places of cameras, as for launch.')
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help='Camera: NAME=/TOPIC of its images, or /TOPIC; NAME.info=/TOPIC of its '
            'CameraInfo; repeat. Default: those of --rig, of --params-file, else what looks like '
            'cameras.'
        ),
    ] = None,
) -> None:
    """Depth, poses and clouds of recordings, as the node gives them: every set once.

    Needs no ROS 2 installation. The same command goes on where it was interrupted.
    """
    from da3_ros.cli.bag_report import ProgressLine, bag_report
    from da3_ros.cli.process import unwind_on_terminate
    from da3_ros.cli.reporting import reporting
    from da3_ros.ros.offline.cameras import Asked, choose_cameras
    from da3_ros.ros.offline.tape import Tape, TapeRange
    from da3_ros.sinks.bag_place import BagPlace

    given = _given(context, (network, stream, output))
    asked = Asked(params_file, rig, given, tuple(topic or ()))
    with reporting('bag', as_json=as_json) as report, unwind_on_terminate():
        place = BagPlace.of(out, 'mcap', overwrite=overwrite)
        place.keep_out_of(inputs)
        place.check()
        with Tape(inputs, TapeRange(run.start, run.duration)) as tape, ProgressLine() as line:
            cameras = _with_model(choose_cameras(tape, asked))
            _say_cameras(cameras)
            estimator = _estimator(cameras, line)
            line.begin()
            result = _run(tape, cameras, run, choice, estimator, out, overwrite, line)
            bag_report(report, tape, cameras, out, result, estimator, line.seconds)


def _run(
    tape: Tape,
    cameras: Cameras,
    run: RunOptions,
    choice: OutputChoice,
    estimator: Estimator,
    out: Path,
    overwrite: bool,
    line: Any,
) -> RunResult:
    from da3_ros.cli.reporting import complain
    from da3_ros.pipeline.estimators import TRUTH_MODEL
    from da3_ros.ros.offline.checkpoint import settings_of
    from da3_ros.ros.offline.network_identity import identity_of
    from da3_ros.ros.offline.run import BagRun
    from da3_ros.sinks.resumable_bag import ResumableBag

    model = cameras.options.estimator
    settings = settings_of(tape, cameras, run, choice, identity_of(model, estimator))
    with ResumableBag(
        out,
        settings,
        restart=run.restart,
        overwrite=overwrite,
        compression=choice.compression,
        inputs=[reader.path for reader in tape.bags],
    ) as bag:
        whole = BagRun(
            tape,
            cameras,
            choice,
            estimator,
            bag,
            every=run.every,
            # The truth comes from camera and stamp, not from images: it needs none upright.
            turns_images=model.model != TRUTH_MODEL,
            on_progress=line,
        )
        try:
            return whole.run()
        except (KeyboardInterrupt, SystemExit):
            if bag.committed is not None:
                complain(f'the same command goes on; what there is lies in {bag.unfinished}')
            raise


def _given(context: typer.Context, groups: tuple[Any, ...]) -> dict[str, OptionValue]:
    """Return the options that are on the command line: a parameter file decides of the others."""
    found: dict[str, OptionValue] = {}
    for group in groups:
        for spec in specs_of(group, Entrance.BAG):
            sources = (context.get_parameter_source(name) for name in (spec.name, *spec.aliases))
            if any(source is not None and source.name == 'COMMANDLINE' for source in sources):
                found[spec.name] = getattr(group, spec.name)
    return found


def _with_model(cameras: Cameras) -> Cameras:
    """Settle on a model where nobody named one, and say which and why."""
    from da3_ros.pipeline.estimators import chosen_model

    options = cameras.options
    chosen = chosen_model(options.estimator.model)
    print(f'model: {chosen.title}')
    estimator = replace(options.estimator, model=chosen.name)
    return replace(cameras, options=replace(options, estimator=estimator))


def _say_cameras(cameras: Cameras) -> None:
    for topics in cameras.topics:
        print(topics.line)
    if cameras.were_found:
        print('these look like cameras; --topic NAME=/TOPIC names others')


def _estimator(cameras: Cameras, line: ProgressLine) -> Estimator:
    """Return the network, loaded; never one of two that are ready at different times."""
    from da3_ros.pipeline.estimators import build_estimator
    from da3_ros.types import NetworkEstimator

    progress = line.while_building(cameras.options.estimator.model)
    estimator = build_estimator(cameras.options, beside=False, progress=progress)
    caution = estimator.caution if isinstance(estimator, NetworkEstimator) else None
    if caution is not None:
        _LOG.warning('%s', caution.text)
    return estimator
