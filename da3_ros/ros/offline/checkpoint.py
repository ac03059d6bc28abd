"""What a run remembers from one checkpoint to the next, and by what it knows itself again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from da3_ros import __version__
from da3_ros.options import NodeOptions, to_flat
from da3_ros.options.outputs import OutputChoice
from da3_ros.options.scenes import RunOptions
from da3_ros.ros.offline.cameras import Cameras
from da3_ros.ros.offline.network_identity import NetworkIdentity
from da3_ros.ros.offline.tally import Tally
from da3_ros.ros.offline.tape import ReadCrc, Tape
from da3_ros.ros.reason_board import Remembered
from da3_ros.stream.state import StateCodec

CHECKPOINT_WINDOWS = 50
"""Windows from one checkpoint to the next: what a run that is killed computes again at most."""

# Options that only say how fast it goes, or that are settings under another name.
_NO_SETTINGS = frozenset({'threads', 'model', 'runtime', 'device', 'cameras', 'image_transport'})


@dataclass(frozen=True, slots=True, eq=False)
class RunState:
    """A run between two windows; what reading the recording again brings back is left out."""

    pipeline: bytes
    """Of `Pipeline.state`."""
    messages: bytes
    """Of `ResultMessages.state`."""
    tally: Tally
    reasons: tuple[Remembered, ...]
    """What there was to say."""
    read: ReadCrc
    """What was read of the cameras."""
    copied: int
    """Messages of the recording that were written as they are."""
    threads: int
    """Of the network; 0 where that is not known. Another number may round otherwise."""


_CODEC = StateCodec(RunState, Tally, Remembered, ReadCrc)


def state_bytes(state: RunState) -> bytes:
    """Return a state as bytes."""
    return _CODEC.encode(state)


def state_of(data: bytes) -> RunState:
    """Return the state that `state_bytes` wrote.

    Raises:
        StreamError: it is none.
    """
    return _CODEC.decode(data, RunState)


def settings_of(
    tape: Tape, cameras: Cameras, run: RunOptions, choice: OutputChoice, network: NetworkIdentity
) -> dict[str, str]:
    """Return all that decides the bytes of the output, by name: input, options, network, version.

    Folders are left out, so that a recording may be moved meanwhile.
    """
    found = {
        'version': __version__,
        'model': network.model,
        'weights': network.weights,
        'computed by': network.computed_by,
        'outputs': ','.join(sorted(choice.names)),
        'copy': ','.join(choice.copied),
        'compression': choice.compression,
        'start': repr(run.start),
        'duration': repr(run.duration),
        'every': repr(run.every),
    }
    found |= {f'input {i + 1}': text for i, text in enumerate(_inputs(tape))}
    for topics in cameras.topics:
        view, pose = cameras.views[topics.camera], cameras.rig.base_from_camera.get(topics.camera)
        place = 'not given' if pose is None else repr(pose.tolist())
        found[f'camera {topics.camera}'] = f'{topics.line}; {view}; {place}'
    return found | _options(cameras.options)


def _inputs(tape: Tape) -> list[str]:
    return [
        f'{bag.path.name}: {_size(bag.path)} bytes, {bag.message_count} messages from '
        f'{bag.start_ns} to {bag.end_ns} ns'
        for bag in tape.bags
    ]


def _size(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def _options(options: NodeOptions) -> dict[str, str]:
    flat = to_flat(options)
    return {name: repr(flat[name]) for name in flat if name not in _NO_SETTINGS}
