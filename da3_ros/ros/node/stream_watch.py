"""Why no window comes though images do, judged once per second from counters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
import math
import time

from da3_ros.notes import joined
from da3_ros.options import StreamOptions
from da3_ros.reasons import Reason
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.window_reasons import OWNER, SCALE_CODES
from da3_ros.types import WindowResult

_STALLED_AFTER_S = 10.0
# A window may take this many times as long as the slowest so far.
_SLOWER_BY = 3.0
_SPAN_S = 10.0
_LEAST_SPAN_S = 4.0
_LEAST_SETS = 5
# Share of sets left out that is worth a word, and that below which it is over.
_OVERLOADED, _RELIEVED = 0.2, 0.1
# Sets that come again after so long are a new flow.
_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """Where the stream stands; counts are since the node was configured."""

    is_active: bool
    is_enabled: bool
    state: str
    """Name of the lifecycle state."""
    is_wanted: bool
    """Whether anybody has use for a window."""
    sets: int
    """Sets that were complete enough to be used."""
    dropped_sets: int
    """Those of them that never reached the network."""
    is_working: bool
    """Whether the network is at work on a window."""
    finished: int
    """Windows that ended, well or not."""
    slowest_s: float
    """Longest estimate of late; 0 before the first."""
    result: WindowResult | None
    """The newest; None before the first of this world."""
    unplaced: tuple[str, ...]
    """Cameras whose place on the robot is not known."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    sets: int
    dropped_sets: int
    finished: int


class StreamWatch:
    """Holds and ends the reasons of the stream.

    Args:
        board: takes them.
        options: of the stream.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        board: ReasonBoard,
        options: StreamOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._options = options
        self._clock = clock
        self._samples: deque[_Sample] = deque()
        self._is_overloaded = False
        self._works_since_s = clock()
        self._finished = 0
        # When sets began to come, and windows before that.
        self._flows_since_s = clock()
        self._finished_before = 0
        self._newest_set_s = -math.inf
        self._newest = (0, 0)

    def look(self, facts: StreamFacts) -> None:
        """Judge the facts of this moment."""
        board, works = self._board, facts.is_active and facts.is_enabled
        # One that is left out says nothing: both would be said of a node that is neither.
        board.set(Reason.INACTIVE, OWNER, not facts.is_active, state=facts.state)
        board.set(Reason.DISABLED, OWNER, facts.is_active and not facts.is_enabled)
        board.set(Reason.NOT_WANTED, OWNER, works and not facts.is_wanted)
        self._judge_stall(facts, works=works and facts.is_wanted)
        self._judge_load(facts, works=works and facts.is_wanted and self._flows(facts))
        self._judge_scale(facts.result)
        cameras = ', '.join(facts.unplaced)
        board.set(Reason.RIG_UNKNOWN, OWNER, bool(cameras), cameras=cameras)

    def _judge_stall(self, facts: StreamFacts, *, works: bool) -> None:
        now = self._clock()
        if not (works and facts.is_working) or facts.finished != self._finished:
            self._works_since_s = now
        self._finished = facts.finished
        silent_s = now - self._works_since_s
        limit_s = max(_STALLED_AFTER_S, _SLOWER_BY * facts.slowest_s)
        self._board.set(
            Reason.STALLED, OWNER, silent_s > limit_s, silent_s=silent_s, limit_s=limit_s
        )

    def _flows(self, facts: StreamFacts) -> bool:
        """Return whether sets come, and the first window of this flow is over.

        The first window of all takes longer than others, and what came before it, or during a
        pause, says nothing of the rates.
        """
        now, (sets, finished) = self._clock(), self._newest
        self._newest = (facts.sets, facts.finished)
        if facts.sets != sets:
            if now - self._newest_set_s > _PAUSE_S:
                self._flows_since_s, self._finished_before = now, finished
            self._newest_set_s = now
        if now - self._newest_set_s > _PAUSE_S:
            return False
        has_begun = facts.finished != self._finished_before
        return has_begun or now - self._flows_since_s > _SPAN_S

    def _judge_load(self, facts: StreamFacts, *, works: bool) -> None:
        now = self._clock()
        if not works:
            self._samples.clear()
        self._samples.append(_Sample(now, facts.sets, facts.dropped_sets, facts.finished))
        while now - self._samples[0].at_s > _SPAN_S:
            self._samples.popleft()
        first = self._samples[0]
        sets, dropped = facts.sets - first.sets, facts.dropped_sets - first.dropped_sets
        span_s = now - first.at_s
        if span_s < _LEAST_SPAN_S and works:
            return
        windows = facts.finished - first.finished
        limit = _RELIEVED if self._is_overloaded else _OVERLOADED
        is_overloaded = works and sets >= _LEAST_SETS and dropped > limit * sets
        self._is_overloaded = is_overloaded
        self._board.set(
            Reason.OVERLOADED,
            OWNER,
            is_overloaded,
            windows_hz=windows / span_s if span_s else 0.0,
            sets_hz=sets / span_s if span_s else 0.0,
            dropped_percent=100 * dropped / max(sets, 1),
            stride=self._options.stride,
        )

    def _judge_scale(self, result: WindowResult | None) -> None:
        if result is None:
            return
        a = result.alignment
        why = joined(note for note in a.notes if note.code in SCALE_CODES)
        self._board.set(
            Reason.SCALE_UNKNOWN,
            OWNER,
            not a.is_metric,
            scale_source=self._options.scale_source,
            problem=why or 'nothing that gives the metre is there',
        )
