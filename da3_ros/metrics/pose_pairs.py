"""Pairs of poses over which a trajectory's relative error is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray

DeltaUnit = Literal['frames', 's', 'm']
"""Poses, seconds, or metres of the true path."""
DELTA_UNITS: tuple[DeltaUnit, ...] = get_args(DeltaUnit)

TOLERANCE = 0.1
"""Of a distance in seconds or metres, where all pairs are used: how far off one may be, as a
share."""


@dataclass(frozen=True, slots=True)
class Delta:
    """How far apart the two poses of a pair are."""

    value: float = 1.0
    unit: DeltaUnit = 'frames'
    is_consecutive: bool = False
    """Whether a pair begins where the one before ends; else one begins at every pose."""

    def __post_init__(self) -> None:
        """Refuse what is no distance.

        Raises:
            GeometryError: it is not positive, or no whole number of frames.
        """
        if self.unit not in DELTA_UNITS:
            raise GeometryError(f'delta: expected a unit of {DELTA_UNITS}, got {self.unit!r}')
        if not (np.isfinite(self.value) and self.value > 0):
            raise GeometryError(f'delta: expected a number above 0, got {self.value}')
        if self.unit == 'frames' and not float(self.value).is_integer():
            raise GeometryError(f'delta: expected a whole number of frames, got {self.value}')

    def __str__(self) -> str:
        """Return it in words."""
        unit = 'frame' if self.unit == 'frames' and self.value == 1 else self.unit
        return f'{self.value:g} {unit}'


@dataclass(frozen=True, slots=True, eq=False)
class PosePairs:
    """Places of the first and the second pose of each pair."""

    first: NDArray[np.int64]
    """(P,)."""
    second: NDArray[np.int64]
    """(P,), each behind its first."""


def pose_pairs(delta: Delta, stamps_ns: NDArray[np.int64], truth: FloatArray) -> PosePairs:
    """Return the pairs of a trajectory that are so far apart.

    They are chosen by the truth, so that they are the same for every estimate. In seconds and
    metres a pair of all is the pose nearest to the distance, within `TOLERANCE`; of consecutive
    ones the first at which it is reached.

    Args:
        delta: how far apart.
        stamps_ns: (N,), ascending.
        truth: (N, 3) true positions.

    Raises:
        GeometryError: no two poses are so far apart.
    """
    if delta.unit == 'frames':
        step = int(delta.value)
        starts = np.arange(0, len(truth) - step, step if delta.is_consecutive else 1)
        pairs = PosePairs(starts, starts + step)
        reached = f'{len(truth)} poses'
    else:
        along = _seconds(stamps_ns) if delta.unit == 's' else _path(truth)
        choose = _consecutive if delta.is_consecutive else _all
        pairs = choose(along, delta.value)
        reached = f'{len(truth)} poses over {along[-1]:.6g} {delta.unit}' if len(along) else 'none'
    if not len(pairs.first):
        raise GeometryError(
            f'relative error: no two poses are {delta} apart, there are {reached}; choose another '
            'delta'
        )
    return pairs


def _seconds(stamps_ns: NDArray[np.int64]) -> FloatArray:
    return np.asarray((stamps_ns - stamps_ns[:1]) / 1e9)


def _path(positions: FloatArray) -> FloatArray:
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    return np.concatenate([np.zeros(min(1, len(positions))), np.cumsum(steps)])


def _all(along: FloatArray, distance: float) -> PosePairs:
    """Return for every pose the one nearest to the distance behind it, the first of equals."""
    starts = np.arange(len(along) - 1)
    wanted = along[:-1] + distance
    above = np.searchsorted(along, wanted)
    above = np.clip(above, starts + 1, len(along) - 1)
    # Equal places of a robot that stands: the first of them.
    above = np.maximum(np.searchsorted(along, along[above]), starts + 1)
    below = np.searchsorted(along, along[above - 1])
    below = np.maximum(below, starts + 1)
    apart_above = np.abs(along[above] - along[:-1] - distance)
    apart_below = np.abs(along[below] - along[:-1] - distance)
    ends = np.where(apart_below <= apart_above, below, above)
    fits = np.minimum(apart_below, apart_above) <= TOLERANCE * distance
    return PosePairs(starts[fits], ends[fits])


def _consecutive(along: FloatArray, distance: float) -> PosePairs:
    places = [0]
    for place, reached in enumerate(along.tolist()):
        if reached - along[places[-1]] >= distance:
            places.append(place)
    return PosePairs(np.array(places[:-1], np.int64), np.array(places[1:], np.int64))
