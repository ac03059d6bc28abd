"""Poses of one instant: the nearest stamps pair up, each once, in whole nanoseconds."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from da3_ros.errors import GeometryError
from da3_ros.metrics.association import associate

STAMPS = st.lists(st.integers(0, 60) | st.integers(0, 100_000), min_size=1, max_size=12)


def paired(first: list[int], second: list[int], limit: int) -> list[tuple[int, int]]:
    found = associate(first, second, limit)
    return [*zip(found.first.tolist(), found.second.tolist(), strict=True)]


def test_the_nearest_pair_first_and_nobody_twice() -> None:
    # 100 is nearest to 101, so that 95 has to take 90.
    assert paired([95, 100], [90, 101], 10) == [(0, 0), (1, 1)]
    # Of three within reach of one stamp one pairs.
    assert paired([99, 100, 101], [100], 10) == [(1, 0)]
    found = associate([0, 1000], [30, 1001], 30)
    assert found.largest_ns == 30


def test_the_difference_is_exact_at_stamps_of_today() -> None:
    now = 1_790_000_000_123_456_789
    assert paired([now], [now + 20_000_000], 20_000_000) == [(0, 0)]
    with pytest.raises(GeometryError, match=r'within 0\.02 s'):
        associate([now], [now + 20_000_001], 20_000_000)


def test_no_overlap_says_both_times() -> None:
    with pytest.raises(GeometryError, match=r'1\.000 to 2\.000 s.*5\.000 to 5\.000 s'):
        associate([1_000_000_000, 2_000_000_000], [5_000_000_000], 20_000_000)
    with pytest.raises(GeometryError, match='the second ones none'):
        associate([1], [], 5)
    with pytest.raises(GeometryError, match='expected a difference >= 0'):
        associate([1], [1], -1)


@given(STAMPS, STAMPS, st.integers(0, 20) | st.integers(0, 30_000))
def test_as_the_slow_rule_says(first: list[int], second: list[int], limit: int) -> None:
    """The rule itself: of all pairs the nearest one, again and again."""
    free_first, free_second = {*range(len(first))}, {*range(len(second))}
    wanted: list[int] = []
    while True:
        near = [
            (abs(first[a] - second[b]), a, b)
            for a, b in product(free_first, free_second)
            if abs(first[a] - second[b]) <= limit
        ]
        if not near:
            break
        apart, a, b = min(near)
        wanted.append(apart)
        free_first.remove(a)
        free_second.remove(b)
    try:
        found = associate(first, second, limit)
    except GeometryError:
        assert not wanted
        return
    a, b = found.first, found.second
    assert len({*a.tolist()}) == len({*b.tolist()}) == len(a)
    apart_ns = np.abs(np.array(first)[a] - np.array(second)[b])
    assert min(apart_ns) == wanted[0]
    assert apart_ns.max() == found.largest_ns <= limit
    every = [abs(one - other) for one, other in product(first, second)]
    # Of equal differences either may come first, which can leave others for later.
    if len(set(every)) == len(every):
        assert sorted(apart_ns.tolist()) == wanted
    rest = product(free_first - {*a.tolist()}, free_second - {*b.tolist()})
    assert all(abs(first[i] - second[j]) > limit for i, j in rest)


def test_ten_thousand_stamps_are_in_order() -> None:
    first = np.arange(10_000) * 33_000_000
    second = first[::-1] + 1_000_000
    found = associate(first.tolist(), second.tolist(), 2_000_000)
    np.testing.assert_array_equal(found.first, np.arange(10_000))
    np.testing.assert_array_equal(found.second, np.arange(10_000)[::-1])
