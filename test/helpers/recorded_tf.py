"""Recordings of TF under a log time that is set by hand; without middleware."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.geometry.se3 import rigid
from da3_ros.options import OutputOptions
from da3_ros.ros.offline.tape_transforms import TapeTransforms
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import RawMessage

MS = 1_000_000
START_NS = 1_700_000_000_123_456_789
OPTICAL = {'front': 'front_optical_frame', 'left': 'left_optical_frame'}
Array = np.ndarray[Any, Any]
Placed = tuple[str, str, Array]
"""Parent, child and (4, 4) parent_from_child."""


def make(name: str, **fields: Any) -> Any:
    """Return a message by the rosbags library."""
    shared_definitions().require(name)
    return shared_definitions().typestore.types[name](**fields)


def header(stamp_ns: int, frame_id: str) -> Any:
    sec, nanosec = divmod(stamp_ns, 10**9)
    stamp = make('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)
    return make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)


def vector(name: str, pose: Array) -> Any:
    x, y, z = pose[:3, 3].tolist()
    return make(f'geometry_msgs/msg/{name}', x=x, y=y, z=z)


def quaternion(pose: Array) -> Any:
    values = quaternion_xyzw_from_matrix(pose[:3, :3]).tolist()
    return make('geometry_msgs/msg/Quaternion', **dict(zip('xyzw', values, strict=True)))


def raw(topic: str, log_ns: int, message: Any) -> RawMessage:
    """Return a message as a bag has it."""
    kind = message.__msgtype__
    data = shared_definitions().typestore.serialize_cdr(message, kind)
    return RawMessage(topic, kind, log_ns, bytes(data))


def recorded(log_ns: int, stamp_ns: int, *joints: Placed, topic: str = '/tf') -> RawMessage:
    """Return joints of one stamp as a message of a bag."""
    transforms = [
        make(
            'geometry_msgs/msg/TransformStamped',
            header=header(stamp_ns, parent),
            child_frame_id=child,
            transform=make(
                'geometry_msgs/msg/Transform',
                translation=vector('Vector3', pose),
                rotation=quaternion(pose),
            ),
        )
        for parent, child, pose in joints
    ]
    return raw(topic, log_ns, make('tf2_msgs/msg/TFMessage', transforms=transforms))


def fixed(log_ns: int, *joints: Placed) -> RawMessage:
    """Return joints as a message of /tf_static."""
    return recorded(log_ns, 0, *joints, topic='/tf_static')


class Recording:
    """A recording of /tf and /tf_static, played by hand.

    Args:
        options: frames and switches.
        moving: messages of /tf, in any order.
        static: messages of /tf_static.
        reports: window reports of an earlier run.
        start_ns: log time of the beginning.
    """

    def __init__(
        self,
        options: OutputOptions,
        moving: Iterable[RawMessage],
        static: Sequence[RawMessage] = (),
        reports: Iterable[RawMessage] = (),
        start_ns: int = 0,
    ) -> None:
        self.now_ns = self.read_ns = start_ns
        """Present log time, and how far it was read."""
        self.lines: list[str] = []
        self._waiting = sorted(moving, key=lambda message: message.stamp_ns)
        self.reasons = ReasonBoard(self, lambda: self.now_ns / 1e9)
        self.tf = TapeTransforms(
            options,
            self.reasons,
            lambda: self.now_ns,
            self.read_ahead,
            has_moving=bool(self._waiting),
            reports=reports,
        )
        self.tf.know_static(static)

    def info(self, message: str) -> None:
        self.lines.append(message)

    warning = error = info

    def read_ahead(self, until_ns: int) -> bool:
        self.read_ns = max(self.read_ns, until_ns)
        while self._waiting and self._waiting[0].stamp_ns <= until_ns:
            self.tf.take_message(self._waiting.pop(0))
        return bool(self._waiting)

    def play_to(self, log_ns: int) -> None:
        self.read_ahead(log_ns)
        self.now_ns = log_ns


# ---- any tree


@dataclass(frozen=True)
class Moving:
    """A joint that moves straight on, and when which of its transforms is recorded."""

    parent: str
    child: str
    start: Array
    velocity: Array
    """m/s"""
    is_fixed: bool
    stamps_ns: tuple[int, ...]
    logs_ns: tuple[int, ...]

    def at(self, stamp_ns: int) -> Array:
        seconds = 0.0 if self.is_fixed else (stamp_ns - START_NS) / 1e9
        return rigid(self.start[:3, :3], self.start[:3, 3] + seconds * self.velocity)

    def messages(self) -> list[RawMessage]:
        if self.is_fixed:
            return [
                recorded(START_NS, 0, (self.parent, self.child, self.start), topic='/tf_static')
            ]
        return [
            recorded(log, stamp, (self.parent, self.child, self.at(stamp)))
            for log, stamp in zip(self.logs_ns, self.stamps_ns, strict=True)
        ]


def random_joint(random: np.random.Generator, parent: str, child: str) -> Moving:
    period_ns = int(random.integers(20, 90)) * MS
    stamps = range(START_NS, START_NS + 2000 * MS, period_ns)
    delays = random.integers(0, 250, len(stamps)) * MS
    # What was sent later is recorded later.
    logs = np.maximum.accumulate(np.array(stamps) + delays)
    return Moving(
        parent,
        child,
        rigid(Rotation.from_rotvec(random.normal(size=3)).as_matrix(), random.normal(size=3)),
        random.normal(size=3),
        bool(random.integers(2)),
        tuple(stamps),
        tuple(logs.tolist()),
    )


def random_tree(random: np.random.Generator) -> dict[str, Moving]:
    """Return joints by child: any tree below odom."""
    names = ['odom']
    found = {}
    for child in ('base_link', 'body', 'head', *OPTICAL.values()):
        found[child] = random_joint(random, str(random.choice(names)), child)
        names.append(child)
    return found


def messages_of(tree: dict[str, Moving], is_fixed: bool) -> list[RawMessage]:
    return [m for joint in tree.values() if joint.is_fixed is is_fixed for m in joint.messages()]
