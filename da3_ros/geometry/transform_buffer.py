"""A tree of frames with a memory: where one frame stood in another at a stamp.

For machines without tf2, and for exact stamps: nothing here is a float of seconds. Like tf2 it
interpolates between the two transforms around a stamp and never extrapolates; unlike tf2 it does
not bridge a gap of more than a second, since half a turn may hide in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
import math
import threading
import time

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix, slerp_xyzw
from da3_ros.geometry.se3 import invert, require_rigid
from da3_ros.geometry.stamps import StampFilter

HISTORY_NS = 10_000_000_000
MAX_GAP_NS = 1_000_000_000
_ZERO = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The answer to a question for a transform."""

    pose: FloatArray | None
    """(4, 4) a_from_b; None when it is not known."""
    problem: str = ''
    """Why it is not known, naming the frames; empty when it is."""
    is_early: bool = False
    """Whether it may become known: the newest transform is older than the stamp."""


@dataclass(slots=True, eq=False)
class _Joint:
    """One frame below its parent: fixed, or with a history."""

    parent: str
    fixed: FloatArray | None = None
    stamps_ns: list[int] = field(default_factory=list)
    """Ascending, each once."""
    values: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)
    """For each stamp the rotation as a unit quaternion xyzw, and the translation."""
    stamps: StampFilter[None] = field(default_factory=StampFilter)
    """What it says of the clock of the publisher."""


class TransformBuffer:
    """Joints by name, fixed or moving; safe to use from several threads.

    A frame has one parent: another one replaces it with its whole history. A transform whose
    stamp is far from the newest of its joint is left out, unless several in a row go on from
    there. When they are older the clock was set back (a bag that starts again): all histories are
    forgotten then.

    Args:
        history_ns: how long moving joints are remembered.
        max_gap_ns: longest time between two transforms that is interpolated.
        clock: steady nanoseconds; a gap that arrivals have too is no jump of a clock.
    """

    def __init__(
        self,
        history_ns: int = HISTORY_NS,
        max_gap_ns: int = MAX_GAP_NS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._clock = clock
        self._history_ns = history_ns
        self._max_gap_ns = max_gap_ns
        self._joints: dict[str, _Joint] = {}
        self._resets = 0
        self._lock = threading.Lock()

    def set_fixed(self, parent: str, child: str, parent_from_child: FloatArray) -> None:
        """Take a joint that does not move; a newer one replaces an older one.

        Raises:
            GeometryError: it is not rigid.
        """
        require_rigid(f'{parent} to {child}', parent_from_child)
        with self._lock:
            self._joints[_plain(child)] = _Joint(_plain(parent), fixed=parent_from_child)

    def add(self, parent: str, child: str, stamp_ns: int, parent_from_child: FloatArray) -> bool:
        """Take where a moving joint stood at a stamp; a fixed joint stays fixed."""
        quaternion_xyzw = quaternion_xyzw_from_matrix(parent_from_child[:3, :3])
        return self.add_quaternion(
            parent, child, stamp_ns, parent_from_child[:3, 3], quaternion_xyzw
        )

    def add_quaternion(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: ArrayLike,
        quaternion_xyzw: ArrayLike,
    ) -> bool:
        """Take the same as a translation (3,) and a quaternion (4,), the way TF has it.

        Returns:
            False when it was left out: for its stamp, or because the joint is fixed.

        Raises:
            GeometryError: they are not finite, or the quaternion is zero.
        """
        value = _checked(translation, quaternion_xyzw)
        parent, child = _plain(parent), _plain(child)
        with self._lock:
            joint = self._joints.get(child)
            if joint is None or joint.parent != parent:
                joint = self._joints[child] = _Joint(parent)
            if joint.fixed is not None:
                return False
            judged = joint.stamps.push(stamp_ns, None, self._clock())
            if not judged.taken:
                return False
            if judged.jump_ns < 0:
                self._forget_histories()
                joint.stamps.push(stamp_ns, None, self._clock())
            stamps = joint.stamps_ns
            place = bisect_left(stamps, stamp_ns)
            if place < len(stamps) and stamps[place] == stamp_ns:
                joint.values[place] = value
                return True
            stamps.insert(place, stamp_ns)
            joint.values.insert(place, value)
            old = bisect_left(stamps, stamps[-1] - self._history_ns)
            del stamps[:old], joint.values[:old]
            return True

    def _forget_histories(self) -> None:
        self._resets += 1
        for joint in self._joints.values():
            joint.stamps_ns.clear()
            joint.values.clear()
            joint.stamps = StampFilter()

    @property
    def resets(self) -> int:
        """How often the clock was set back."""
        return self._resets

    def is_connected(self, a: str, b: str) -> bool:
        """Return whether joints of any kind connect two frames."""
        with self._lock:
            return self._path(_plain(a), _plain(b)) is not None

    def newest_ns(self, a: str, b: str) -> int | None:
        """Return the newest stamp at which all moving joints between two frames are known.

        None when nothing connects them, when one of the joints has no history, or when none of
        them moves.
        """
        with self._lock:
            joints = self._between_frames(a, b) or []
            moving = [joint for joint in joints if joint.fixed is None]
            if not moving or not all(joint.stamps_ns for joint in moving):
                return None
            return min(joint.stamps_ns[-1] for joint in moving)

    def lookup(self, a: str, b: str, stamp_ns: int) -> Found:
        """Return a_from_b at a stamp."""
        a, b = _plain(a), _plain(b)
        with self._lock:
            path = self._path(a, b)
            if path is None:
                return Found(None, f'no transforms connect {a} to {b}')
            poses = []
            for frames in path:
                pose = np.eye(4)
                for frame in frames:
                    found = self._at(frame, stamp_ns)
                    if found.pose is None:
                        return found
                    pose = found.pose @ pose
                poses.append(pose)
        ancestor_from_a, ancestor_from_b = poses
        return Found(np.asarray(invert(ancestor_from_a) @ ancestor_from_b))

    def _between_frames(self, a: str, b: str) -> list[_Joint] | None:
        path = self._path(_plain(a), _plain(b))
        return None if path is None else [self._joints[frame] for side in path for frame in side]

    def _path(self, a: str, b: str) -> tuple[list[str], list[str]] | None:
        """Return the joints (named by their lower frames) from a and from b to where they meet."""
        above_a = self._ancestors(a)
        for steps, frame in enumerate(above_b := self._ancestors(b)):
            if frame in above_a:
                return above_a[: above_a.index(frame)], above_b[:steps]
        return None

    def _ancestors(self, frame: str) -> list[str]:
        """Return a frame and all above it, nearest first; stops at a loop."""
        found = [frame]
        while (joint := self._joints.get(found[-1])) is not None and joint.parent not in found:
            found.append(joint.parent)
        return found

    def _at(self, child: str, stamp_ns: int) -> Found:
        joint = self._joints[child]
        if joint.fixed is not None:
            return Found(joint.fixed)
        name, stamps = f'{joint.parent} to {child}', joint.stamps_ns
        if not stamps:
            return Found(None, f'{name}: nothing came since the clock was set back', is_early=True)
        place = bisect_left(stamps, stamp_ns)
        if place == len(stamps):
            late_s = (stamp_ns - stamps[-1]) / 1e9
            text = f'{name}: the newest transform is {late_s:.3f} s older than the image'
            return Found(None, text, is_early=True)
        if stamps[place] == stamp_ns:
            return Found(_matrix(joint.values[place]))
        if place == 0:
            early_s = (stamps[0] - stamp_ns) / 1e9
            return Found(
                None, f'{name}: the oldest transform is {early_s:.3f} s newer than the image'
            )
        gap_ns = stamps[place] - stamps[place - 1]
        if gap_ns > self._max_gap_ns:
            return Found(None, f'{name}: a gap of {gap_ns / 1e9:.3f} s around the image')
        share = (stamp_ns - stamps[place - 1]) / gap_ns
        return Found(_between(joint.values[place - 1], joint.values[place], share))


def _plain(frame: str) -> str:
    return frame.lstrip('/')


def _checked(translation: ArrayLike, quaternion_xyzw: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values = np.array([*np.asarray(quaternion_xyzw), *np.asarray(translation)], dtype=np.float64)
    norm = math.sqrt(float(values[:4] @ values[:4]))
    if not (np.isfinite(values).all() and norm > _ZERO):
        raise GeometryError(
            'transform: expected a finite translation and a finite, non-zero quaternion '
            f'(x, y, z, w), got {values[4:].tolist()} and {values[:4].tolist()}'
        )
    return values[:4] / norm, values[4:]


def _matrix(value: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return the pose (4, 4); written out, since several are needed for every image."""
    x, y, z, w = (float(v) for v in value[0])
    pose = np.eye(4)
    pose[:3, :3] = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    pose[:3, 3] = value[1]
    return pose


def _between(
    before: tuple[FloatArray, FloatArray], after: tuple[FloatArray, FloatArray], share: float
) -> FloatArray:
    """Return the pose at a share of the way: constant velocity, constant turning rate."""
    (q0, t0), (q1, t1) = before, after
    return _matrix((slerp_xyzw(q0, q1, share), t0 + share * (t1 - t0)))
