"""The processes of a demo: node, recorder and player, and what is seen while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
import os
from pathlib import Path
import re
import socket
import sys
import time
from typing import Any
import webbrowser

from tqdm import tqdm
import yaml

from da3_ros.cli.child_process import ChildProcess
from da3_ros.cli.demo_first_look import FirstLook
from da3_ros.cli.demo_folder import EXPORTS, FIRST_LOOK, LOG, OUTPUT, DemoFolder
from da3_ros.cli.demo_input import DemoInput
from da3_ros.errors import NodeError
from da3_ros.options.output import OUTPUT as OUTPUT_DEFAULTS
from da3_ros.ros.client.node_client import NodeClient
from da3_ros.sources.bag import BagReader

_NODE_NAME = 'da3_node'
_DA3 = 'da3_ros.cli.main'
# Without a report for that many times what the last window took, and at least so long, after the
# last image, the node has worked off what it kept.
_IDLE_WINDOWS = 4.0
_IDLE_S = 2.0
_START_LIMIT_S = 300.0
_VIEWER_LINE = re.compile(r'the live viewer is at (\S+)')
_DISPLAYS = ('DISPLAY', 'WAYLAND_DISPLAY')


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What is run."""

    folder: DemoFolder
    source: DemoInput
    parameters: dict[str, object]
    """Of the node; without those that only the run knows."""
    seconds: float
    """Length of the input that is played."""
    rate: float
    """Speed; 1 is real time."""
    caution: str
    """What pictures say of the network; empty for nothing."""
    has_viewer: bool
    began_s: float
    """When the demo began, by `time.monotonic`."""


@contextmanager
def running_node(run: DemoRun) -> Iterator[ChildProcess]:
    """Yield the node while it runs, with its viewer's address said where it has one.

    Raises:
        NodeError: it did not start.
    """
    parameters = {**run.parameters, 'export_dir': str((run.folder.staging / EXPORTS).resolve())}
    if run.has_viewer:
        parameters |= {'viewer': True, 'viewer_port': _viewer_port()}
    log = run.folder.staging / LOG
    file = log / 'parameters.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}), encoding='utf-8')
    command = ['da3_ros.ros.node.main', '--ros-args', '--params-file', str(file)]
    for there, used in run.source.remappings:
        command += ['-r', f'{used}:={there}']
    print(f'starting the node; logs until the end: {log}', flush=True)
    with ChildProcess('node', command, log / 'node.log') as node:
        if run.has_viewer:
            _open_viewer(node)
        yield node


def play_and_export(run: DemoRun, node: ChildProcess) -> tuple[Path, ...]:
    """Play the input and record what comes out; return the files of the exported scene.

    Raises:
        NodeError: a process did not start or ended too early, or no window came.
        ExportError: the scene could not be exported.
    """
    folder, source = run.folder, run.source
    log, recording = folder.staging / LOG, folder.staging / OUTPUT
    record = [_DA3, 'record', str(recording), *_recorded_topics(source.cameras)]
    record += ['--use-sim-time']
    # Our own player everywhere: what the demo measures is then the same on every machine.
    play = [_DA3, 'play', str(source.path), '--player', 'da3', '--clock', '--rate', str(run.rate)]
    play += ['--duration', str(run.seconds), '--wait-subscribers', '5']
    for topic in _played_topics(source):
        play += ['--topics', topic]
    with ExitStack() as stack:
        recorder = stack.enter_context(ChildProcess('recorder', record, log / 'record.log'))
        recorder.wait_ready(_START_LIMIT_S)
        node.wait_ready(_START_LIMIT_S)
        client = stack.enter_context(NodeClient(_NODE_NAME))
        client.wait_for_node(_START_LIMIT_S)
        look = FirstLook(client, source.cameras)
        player = stack.enter_context(ChildProcess('player', play, log / 'play.log'))

        def show_first() -> bool:
            """Put the first picture into place as soon as there is one; return whether."""
            if not look.is_complete:
                return False
            look.close()
            look.draw(folder.staging / FIRST_LOOK, run.caution)
            folder.put(FIRST_LOOK)
            with tqdm.external_write_mode(file=sys.stdout):
                after_s = time.monotonic() - run.began_s
                print(
                    f'first picture after {after_s:.0f} s: {folder.out / FIRST_LOOK}', flush=True
                )
            return True

        _follow(client, player, node, run.seconds / run.rate, log, show_first)
        return client.export('npz-glb')


def stay_until_interrupted(node: ChildProcess) -> None:
    """Keep the viewer open until Ctrl-C, where somebody sits at a terminal to press it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    print('the viewer stays open until Ctrl-C', flush=True)
    with suppress(KeyboardInterrupt):
        while not node.wait(1.0):
            pass


def _viewer_port() -> int:
    """Return the usual port where it is free, else 0 for any."""
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((OUTPUT_DEFAULTS.viewer_host, OUTPUT_DEFAULTS.viewer_port))
        return OUTPUT_DEFAULTS.viewer_port
    return 0


def _open_viewer(node: ChildProcess) -> None:
    """Say where the live viewer is, and show it where there is a screen."""
    found = node.wait_line(_VIEWER_LINE, _START_LIMIT_S)
    print(f'the live viewer: {found[1]}', flush=True)
    has_screen = sys.platform == 'darwin' or any(os.environ.get(name) for name in _DISPLAYS)
    if has_screen and sys.stdout.isatty():
        webbrowser.open(found[1])


def _recorded_topics(cameras: Sequence[str]) -> list[str]:
    names = ('color/image', 'depth/image', 'depth/camera_info', 'depth/confidence')
    per_camera = [f'/{camera}/{name}' for camera in cameras for name in names]
    return [*per_camera, '/points', '/odometry', '/path', '/window', '/tf', '/diagnostics']


def _played_topics(source: DemoInput) -> list[str]:
    """Return the topics of the bag that the node has use for: not the truth, not other sensors."""
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


def _follow(
    client: NodeClient,
    player: ChildProcess,
    node: ChildProcess,
    length_s: float,
    log: Path,
    show_first: Callable[[], bool],
) -> None:
    """Show progress until the bag is over and the node has worked off what it kept.

    Raises:
        NodeError: the node ended, or gave not a single window.
    """
    is_shown = False
    bar: Any
    with tqdm(unit='s', desc=f'playing {length_s:.0f} s', disable=None) as bar:
        while player.is_running:
            player.wait(1.0)
            bar.update()
            bar.set_postfix(windows=client.windows)
            is_shown = is_shown or show_first()
            if not node.is_running:
                raise NodeError(f'the node ended while the bag was played; see {log / "node.log"}')
    while client.wait_window(_idle_limit_s(client)):
        is_shown = is_shown or show_first()
    if not client.windows:
        raise NodeError(f'the node gave no window; see {log / "node.log"} and {log / "play.log"}')


def _idle_limit_s(client: NodeClient) -> float:
    if client.last_window is None:
        return _START_LIMIT_S
    return max(_IDLE_S, _IDLE_WINDOWS * float(client.last_window.estimate_s))
