"""Transforms of a recording: what a listener of /tf and /tf_static would have heard."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from da3_ros.geometry.transform_buffer import TransformBuffer
from da3_ros.notes import Note
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.offline.earlier_output import WINDOW_REPORT, EarlierOutput, without
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.joints import Joint
from da3_ros.ros.tf.ownership import LISTENS_S
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC, Transforms
from da3_ros.sources.bag import RawMessage

_NS_PER_S = 1_000_000_000
# How far each look ahead goes: what is wanted is mostly near.
_STEP_NS = 1_000_000
_TIDIED_NS = _NS_PER_S


class TapeTransforms(Transforms):
    """What others published, read from a recording.

    One thread uses it: what it answers depends on how far the recording has been read, and on
    nothing else. Where a node waits, the recording is read ahead, by as much log time as the node
    would have waited at most. Every clock in here is log time.

    /tf_static is known from the start (`know_static`): a late first transform of a frame counts
    from the beginning, another place of a frame from the time it was recorded. The first second
    of /tf is read before anything is answered: a node has listened for as long before it publishes
    beside others, and the first images have a place though /tf was recorded a little later.

    What a node of this package published on /tf when the recording was made is left out where
    its window reports were recorded, too: see `EarlierOutput`. To follow it would be to follow
    one's own output, and to give way to it would leave new results without their poses. Without
    reports nothing tells it from an odometry. A rig on /tf_static is followed, whoever sent it:
    it is no estimate.

    Args:
        options: frames and switches.
        reasons: takes transforms that are none, loops, and frames with two parents.
        tape_clock: log time of the present message, ns; never goes back.
        read_ahead: gives all messages of /tf up to a log time (ns) to `take_message`; returns
            False when there are none behind it, or none can be had yet.
        has_moving: whether the recording has /tf at all.
        reports: window reports of earlier runs, all of them; see `EarlierOutput`.
    """

    is_waiting_free = True

    def __init__(
        self,
        options: OutputOptions,
        reasons: ReasonBoard,
        tape_clock: Callable[[], int],
        read_ahead: Callable[[int], bool],
        *,
        has_moving: bool = True,
        reports: Iterable[RawMessage] = (),
    ) -> None:
        self._tape_clock = tape_clock
        self._read_ahead = read_ahead
        self._has_moving = has_moving
        self._newest_ns = tape_clock()
        self._taken = 0
        buffer = TransformBuffer(clock=self._now_ns)
        # Nobody gives way to this program in a recording, so that it need not wait longer.
        super().__init__(options, reasons, buffer, self._now_s, patience_s=0.0, listens_s=0.0)
        self.ownership.activate()
        self._has_begun = False
        # The newest place of every fixed frame, and places that frames get later.
        self._fixed: dict[str, Joint] = {}
        self._later: deque[tuple[int, Joint]] = deque()
        self._tidied_ns = self._newest_ns
        self._earlier = EarlierOutput(reports, self._say_bad_report)
        # How many transforms of earlier runs were left out, by parent and child.
        self._left_out: Counter[tuple[str, str]] = Counter()
        # Those of the message that is taken.
        self._own: list[Joint] = []
        if options.prior_frame:
            self.keep_moving()

    def _now_ns(self) -> int:
        return max(self._newest_ns, self._tape_clock())

    def _now_s(self) -> float:
        return self._now_ns() / _NS_PER_S

    # ---- from the recording

    def know_static(self, messages: Iterable[RawMessage]) -> None:
        """Take all messages of /tf_static, of any time, in order of log time."""
        for message in messages:
            for joint in self.foreign(STATIC_TOPIC, message.data):
                before = self._fixed.get(joint.child)
                self._fixed[joint.child] = joint
                if before is None:
                    self.fix(joint)
                elif (before.parent, before.values) != (joint.parent, joint.values):
                    self._later.append((message.stamp_ns, joint))

    def take_message(self, message: RawMessage) -> RawMessage | None:
        """Take a message of /tf, in order of log time.

        Returns:
            The message without transforms of earlier runs; None where there was nothing else.
        """
        self._newest_ns = max(self._newest_ns, message.stamp_ns)
        self._taken += 1
        self._own.clear()
        self.take(message.data)
        return without(message, self._own) if self._own else message

    def is_own(self, joint: Joint) -> bool:
        """Return whether an earlier run of this package published a transform."""
        if not self._earlier.has(joint, self._newest_ns, self.buffer, self.tree):
            return False
        key = joint.parent, joint.child
        self._left_out[key] += 1
        self._own.append(joint)
        if self._left_out[key] == 1:
            self.reasons.log.info(f'{_earlier(*key)}; all of these are left out')
        return True

    def _say_bad_report(self, problem: str) -> None:
        self.reasons.happened(Reason.TF_BAD, 'tf', WINDOW_REPORT, problem=problem)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was left out so far."""
        return tuple(
            Note(
                'transforms_of_earlier_run',
                f'{_earlier(*key)}; {count} of them were left out',
                {'transforms': count},
            )
            for key, count in self._left_out.items()
        )

    def read(self) -> None:
        """Bring what is known to the present log time."""
        now_ns = self._tape_clock()
        while self._later and self._later[0][0] <= now_ns:
            self.fix(self._later.popleft()[1])
        if self._has_moving and not self._has_begun:
            self._has_begun = True
            self._read_ahead(now_ns + round(LISTENS_S * _NS_PER_S))
        if now_ns - self._tidied_ns >= _TIDIED_NS:
            self._tidied_ns = now_ns
            self.end_what_is_over()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether a condition holds, after reading ahead for transforms that make it hold.

        Args:
            condition: asked again whenever there is something new.
            timeout_s: of log time that is read ahead at most.
        """
        self.read()
        until_ns = self._tape_clock()
        end_ns = until_ns + round(timeout_s * _NS_PER_S)
        is_more = True
        while not condition():
            taken = self._taken
            while is_more and until_ns < end_ns and taken == self._taken:
                until_ns = min(until_ns + _STEP_NS, end_ns)
                is_more = self._read_ahead(until_ns)
            if taken == self._taken:
                return False
        return True

    def listen_moving(self) -> None:
        """Do nothing: the recording gives /tf anyway."""

    def publishers(self, topic: str) -> str:
        """Return who else publishes a topic, in words."""
        del topic  # a recording does not say who sent what
        return 'the recording'

    def count_publishers(self, topic: str) -> int:
        """Return this program and, where something may yet come, the recording."""
        return 1 + (topic == MOVING_TOPIC and self._has_moving)


def _earlier(parent: str, child: str) -> str:
    return (
        f'/tf has {parent} to {child} of an earlier run of this package, as its window reports say'
    )
