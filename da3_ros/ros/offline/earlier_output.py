"""What a node of this package published on /tf while a recording was made."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from heapq import merge
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from da3_ros.errors import SourceError
from da3_ros.foreign import foreign_file
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.ros.tf.frame_tree import FrameTree
from da3_ros.ros.tf.joints import Joint, joint_of
from da3_ros.ros.tf.transforms import TransformReader
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import BagReader, RawMessage

WINDOW_REPORT = 'da3_ros/msg/WindowReport'
_NS_PER_S = 1_000_000_000
# A report goes out right behind its transforms; what records them is seldom later than this.
_APART_NS = 10 * _NS_PER_S
# Both come from the same numbers; one of them may have gone through a fixed joint.
_TOLERANCE = 1e-9
_IDENTITY = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


class _Said(NamedTuple):
    """A pose that a report names."""

    world: str
    frame: str
    world_from_frame: FloatArray


class EarlierOutput:
    """Knows the transforms of an earlier run of this package again, by its window reports.

    A node says every pose twice: on /tf, and for every view in a window report. A transform is
    its own when a report has the same world frame and the same stamp, to the nanosecond, and the
    transform, carried on through joints of others to the frame of a view, is the pose that the
    report has for it, to rounding. No odometry of another source agrees so closely. The identity
    from a map to the world frame is known by its stamp.

    Only some seconds of reports are kept, so that the length of a recording does not matter.

    Args:
        reports: messages of type `WINDOW_REPORT`, in order of log time, read as needed; see
            `window_reports`.
        on_bad: takes a sentence about a report that cannot be read.
    """

    def __init__(self, reports: Iterable[RawMessage], on_bad: Callable[[str], object]) -> None:
        self._on_bad = on_bad
        self._reports = iter(reports)
        self._next: RawMessage | None = next(self._reports, None)
        self._said: dict[int, list[_Said]] = {}
        # Log time and stamps of the reports that are kept.
        self._kept: deque[tuple[int, tuple[int, ...]]] = deque()
        if self._next is not None:
            shared_definitions().require(WINDOW_REPORT)

    def has(self, joint: Joint, log_ns: int, buffer: TransformReader, tree: FrameTree) -> bool:
        """Return whether a report says a transform, too.

        Args:
            joint: of /tf.
            log_ns: when it was recorded.
            buffer: the joints of others.
            tree: which of them are above one another.
        """
        self._move_to(log_ns)
        found = self._said.get(joint.stamp_ns, ())
        if any(said.world == joint.child for said in found):
            return joint.values == _IDENTITY
        return any(
            said.world == joint.parent and _agrees(joint, said, buffer, tree) for said in found
        )

    def _move_to(self, log_ns: int) -> None:
        while self._next is not None and self._next.stamp_ns <= log_ns + _APART_NS:
            self._keep(self._next)
            self._next = next(self._reports, None)
        while self._kept and self._kept[0][0] < log_ns - _APART_NS:
            for stamp_ns in self._kept.popleft()[1]:
                self._said.pop(stamp_ns, None)

    def _keep(self, message: RawMessage) -> None:
        stamps: set[int] = set()
        try:
            with foreign_file(message.topic, 'window report'):
                for stamp_ns, said in _poses(message.data):
                    self._said.setdefault(stamp_ns, []).append(said)
                    stamps.add(stamp_ns)
        except SourceError as error:
            self._on_bad(f'{error}; transforms that it is about count as those of others')
        self._kept.append((message.stamp_ns, tuple(sorted(stamps))))


def window_reports(paths: Sequence[Path]) -> Generator[RawMessage, None, None]:
    """Yield the window reports of bags in order of log time, by readers of their own.

    Raises:
        SourceError: a bag cannot be read.
    """
    with ExitStack() as stack:
        parts = []
        for path in paths:
            bag = stack.enter_context(BagReader(path))
            topics = [info.name for info in bag.topics if info.msgtype == WINDOW_REPORT]
            if topics:
                parts.append(bag.messages(topics))
        yield from merge(*parts, key=lambda message: message.stamp_ns)


def without(message: RawMessage, joints: Sequence[Joint]) -> RawMessage | None:
    """Return a message of /tf without some of its transforms; None where none is left."""
    store = shared_definitions().typestore
    content: Any = store.deserialize_cdr(message.data, message.msgtype)
    content.transforms = [one for one in content.transforms if joint_of(one) not in joints]
    if not content.transforms:
        return None
    data = bytes(store.serialize_cdr(content, message.msgtype))
    return RawMessage(message.topic, message.msgtype, message.stamp_ns, data)


def _poses(data: bytes) -> Iterator[tuple[int, _Said]]:
    """Yield the poses of a report with every stamp that their transforms may have."""
    report: Any = shared_definitions().typestore.deserialize_cdr(data, WINDOW_REPORT)
    world, set_ns = report.header.frame_id.lstrip('/'), _ns(report.header.stamp)
    for view in report.views:
        p, q = view.world_from_camera.position, view.world_from_camera.orientation
        pose = rigid(matrix_from_quaternion_xyzw([q.x, q.y, q.z, q.w]), [p.x, p.y, p.z])
        said, view_ns = _Said(world, view.frame_id.lstrip('/'), pose), _ns(view.stamp)
        yield view_ns, said
        # The base has the stamp of its set, which is that of the set's first view; the set may
        # have lost that one on the way.
        if view_ns > set_ns:
            yield set_ns, said


def _agrees(joint: Joint, said: _Said, buffer: TransformReader, tree: FrameTree) -> bool:
    """Return whether a transform leads to the frame of a pose, and to that pose."""
    if joint.child not in tree.ancestors(said.frame):
        return False
    child_from_frame = buffer.lookup(joint.child, said.frame, joint.stamp_ns).pose
    if child_from_frame is None:
        return False
    parent_from_child = rigid(matrix_from_quaternion_xyzw(joint.values[3:]), joint.values[:3])
    off = np.abs(parent_from_child @ child_from_frame - said.world_from_frame)
    return bool(off.max() <= _TOLERANCE * max(1.0, np.abs(said.world_from_frame).max()))


def _ns(stamp: Any) -> int:
    return int(stamp.sec) * _NS_PER_S + int(stamp.nanosec)
