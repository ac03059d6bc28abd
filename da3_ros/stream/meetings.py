"""Which cameras see the same instants: who meets whom, who is alone, and by how much.

Two cameras meet when an image of one has a stamp within the tolerance of one of the other, and
arrives not much before or after it. Time is counted in the stamps of the cameras: nothing here
reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

SILENT_NS = 2_000_000_000
"""A camera is missed when the stamps of another one went on for so long without it."""
APART_NS = 2_500_000_000
"""Two cameras never meet when both went on for so long without."""
_SILENT_PERIODS = 3
_APART_FRAMES = 3
_RECENT = 32
_OFFSETS = 16


@dataclass(frozen=True, slots=True)
class Apart:
    """A camera that never meets the others, though both send."""

    camera: str
    other: str
    """The one that it is compared with."""
    clock_ns: int
    """Its stamps minus those of the other that arrive at the same time."""
    distance_ns: int
    """Usual distance of its stamps from the nearest ones of the other."""
    largest_ns: int
    """The largest of these distances."""


class _Sender:
    """What is known of one camera."""

    def __init__(self, senders: int) -> None:
        self.recent: deque[tuple[int, int]] = deque(maxlen=_RECENT)
        """Stamp and arrival of its newest images, ns."""
        self.elapsed_ns = 0
        """How far its stamps went on since the start, without jumps of its clock."""
        self.frames = 0
        self.arrival = 0
        """Number of its last arrival, of all cameras."""
        self.elapsed_then_ns = [0] * senders
        """How far the stamps of every camera had gone on at its last arrival."""
        self.offsets_ns: list[deque[int]] = [deque(maxlen=_OFFSETS) for _ in range(senders)]
        """Against every camera: its stamps minus theirs, for one time of arrival."""

    @property
    def period_ns(self) -> int:
        if len(self.recent) < 2:
            return 0
        return (self.recent[-1][0] - self.recent[0][0]) // (len(self.recent) - 1)


class Meetings:
    """Follows which cameras meet. One thread at a time.

    Args:
        senders: number of cameras.
        tolerance_ns: largest difference of stamps within one set.
        wait_ns: how long a set waits for a late camera.
    """

    def __init__(self, senders: int, tolerance_ns: int, wait_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._lag_ns = tolerance_ns + wait_ns
        self._senders = [_Sender(senders) for _ in range(senders)]
        self._has_met = [[False] * senders for _ in range(senders)]
        # Of two cameras: how far the stamps of the first, and its images, had come when they met.
        self._since = [[(0, 0)] * senders for _ in range(senders)]
        self._arrivals = 0
        self._doubted = frozenset[int]()
        self._groups: tuple[frozenset[int], ...] | None = None

    def note(self, index: int, stamp_ns: int, arrived_ns: int) -> None:
        """Take a stamp of a camera, in the order of arrival."""
        self._groups = None
        own = self._senders[index]
        self._arrivals += 1
        before, own.arrival = own.arrival, self._arrivals
        gap_ns = stamp_ns - own.recent[-1][0] if own.recent else 0
        is_first = not own.frames
        if own.recent and gap_ns <= 0:
            return
        own.elapsed_ns += gap_ns
        own.frames += 1
        own.recent.append((stamp_ns, arrived_ns))
        own.elapsed_then_ns = [sender.elapsed_ns for sender in self._senders]
        for other, sender in enumerate(self._senders):
            if other == index or not sender.recent:
                continue
            if is_first:
                self._begin(index, other)
            newest_ns, newest_arrived_ns = sender.recent[-1]
            if sender.arrival > before > 0:
                offset_ns = (stamp_ns - newest_ns) - (arrived_ns - newest_arrived_ns)
                own.offsets_ns[other].append(offset_ns)
            if abs(newest_ns - stamp_ns) <= self._lag_ns and self._has_near(sender, stamp_ns):
                self._meet(index, other)

    def doubt(self, cameras: Iterable[int]) -> None:
        """Take note whose clock is known to be wrong: of groups of one size others lead."""
        self._doubted = frozenset(cameras)

    def forget(self, index: int) -> None:
        """Take note that the clock of a camera jumped: whom it meets is open again."""
        self._groups = None
        own = self._senders[index]
        own.recent.clear()
        own.arrival = 0
        for other, sender in enumerate(self._senders):
            own.offsets_ns[other].clear()
            sender.offsets_ns[index].clear()
            self._has_met[index][other] = self._has_met[other][index] = False
            self._begin(index, other)

    def are_one_set(self, cameras: Iterable[int]) -> None:
        """Take note that images of these cameras are in one set."""
        found = tuple(cameras)
        if not any(group.issuperset(found) for group in self._groups or ()):
            # Else they meet already, and the groups are what they were.
            self._groups = None
        for place, index in enumerate(found):
            for other in found[place + 1 :]:
                self._meet(index, other)

    def is_sending(self, index: int) -> bool:
        """Return whether a camera has sent lately, by the stamps of the others."""
        own = self._senders[index]
        if not own.frames:
            return False
        limit_ns = max(SILENT_NS, _SILENT_PERIODS * own.period_ns)
        # Asked for every image of every camera: a loop costs a third of a generator.
        for sender, then_ns in zip(self._senders, own.elapsed_then_ns, strict=True):
            if sender.elapsed_ns - then_ns > limit_ns:
                return False
        return True

    def elapsed_ns(self) -> int:
        """Return how far the stamps of any camera went on since the start."""
        return max(sender.elapsed_ns for sender in self._senders)

    def period_ns(self, index: int) -> int:
        """Return the usual time between two images of a camera; 0 before the second."""
        return self._senders[index].period_ns

    def together(self, cameras: Iterable[int]) -> frozenset[int]:
        """Return some cameras with all that meet one of them, directly or through others."""
        found = frozenset(cameras)
        return found.union(*(group for group in self.groups() if group & found))

    def leads(self, cameras: Iterable[int]) -> bool:
        """Return whether cameras are of one group, and no other one that sends weighs as much."""
        found = frozenset(cameras)
        touched = [group for group in self.groups() if group & found]
        if len(touched) > 1:
            return False
        others = [self._weight(group) for group in self.groups() if group not in touched]
        return self._weight(found.union(*touched)) > max(others, default=(0, False))

    def is_apart(self, index: int) -> bool:
        """Return whether a camera has not met, for long, a group that weighs as much as its."""
        return self._other_group(index) is not None

    def apart(self, cameras: tuple[str, ...]) -> tuple[Apart, ...]:
        """Return what is known of the cameras that are apart, by their names."""
        found = []
        for index, camera in enumerate(cameras):
            group = self._other_group(index)
            if group is None:
                continue
            other = min(group)
            distances_ns = self._distances_ns(index, other) or [0]
            found.append(
                Apart(
                    camera,
                    cameras[other],
                    clock_ns=self.offset_ns(index, other) or 0,
                    distance_ns=round(median(distances_ns)),
                    largest_ns=max(distances_ns),
                )
            )
        return tuple(found)

    def offset_ns(self, index: int, other: int) -> int | None:
        """Return stamps of one camera minus those of another that arrive at the same time."""
        ahead = self._senders[index].offsets_ns[other]
        behind = self._senders[other].offsets_ns[index]
        sides = [median(ahead)] if ahead else []
        sides += [-median(behind)] if behind else []
        return round(sum(sides) / len(sides)) if sides else None

    def behind_ns(self, index: int) -> tuple[int, int | None]:
        """Return how a camera compares with the first one that it meets.

        Returns:
            How much later its images come; 0 where it meets none. How far its stamps usually are
            from the nearest of the other; None where it meets none.
        """
        other = min(self.together([index]) - {index}, default=None)
        if other is None:
            return 0, None
        delay_ns = max(0, -(self.offset_ns(index, other) or 0))
        return delay_ns, round(median(self._distances_ns(index, other) or [0]))

    def groups(self) -> tuple[frozenset[int], ...]:
        """Return the cameras that send, by who meets whom."""
        if self._groups is None:
            left = {i for i in range(len(self._senders)) if self.is_sending(i)}
            groups = []
            while left:
                group, fresh = set[int](), {min(left)}
                while fresh:
                    group |= fresh
                    left -= fresh
                    fresh = {o for o in left if any(self._meets(i, o) for i in fresh)}
                groups.append(frozenset(group))
            self._groups = tuple(groups)
        return self._groups

    def _weight(self, group: frozenset[int]) -> tuple[int, bool]:
        """Return what decides between groups: their size, then whether a clock is not doubted."""
        return len(group), not group <= self._doubted

    # ---- pairs

    def _other_group(self, index: int) -> frozenset[int] | None:
        groups = self.groups()
        if len(groups) < 2:
            return None
        own = next((group for group in groups if index in group), None)
        if own is None:
            return None
        rivals = [
            group
            for group in groups
            if group is not own
            and self._weight(group) >= self._weight(own)
            and all(self._is_long_ago(index, other) for other in group)
        ]
        return max(rivals, key=self._weight, default=None)

    def _meets(self, index: int, other: int) -> bool:
        return self._has_met[index][other] and not self._is_long_ago(index, other)

    def _is_long_ago(self, index: int, other: int) -> bool:
        """Return whether both cameras went on for long since they met, or since they began."""
        for a, b in ((index, other), (other, index)):
            elapsed_ns, frames = self._since[a][b]
            sender = self._senders[a]
            if sender.elapsed_ns - elapsed_ns < APART_NS:
                return False
            if sender.frames - frames < _APART_FRAMES:
                return False
        return True

    def _begin(self, index: int, other: int) -> None:
        for a, b in ((index, other), (other, index)):
            self._since[a][b] = (self._senders[a].elapsed_ns, self._senders[a].frames)

    def _meet(self, index: int, other: int) -> None:
        self._has_met[index][other] = self._has_met[other][index] = True
        self._begin(index, other)

    def _has_near(self, sender: _Sender, stamp_ns: int) -> bool:
        for other_ns, _ in reversed(sender.recent):
            if abs(other_ns - stamp_ns) <= self._tolerance_ns:
                return True
            if other_ns < stamp_ns:
                return False
        return False

    def _distances_ns(self, index: int, other: int) -> list[int]:
        """Return how far the newest stamps of one camera are from the nearest of another."""
        theirs = [stamp_ns for stamp_ns, _ in self._senders[other].recent]
        ours = [stamp_ns for stamp_ns, _ in self._senders[index].recent]
        if not theirs:
            return []
        covered = [s for s in ours if theirs[0] <= s <= theirs[-1]] or ours
        return [min(abs(stamp_ns - t) for t in theirs) for stamp_ns in covered]
