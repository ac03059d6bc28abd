"""`da3 demo`: a recording through the running node over real DDS, and a picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.cli.child_process import ChildProcess
    from da3_ros.cli.demo_input import DemoInput
    from da3_ros.ros.client.node_client import NodeClient

_NODE_NAME = 'da3_node'
_DA3 = 'da3_ros.cli.main'
# Without a report for that many times what the last window took, and at least so long, after the
# last image, the node has worked off what it kept.
_IDLE_WINDOWS = 4.0
_IDLE_S = 2.0
_START_LIMIT_S = 300.0
_OFFICIAL = 'da3-small'
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
    out: Annotated[Path, typer.Option(help='Folder of everything written; replaced.')] = Path(
        'demo_output'
    ),
    seconds: Annotated[float, typer.Option(min=1.0, help='Length of the input played.')] = 24.0,
    rate: Annotated[float, typer.Option(min=0.05, help='Speed; 1 is real time.')] = 1.0,
) -> None:
    """Play a recording into the node, export the scene, and draw what came out.

    Without --bag and --video the input is a synthetic room with exact truth. Ends by itself.
    """
    from da3_ros.cli.demo_input import prepare_input
    from da3_ros.cli.demo_report import report
    from da3_ros.cli.process import import_ros
    from da3_ros.pipeline.estimators import own_caution

    if bag is not None and video is not None:
        raise typer.BadParameter('give --bag or --video, not both')
    import_ros('da3_ros.ros.client.node_client', 'demo')
    log = _fresh_folder(out)
    source = prepare_input(bag, video, out, seconds)
    chosen = _choose_model(model)
    caution = own_caution(chosen.parameter)
    print(f'input: {source.description}\nmodel: {chosen.title}')
    if caution is not None and not source.is_rendered:
        print(f'warning: {caution.text}')
    parameters: dict[str, object] = {
        'model': chosen.parameter,
        'cameras': list(source.cameras),
        'image_transport': source.transport,
        'process_res': process_res or _default_process_res(chosen.parameter),
        'window': window or (3 if chosen.parameter == _BUNDLED else 2),
        'export_dir': str((out / 'exports').resolve()),
        'use_sim_time': True,
    }
    if source.odometry_frame and chosen.uses_odometry:
        # A base_link below the odometry's frame can have no second parent.
        parameters |= {'prior_frame': source.odometry_frame, 'publish_tf': False}
        description = f'{source.description}, poses by wheel odometry'
        source = replace(source, description=description)
    played_s = min(seconds, _length_s(source.path)) / rate
    exported = _run(parameters, source, out / 'output.mcap', log, seconds, rate)
    report(out, source, chosen.title, exported, played_s, caution)


def _fresh_folder(out: Path) -> Path:
    """Remove what an earlier run left in `out` and return the folder for logs."""
    for name in ('input.mcap', 'output.mcap', 'sheet.png'):
        (out / name).unlink(missing_ok=True)
    for name in ('exports', 'log'):
        shutil.rmtree(out / name, ignore_errors=True)
    log = out / 'log'
    log.mkdir(parents=True)
    return log


def _choose_model(model: str | None) -> _Model:
    """Return the model that was asked for, or the best that can be had when none was.

    Raises:
        CheckpointError: a model was asked for and cannot be had.
    """
    from da3_ros.errors import CheckpointError
    from da3_ros.inference.default_model import choose_default_model
    from da3_ros.inference.hub import find_checkpoint
    from da3_ros.pipeline.estimators import TRUTH_MODEL

    if model == TRUTH_MODEL:
        title = 'truth: exact geometry of the synthetic room, no network'
        return _Model(model, title, uses_odometry=False)
    if model:
        find_checkpoint(model)
        return _Model(model, model)
    try:
        found = choose_default_model()
        if found.name == TRUTH_MODEL:
            return _choose_model(found.name)
        find_checkpoint(found.name)
    except CheckpointError as error:
        print(f'{_OFFICIAL} cannot be had, going on with {_BUNDLED}: {error}')
        title = f'{_BUNDLED} ({_OFFICIAL} cannot be had; this small one comes with the package)'
        return _Model(_BUNDLED, title)
    return _Model(found.name, found.title)


def _length_s(bag: Path) -> float:
    from da3_ros.sources.bag import BagReader

    with BagReader(bag) as reader:
        return reader.duration_s


def _default_process_res(model: str) -> int:
    import torch

    from da3_ros.pipeline.estimators import own_process_res

    own = own_process_res(model)
    return own if torch.cuda.is_available() else min(own, _CPU_SIDE_PX)


def _run(
    parameters: dict[str, object],
    source: DemoInput,
    recording: Path,
    log: Path,
    seconds: float,
    rate: float,
) -> tuple[Path, ...]:
    """Run node, recorder and player to the end; return the files of the exported scene."""
    import yaml

    from da3_ros.cli.child_process import ChildProcess
    from da3_ros.ros.client.node_client import NodeClient

    file = log / 'parameters.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}), encoding='utf-8')
    node_command = ['da3_ros.ros.node.main', '--ros-args', '--params-file', str(file)]
    for there, used in source.remappings:
        node_command += ['-r', f'{used}:={there}']
    record_command = [_DA3, 'record', str(recording), *_recorded_topics(source.cameras)]
    record_command += ['--use-sim-time']
    # Our own player everywhere: what the demo measures is then the same on every machine.
    play_command = [_DA3, 'play', str(source.path), '--player', 'da3', '--clock']
    play_command += ['--rate', str(rate)]
    play_command += ['--duration', str(seconds), '--wait-subscribers', '5']
    for topic in _played_topics(source):
        play_command += ['--topics', topic]
    print('starting the node')
    with ExitStack() as stack:
        recorder = stack.enter_context(
            ChildProcess('recorder', record_command, log / 'record.log')
        )
        node = stack.enter_context(ChildProcess('node', node_command, log / 'node.log'))
        recorder.wait_ready(_START_LIMIT_S)
        node.wait_ready(_START_LIMIT_S)
        client = stack.enter_context(NodeClient(_NODE_NAME))
        client.wait_for_node(_START_LIMIT_S)
        player = stack.enter_context(ChildProcess('player', play_command, log / 'play.log'))
        _follow(client, player, node, seconds / rate)
        return client.export('npz-glb')


def _recorded_topics(cameras: Sequence[str]) -> list[str]:
    names = ('color/image', 'depth/image', 'depth/camera_info', 'depth/confidence')
    per_camera = [f'/{camera}/{name}' for camera in cameras for name in names]
    return [*per_camera, '/points', '/odometry', '/path', '/window', '/tf', '/diagnostics']


def _played_topics(source: DemoInput) -> list[str]:
    """Return the topics of the bag that the node has use for: not the truth, not other sensors."""
    from da3_ros.sources.bag import BagReader

    suffix = 'image_raw' if source.transport == 'raw' else 'image_raw/compressed'
    there = {used: topic for topic, used in source.remappings}
    wanted = {
        there.get(topic, topic)
        for camera in source.cameras
        for topic in (f'/{camera}/{suffix}', f'/{camera}/camera_info')
    }
    wanted |= {'/tf_static', '/tf'} if source.odometry_frame else {'/tf_static'}
    with BagReader(source.path) as reader:
        return [info.name for info in reader.topics if info.name in wanted]


def _follow(client: NodeClient, player: ChildProcess, node: ChildProcess, length_s: float) -> None:
    """Show progress until the bag is over and the node has worked off what it kept.

    Raises:
        NodeError: the node ended, or gave not a single window.
    """
    from tqdm import tqdm

    from da3_ros.errors import NodeError

    with tqdm(unit='s', desc=f'playing {length_s:.0f} s', disable=None) as bar:
        while player.is_running:
            player.wait(1.0)
            bar.update()
            bar.set_postfix(windows=client.windows)
            if not node.is_running:
                raise NodeError('the node ended while the bag was played; see log/node.log')
    while client.wait_window(_idle_limit_s(client)):
        pass
    if not client.windows:
        raise NodeError('the node gave no window; see log/node.log and log/play.log')


def _idle_limit_s(client: NodeClient) -> float:
    if client.last_window is None:
        return _START_LIMIT_S
    return max(_IDLE_S, _IDLE_WINDOWS * float(client.last_window.estimate_s))
