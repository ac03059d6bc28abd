"""Frames that reached no set, or were lost with theirs, counted by camera and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DropCause = Literal[
    'duplicate',
    'out_of_order',
    'late',
    'unmatched',
    'overflow',
    'clock_reset',
    'outlier',
    'apart',
    'unknown_camera',
    'undecodable',
    'incomplete',
]

_UNKNOWN_NAMES = 32
_OTHERS = '(others)'


@dataclass(frozen=True, slots=True)
class DropCount:
    """How many frames of one camera were dropped for one reason."""

    camera: str
    cause: DropCause
    """duplicate: the stamp of the frame before; out_of_order: older than the frame before; late:
    its set had gone out already; unmatched: proved to fit no set; overflow: the queue was full;
    clock_reset: pending when the clock jumped back; outlier: its stamp did not fit those of its
    camera; apart: of a camera that never meets the others; unknown_camera: not one of the
    cameras; undecodable: its compressed image could not be decoded; incomplete: too little was
    left of its set to be used."""
    count: int


class Drops:
    """Counts of dropped frames. One thread at a time.

    Args:
        cameras: the known names, in the order of the report.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        self._cameras = tuple(cameras)
        self._counts: Counter[tuple[str, DropCause]] = Counter()

    def add(self, camera: str, cause: DropCause) -> None:
        """Count a frame of a known camera."""
        self._counts[camera, cause] += 1

    def add_unknown(self, camera: str) -> None:
        """Count a frame of a camera that is none of the known ones.

        Names come from outside: beyond a few they are counted together, to stay bounded.
        """
        known = sum(1 for _, cause in self._counts if cause == 'unknown_camera')
        is_new = (camera, 'unknown_camera') not in self._counts
        name = _OTHERS if is_new and known >= _UNKNOWN_NAMES else camera
        self._counts[name, 'unknown_camera'] += 1

    @property
    def total(self) -> int:
        """How many frames were dropped, for whatever reason."""
        return self._counts.total()

    def counts(self) -> tuple[DropCount, ...]:
        """Return all counts above zero, in the order of cameras, unknown cameras last."""
        names = dict.fromkeys([*self._cameras, *(name for name, _ in self._counts)])
        return tuple(
            DropCount(camera, cause, count)
            for name in names
            for (camera, cause), count in self._counts.items()
            if camera == name
        )
