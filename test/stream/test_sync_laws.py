"""Laws of synchronisation, whatever is pushed."""

from __future__ import annotations

import pytest

pytest.importorskip('hypothesis')
from hypothesis import given, settings
from hypothesis import strategies as st

from da3_ros.geometry.stamps import IN_A_ROW
from da3_ros.stream.sync import Synchronizer
from da3_ros.types import CameraFrame, FrameSet
from helpers.stream_builders import frame

MS = 1_000_000
S = 1000 * MS
HOUR_NS = 3600 * S
BEGIN_NS = 1_700_000_000 * S
TOLERANCE_NS, WAIT_NS, QUEUE = 10 * MS, 100 * MS, 6
NAMES = 'abcd'
exact = settings(max_examples=150, deadline=None, derandomize=True, database=None)

offsets = st.one_of(
    st.integers(-200, 200).map(lambda ms: ms * MS),
    st.sampled_from([-HOUR_NS, -2 * S, 2 * S, HOUR_NS, -BEGIN_NS + 1000 * S]),
)
events = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), offsets, st.booleans()), max_size=120
)


def make(cameras: int, min_cameras: int) -> Synchronizer:
    return Synchronizer(
        list(NAMES[:cameras]), TOLERANCE_NS, min_cameras, WAIT_NS, queue_size=QUEUE
    )


def stamps(sets: list[FrameSet]) -> list[int]:
    return [item.stamp_ns for item in sets]


@exact
@given(cameras=st.integers(1, 4), least=st.integers(0, 4), drawn=events)
def test_frames_sets_and_memory(
    cameras: int, least: int, drawn: list[tuple[int, int, int, bool]]
) -> None:
    """Each frame is in one set or is counted once; sets are in order but for restarts."""
    sync = make(cameras, min(least, cameras))
    now_ns, clocks = BEGIN_NS, [0] * 4
    pushed: list[CameraFrame] = []
    sets: list[FrameSet] = []
    for camera, steps, offset_ns, stays in drawn:
        index = camera % cameras
        now_ns += steps * 33 * MS
        if stays:
            clocks[index] = offset_ns
        item = frame(NAMES[index], max(1, now_ns + (clocks[index] if stays else offset_ns)))
        pushed.append(item)
        sets += sync.push(item, now_ns)
        report = sync.report()
        held = (
            len(pushed)
            - sum(len(s.frames) for s in sets)
            - sum(drop.count for drop in report.dropped)
        )
        assert 0 <= held <= cameras * (QUEUE + IN_A_ROW - 1)
    sets += sync.flush()
    used = [id(f) for ready in sets for f in ready.frames]
    assert len(used) == len(set(used))
    report = sync.report()
    assert len(used) + sum(drop.count for drop in report.dropped) == len(pushed)
    backwards = sum(b <= a for a, b in zip(stamps(sets), stamps(sets)[1:], strict=False))
    assert backwards == report.clock_resets
    for made in sets:
        taken = [f.stamp_ns for f in made.frames]
        assert max(taken) - min(taken) <= TOLERANCE_NS
        assert len(taken) >= (min(least, cameras) or cameras)
        assert {f.camera for f in made.frames} | set(made.missing) == set(NAMES[:cameras])


@exact
@given(
    cameras=st.integers(1, 4),
    period_ms=st.sampled_from([20, 33, 100, 200]),
    odd=st.lists(
        st.tuples(st.integers(3, 60), st.sampled_from([-HOUR_NS, -3 * S, 3 * S, HOUR_NS])),
        max_size=5,
        unique_by=lambda item: item[0] // 2,
    ),
    data=st.data(),
)
def test_single_odd_stamps_never_cost_another_image(
    cameras: int, period_ms: int, odd: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Every other frame comes out, and nothing restarts."""
    victim = data.draw(st.integers(0, cameras - 1))
    taken = dict(odd)
    by_instant = {i: offset for i, offset in odd if i - 1 not in taken}
    sync = make(cameras, 1)
    sets: list[FrameSet] = []
    for i in range(70):
        for index in range(cameras):
            stamp_ns = BEGIN_NS + i * period_ms * MS
            shift = by_instant.get(i, 0) if index == victim else 0
            sets += sync.push(frame(NAMES[index], stamp_ns + shift), stamp_ns)
    sets += sync.flush()
    assert sync.report().clock_resets == 0
    assert sync.report().dropped_by('outlier') == len(by_instant)
    found = {(f.camera, f.stamp_ns) for item in sets for f in item.frames}
    assert found == {
        (NAMES[index], BEGIN_NS + i * period_ms * MS)
        for i in range(70)
        for index in range(cameras)
        if index != victim or i not in by_instant
    }


@exact
@given(
    cameras=st.integers(3, 4),
    period_ms=st.sampled_from([33, 100, 200]),
    offset_ns=st.sampled_from([-HOUR_NS, -400 * MS, 45 * MS, 1300 * MS, HOUR_NS]),
    order=st.permutations(range(4)),
)
def test_one_wrong_clock_costs_the_others_nothing(
    cameras: int, period_ms: int, offset_ns: int, order: list[int]
) -> None:
    wrong = cameras - 1
    # With 33 ms an image of another instant is near.
    period_ns = (period_ms if abs(offset_ns) == HOUR_NS else max(period_ms, 100)) * MS
    if offset_ns in (-400 * MS, 1300 * MS):
        offset_ns += 30 * MS
    sync = make(cameras, 1)
    sets: list[FrameSet] = []
    for i in range(80):
        for index in (k for k in order if k < cameras):
            stamp_ns = BEGIN_NS + i * period_ns
            shift = offset_ns if index == wrong else 0
            sets += sync.push(frame(NAMES[index], stamp_ns + shift), stamp_ns)
    whole = [item for item in sets if len(item.frames) == cameras - 1]
    expected = [BEGIN_NS + i * period_ns for i in range(80)]
    # The newest may wait for the camera that is wrong.
    assert stamps(whole) == expected[: len(whole)]
    assert len(whole) >= 78
    assert len(sets) == len(whole)
    assert [item.camera for item in sync.report().apart] == [NAMES[wrong]]


@exact
@given(
    period_ms=st.integers(70, 200),
    share=st.floats(0.2, 0.8),
    min_cameras=st.integers(0, 2),
    late_ms=st.integers(0, 30),
)
def test_cameras_that_never_meet_give_no_sets(
    period_ms: int, share: float, min_cameras: int, late_ms: int
) -> None:
    offset_ns = round(share * period_ms) * MS
    sync = make(2, min_cameras)
    sets: list[FrameSet] = []
    count = 5 * S // (period_ms * MS)
    for i in range(count):
        now_ns = BEGIN_NS + i * period_ms * MS
        sets += sync.push(frame('a', now_ns), now_ns)
        sets += sync.push(frame('b', now_ns + offset_ns), now_ns + offset_ns + late_ms * MS)
    assert sets == []
    (a, b) = sync.report().apart
    nearest_ns = min(offset_ns, period_ms * MS - offset_ns)
    assert a.distance_ns == b.distance_ns == pytest.approx(nearest_ns, abs=MS)
    # The clocks agree, but for the time that images take.
    assert b.clock_ns == -late_ms * MS


@exact
@given(
    cameras=st.integers(1, 4),
    delays_ms=st.lists(st.integers(0, 90), min_size=4, max_size=4),
    min_cameras=st.integers(0, 1),
)
def test_complete_sets_go_out_with_their_last_image(
    cameras: int, delays_ms: list[int], min_cameras: int
) -> None:
    sync = make(cameras, min_cameras)
    arrivals = sorted(
        (BEGIN_NS + i * 100 * MS + delays_ms[k] * MS, i, k)
        for i in range(30)
        for k in range(cameras)
    )
    done: dict[int, int] = {}
    for now_ns, i, k in arrivals:
        for item in sync.push(frame(NAMES[k], BEGIN_NS + i * 100 * MS), now_ns):
            assert not item.missing
            done[item.stamp_ns] = now_ns
    slowest_ns = max(delays_ms[:cameras]) * MS
    assert done == {
        BEGIN_NS + i * 100 * MS: BEGIN_NS + i * 100 * MS + slowest_ns for i in range(30)
    }
