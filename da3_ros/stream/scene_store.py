"""The newest part of the world, its unit and the whole trajectory, always read together."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
import threading

from da3_ros.errors import StreamError
from da3_ros.geometry.trajectory import Trajectory
from da3_ros.types import PosedSet


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One world at one instant: all of one generation and of one unit."""

    generation: int
    """Which world it is: larger after every reset, jump of the clock and change of the unit."""
    sets: tuple[PosedSet, ...]
    """The newest ones, oldest first."""
    is_metric: bool
    """Whether the unit of sets and trajectory is the metre; False while there are none."""
    trajectory: Trajectory
    """Where the base was, since the world began; nobody adds to it any more."""


class SceneStore:
    """Keeps one world; safe to use from several threads.

    Args:
        capacity_sets: sets kept; 0 for none.

    Raises:
        StreamError: the capacity is negative.
    """

    def __init__(self, capacity_sets: int) -> None:
        if capacity_sets < 0:
            raise StreamError(f'scene store: expected a capacity >= 0, got {capacity_sets}')
        self._sets: deque[PosedSet] = deque(maxlen=capacity_sets)
        self._trajectory = Trajectory()
        self._generation = 0
        self._is_metric = False
        self._lock = threading.Lock()

    def add(self, sets: Sequence[PosedSet], *, is_metric: bool) -> None:
        """Add sets of the present world; the oldest go when the store is full.

        Args:
            sets: oldest first.
            is_metric: whether their unit, and with it the world's, is the metre.
        """
        with self._lock:
            self._is_metric = is_metric
            for posed in sets:
                self._sets.append(posed)
                self._trajectory.append(posed.stamp_ns, posed.world_from_base)

    def snapshot(self) -> Scene:
        """Return what is kept; later changes do not touch it."""
        with self._lock:
            return Scene(
                self._generation, tuple(self._sets), self._is_metric, self._trajectory.copy()
            )

    def begin(self, generation: int) -> None:
        """Forget everything: another world begins."""
        with self._lock:
            self._generation = generation
            self._is_metric = False
            self._sets.clear()
            self._trajectory.clear()
