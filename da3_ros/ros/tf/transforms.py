"""What others publish on /tf and /tf_static, and what that means; no middleware, no messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
import threading
from typing import Protocol

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.transform_buffer import Found
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.camera_frames import CameraFrames
from da3_ros.ros.tf.frame_tree import FrameTree
from da3_ros.ros.tf.joints import Joint, joints_of
from da3_ros.ros.tf.ownership import SentTransforms, TransformOwnership

STATIC_TOPIC, MOVING_TOPIC = '/tf_static', '/tf'
# Transforms of the last seconds.
_RECENT = 2000


class TransformReader(Protocol):
    """A tree of frames with a memory: what `TransformBuffer` is, and `Tf2Buffer` too."""

    def set_fixed(self, parent: str, child: str, parent_from_child: FloatArray) -> None:
        """Take a joint (4, 4) that does not move."""

    def add_quaternion(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: Sequence[float],
        quaternion_xyzw: Sequence[float],
    ) -> bool:
        """Take where a moving joint stood at a stamp; return False when it was left out."""

    @property
    def resets(self) -> int:
        """How often the clock was set back."""

    def is_connected(self, a: str, b: str) -> bool:
        """Return whether joints of any kind connect two frames."""

    def newest_ns(self, a: str, b: str) -> int | None:
        """Return the newest stamp at which all moving joints between two frames are known."""

    def lookup(self, a: str, b: str, stamp_ns: int) -> Found:
        """Return a_from_b at a stamp."""


class Transforms(ABC):
    """A tree of frames out of the messages of /tf and /tf_static, wherever these come from.

    Transforms that this node itself publishes (`sent`) are left out, so that it never follows its
    own output, however long the chain of frames is.

    Args:
        options: frames and switches.
        reasons: takes transforms that are none, loops, and frames with two parents.
        buffer: an empty tree.
        clock: monotonic seconds.
        patience_s: see `FrameTree`.
        listens_s: how long others are listened to before the first transform goes out.
    """

    is_waiting_free = False
    """Whether nothing is lost by waiting for the same in vain again and again."""

    def __init__(
        self,
        options: OutputOptions,
        reasons: ReasonBoard,
        buffer: TransformReader,
        clock: Callable[[], float],
        *,
        patience_s: float,
        listens_s: float,
    ) -> None:
        self.reasons = reasons
        self.buffer = buffer
        """All joints so far; those of /tf only from `keep_moving` on, which costs a little."""
        self.tree = FrameTree(clock, patience_s)
        self.sent = SentTransforms()
        self.ownership = TransformOwnership(self.tree, clock, listens_s)
        self.frames = CameraFrames(options, reasons)
        # Held while messages are taken.
        self._reading = threading.RLock()
        # What came on /tf before anybody wanted it; None once it goes into the buffer.
        self._recent: deque[Joint] | None = deque(maxlen=_RECENT)
        self._loops: dict[str, str] = {}
        # Frames with two fixed parents, and how many published /tf_static then.
        self._contested: dict[str, int] = {}
        self._resets = 0

    # ---- where messages come from

    @abstractmethod
    def read(self) -> None:
        """Take all messages that have come."""

    @abstractmethod
    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether a condition holds, after waiting for transforms that make it hold."""

    @abstractmethod
    def listen_moving(self) -> None:
        """Look at /tf too; a second call does nothing."""

    @abstractmethod
    def publishers(self, topic: str) -> str:
        """Return who else publishes a topic, as far as is known, in words."""

    @abstractmethod
    def count_publishers(self, topic: str) -> int:
        """Return how many publishers a topic has, the one of this program among them."""

    def keep_moving(self) -> None:
        """Let /tf into the buffer from now on."""
        with self._reading:
            self.listen_moving()
            recent, self._recent = self._recent or (), None
            for joint in recent:
                self._add_moving(joint)

    # ---- messages

    def take_static(self, data: bytes) -> None:
        """Take a message of /tf_static."""
        for joint in self.foreign(STATIC_TOPIC, data):
            self.fix(joint)

    def take(self, data: bytes) -> None:
        """Take a message of /tf."""
        for joint in self.foreign(MOVING_TOPIC, data):
            if self._recent is None:
                self._add_moving(joint)
            else:
                self._recent.append(joint)
            self._put(joint, is_fixed=False)
        if self.buffer.resets != self._resets:
            self._resets = self.buffer.resets
            self.reasons.happened(Reason.TF_CLOCK, 'tf')

    def fix(self, joint: Joint) -> None:
        """Take a joint that does not move."""
        pose = rigid(matrix_from_quaternion_xyzw(joint.values[3:]), joint.values[:3])
        self.buffer.set_fixed(joint.parent, joint.child, pose)
        self._put(joint, is_fixed=True)

    def _add_moving(self, joint: Joint) -> None:
        place, quaternion_xyzw = joint.values[:3], joint.values[3:]
        self.buffer.add_quaternion(
            joint.parent, joint.child, joint.stamp_ns, place, quaternion_xyzw
        )

    def foreign(self, topic: str, data: bytes) -> Iterator[Joint]:
        """Yield the transforms of a message that are some, and not of this program."""
        try:
            joints = joints_of(data)
        except GeometryError as error:
            self._say_bad(topic, 'tf', f'{topic}: {error}')
            return
        for joint in joints:
            if self.is_own(joint):
                continue
            fault = joint.fault
            if not fault and not joint.stamp_ns and topic == MOVING_TOPIC:
                fault = 'header.stamp is zero'
            if fault:
                self._say_bad(topic, joint.child, f'{topic}, frame {joint.child}: {fault}')
            else:
                yield joint

    def is_own(self, joint: Joint) -> bool:
        """Return whether a transform is one of this program's own."""
        return self.sent.has(joint)

    def _say_bad(self, topic: str, owner: str, text: str) -> None:
        self.reasons.happened(Reason.TF_BAD, owner, topic, problem=f'{text}; left out')

    def _put(self, joint: Joint, *, is_fixed: bool) -> None:
        if not self.tree.seen(joint.parent, joint.child, is_fixed=is_fixed):
            return
        two, loop = self.tree.two_parents(joint.child), self.tree.loop(joint.child)
        if two is not None:
            self._say_two(joint.child, two, are_fixed=is_fixed and self.tree.is_fixed(joint.child))
        if loop is not None:
            chain = ' to '.join((*reversed(loop), loop[-1]))
            self._loops[joint.child] = chain
            self.reasons.hold(Reason.TF_LOOP, joint.child, chain=chain)

    def _say_two(self, child: str, parents: tuple[str, str], *, are_fixed: bool) -> None:
        topic = STATIC_TOPIC if are_fixed else MOVING_TOPIC
        said = {'parents': f'{parents[0]} and {parents[1]}', 'topic': topic}
        if are_fixed:
            # Each comes once, so that only the end of a publisher can end it.
            self._contested[child] = self.count_publishers(topic)
            self.reasons.hold(Reason.TF_TWO_PARENTS, child, **said)
        else:
            self.reasons.happened(Reason.TF_TWO_PARENTS, child, **said)

    def end_what_is_over(self) -> None:
        """Forget frames that are gone, and end the reasons that were about them."""
        with self._reading:
            self.tree.forget_old()
            for child in [c for c in self._loops if self.tree.loop(c) is None]:
                del self._loops[child]
                self.reasons.end(Reason.TF_LOOP, child)
            for child, count in tuple(self._contested.items()):
                if self.count_publishers(STATIC_TOPIC) < count:
                    del self._contested[child]
                    self.tree.settle(child)
                    self.reasons.end(Reason.TF_TWO_PARENTS, child)
