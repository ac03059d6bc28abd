"""Which poses of two trajectories are of the same instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import heapq

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError

Indices = NDArray[np.int64]
_NS_PER_S = 1e9
_LARGEST_NS = 2**64
_ROUNDING_NS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """Pairs of two lists of stamps, in the order of time; no stamp is in two of them."""

    first: Indices
    """(P,) places in the first list."""
    second: Indices
    """(P,) places in the second list."""
    largest_ns: int
    """Largest difference within a pair; 0 without one."""


def associate(
    first_ns: Sequence[int], second_ns: Sequence[int], max_difference_ns: int
) -> Association:
    """Pair the stamps of two lists, the nearest ones first, each at most once.

    Args:
        first_ns: in any order.
        second_ns: likewise, by the same clock.
        max_difference_ns: stamps that are farther apart are no pair.

    Raises:
        GeometryError: the difference is negative, or no two stamps are so near; says which time
            both lists are of.

    Source: the rule of the TUM RGB-D tools (`associate.py`), in whole nanoseconds.
    """
    if max_difference_ns < 0:
        raise GeometryError(f'association: expected a difference >= 0 ns, got {max_difference_ns}')
    pairs = _nearest_first(_merged(first_ns, second_ns), max_difference_ns)
    if not pairs:
        raise GeometryError(
            f'association: no two stamps are within {max_difference_ns / _NS_PER_S:g} s of each '
            f'other; the first ones are {_span(first_ns)}, the second ones {_span(second_ns)}'
        )
    pairs.sort(key=lambda pair: (first_ns[pair[0]], pair))
    first, second = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    largest = max(abs(int(first_ns[a]) - int(second_ns[b])) for a, b in pairs)
    return Association(first, second, largest)


def are_among(stamps_ns: ArrayLike, others_ns: ArrayLike) -> bool:
    """Return whether all stamps are some of others, but for what six decimals of seconds lose."""
    known = np.sort(np.asarray(others_ns, np.int64))
    wanted = np.asarray(stamps_ns, np.int64)
    after = np.clip(np.searchsorted(known, wanted), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    apart = np.minimum(np.abs(known[after] - wanted), np.abs(known[before] - wanted))
    return bool((apart <= _ROUNDING_NS).all())


def limit_ns(max_difference_s: float) -> int:
    """Return a difference of stamps, 0 or more seconds, in whole ns; infinity is any."""
    return round(min(max_difference_s * _NS_PER_S, _LARGEST_NS))


@dataclass(frozen=True, slots=True)
class _Stamp:
    ns: int
    is_first: bool
    place: int


def _merged(first_ns: Sequence[int], second_ns: Sequence[int]) -> list[_Stamp]:
    stamps = [_Stamp(int(ns), True, place) for place, ns in enumerate(first_ns)]
    stamps += [_Stamp(int(ns), False, place) for place, ns in enumerate(second_ns)]
    return sorted(stamps, key=lambda stamp: (stamp.ns, not stamp.is_first, stamp.place))


def _nearest_first(stamps: list[_Stamp], limit_ns: int) -> list[tuple[int, int]]:
    """Return pairs by growing difference.

    The two nearest stamps of different lists are neighbours in time: what lay between them would
    be nearer to one of them. With both taken out, the stamps around them become neighbours.
    """
    before = [place - 1 for place in range(len(stamps))]
    after = [place + 1 for place in range(len(stamps))]
    is_free = [True] * len(stamps)
    heap: list[tuple[int, int, int]] = []

    def offer(left: int, right: int) -> None:
        if left < 0 or right >= len(stamps) or stamps[left].is_first == stamps[right].is_first:
            return
        apart = stamps[right].ns - stamps[left].ns
        if apart <= limit_ns:
            heapq.heappush(heap, (apart, left, right))

    for left in range(len(stamps) - 1):
        offer(left, left + 1)
    pairs = []
    while heap:
        _, left, right = heapq.heappop(heap)
        if not (is_free[left] and is_free[right]):
            continue
        is_free[left] = is_free[right] = False
        a, b = (left, right) if stamps[left].is_first else (right, left)
        pairs.append((stamps[a].place, stamps[b].place))
        outer_left, outer_right = before[left], after[right]
        if outer_left >= 0:
            after[outer_left] = outer_right
        if outer_right < len(stamps):
            before[outer_right] = outer_left
        offer(outer_left, outer_right)
    return pairs


def _span(stamps_ns: Sequence[int]) -> str:
    if not len(stamps_ns):
        return 'none'
    return f'{min(stamps_ns) / _NS_PER_S:.3f} to {max(stamps_ns) / _NS_PER_S:.3f} s'
