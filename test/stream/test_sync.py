"""Laws of synchronisation, and what faults do to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import itertools

import numpy as np
import pytest

from da3_ros.errors import StreamError
from da3_ros.stream.sync import Synchronizer
from da3_ros.types import CameraFrame, FrameSet
from helpers.stream_builders import PERIOD_NS, frame

MS = 1_000_000
CAMERAS = ('a', 'b', 'c')
Stamps = list[tuple[tuple[str, int], ...]]


def make(min_cameras: int = 0, cameras: Sequence[str] = CAMERAS, **more: int) -> Synchronizer:
    values = {'tolerance_ns': 10 * MS, 'wait_ns': 100 * MS, **more}
    return Synchronizer(
        cameras,
        values['tolerance_ns'],
        min_cameras,
        values['wait_ns'],
        queue_size=values.get('queue_size', 16),
        first_wait_ns=values.get('first_wait_ns', 0),
    )


def stamps_of(sets: Iterable[FrameSet]) -> Stamps:
    return [tuple((f.camera, f.stamp_ns) for f in item.frames) for item in sets]


def run(sync: Synchronizer, frames: Iterable[CameraFrame], *, flush: bool = True) -> Stamps:
    sets = [item for pushed in frames for item in sync.push(pushed)]
    return stamps_of(sets + (sync.flush() if flush else []))


def test_a_complete_set_goes_out_with_its_last_frame() -> None:
    sync = make()
    assert sync.push(frame('b', 5)) == []
    assert sync.push(frame('c', 9)) == []
    (ready,) = sync.push(frame('a', 7))
    assert [f.camera for f in ready.frames] == ['a', 'b', 'c']
    assert ready.stamp_ns == 5
    assert ready.missing == ()


def test_every_order_of_arrival_gives_the_same_sets() -> None:
    times = [[frame(c, i * PERIOD_NS + k * MS) for k, c in enumerate(CAMERAS)] for i in range(3)]
    expected = [tuple((f.camera, f.stamp_ns) for f in item) for item in times]
    for orders in itertools.product(itertools.permutations(range(3)), repeat=3):
        arrived = [times[i][k] for i, order in enumerate(orders) for k in order]
        assert run(make(), arrived) == expected


@pytest.mark.parametrize('seed', range(60))
def test_jitter_within_tolerance_and_uneven_delays_give_the_true_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f'cam{i}' for i in range(rng.integers(1, 6))]
    truth: Stamps = []
    arrivals: list[tuple[float, int, CameraFrame]] = []
    delay = rng.uniform(0, 3 * PERIOD_NS, len(names))
    for i in range(30):
        stamps = i * PERIOD_NS + rng.integers(0, 10 * MS, len(names))
        truth.append(tuple(zip(names, stamps.tolist(), strict=True)))
        for k, name in enumerate(names):
            arrivals.append((stamps[k] + delay[k], k, frame(name, int(stamps[k]))))
    sync = make(cameras=names)
    ordered = [item for _, _, item in sorted(arrivals, key=lambda entry: entry[:2])]
    assert run(sync, ordered) == truth
    assert sync.report().dropped == ()
    assert sync.report().sets == 30


@pytest.mark.parametrize('seed', range(60))
def test_random_faults_never_break_the_laws(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    pushed: list[CameraFrame] = []
    for i in range(80):
        for camera in rng.permutation(CAMERAS):
            if rng.random() < 0.15:
                continue
            jump = 0 if rng.random() > 0.05 else int(rng.integers(-450, 450)) * MS
            item = frame(str(camera), i * PERIOD_NS + int(rng.integers(0, 25 * MS)) + jump)
            pushed += [item] * (2 if rng.random() < 0.05 else 1)
    tolerance = int(rng.integers(0, 40)) * MS
    sync = make(int(rng.integers(0, 4)), tolerance_ns=tolerance, queue_size=5)
    sets = [made for item in pushed for made in sync.push(item)] + sync.flush()

    used = [id(f) for item in sets for f in item.frames]
    assert len(used) == len(set(used))
    starts = [item.stamp_ns for item in sets]
    assert starts == sorted(set(starts))
    for ready in sets:
        stamps = [f.stamp_ns for f in ready.frames]
        assert max(stamps) - min(stamps) <= tolerance
        assert min(stamps) == ready.stamp_ns
        assert {f.camera for f in ready.frames} | set(ready.missing) == set(CAMERAS)
    for camera in CAMERAS:
        own = [f.stamp_ns for item in sets for f in item.frames if f.camera == camera]
        assert own == sorted(set(own))
    dropped = sum(drop.count for drop in sync.report().dropped)
    assert len(used) + dropped == len(pushed)


def test_a_frame_that_fits_the_next_set_better_is_left_to_it() -> None:
    sync = make(tolerance_ns=20 * MS, cameras=('a', 'b'))
    frames = [frame('a', 0), frame('a', 33 * MS), frame('b', 18 * MS)]
    # 18 ms is within the tolerance of 0, but nearer to 33.
    assert run(sync, frames) == [(('b', 18 * MS), ('a', 33 * MS))[::-1]]
    assert sync.report().dropped_by('unmatched') == 1


def test_a_wide_set_waits_for_the_frame_that_would_fit_better() -> None:
    sync = make(tolerance_ns=20 * MS, cameras=('a', 'b'))
    first = [frame('a', 0), frame('b', 2 * MS), frame('a', 33 * MS), frame('b', 35 * MS)]
    assert len(run(sync, first, flush=False)) == 2
    # Camera a comes every 33 ms, so its frame at 99 is expected nearer to 85 than 66 is.
    assert run(sync, [frame('a', 66 * MS), frame('b', 85 * MS)], flush=False) == []
    assert run(sync, [frame('a', 99 * MS)], flush=False) == [(('a', 99 * MS), ('b', 85 * MS))]


def test_a_wide_set_goes_out_when_the_better_frame_does_not_come() -> None:
    sync = make(tolerance_ns=20 * MS, cameras=('a', 'b'))
    first = [frame('a', 0), frame('b', 2 * MS), frame('a', 33 * MS), frame('b', 35 * MS)]
    run(sync, first, flush=False)
    assert run(sync, [frame('a', 66 * MS), frame('b', 85 * MS)], flush=False) == []
    late = [frame('b', 118 * MS), frame('b', 151 * MS), frame('b', 184 * MS)]
    assert run(sync, late, flush=False) == [(('a', 66 * MS), ('b', 85 * MS))]


def test_a_partial_set_waits_for_an_image_newer_than_wait() -> None:
    sync = make(min_cameras=2)
    assert run(sync, [frame('a', 0), frame('b', 1)], flush=False) == []
    assert run(sync, [frame('a', 100 * MS)], flush=False) == []
    (ready,) = sync.push(frame('b', 100 * MS + 1))
    assert stamps_of([ready]) == [(('a', 0), ('b', 1))]
    assert ready.missing == ('c',)
    assert sync.report().partial_sets == 1


def test_a_partial_set_goes_out_once_the_late_camera_is_past_it() -> None:
    sync = make(min_cameras=2)
    assert run(sync, [frame('a', 0), frame('b', 1)], flush=False) == []
    (ready,) = sync.push(frame('c', 11 * MS))
    assert ready.missing == ('c',)


def test_a_dead_camera_does_not_stall_the_others_and_comes_back() -> None:
    sync = make(min_cameras=2)
    sets: list[FrameSet] = []
    for i in range(60):
        for camera in CAMERAS:
            if camera != 'b' or not 20 <= i < 40:
                sets += sync.push(frame(camera, i * PERIOD_NS))
        if i == 39:
            report = sync.report()
            assert report.late_cameras == ('b',)
            assert report.cameras[1].lag_ns == 20 * PERIOD_NS
            # The sets wait for b no longer than wait_ns.
            assert (39 - len(sets)) * PERIOD_NS <= 100 * MS
    sets += sync.flush()
    assert [item.stamp_ns for item in sets] == [i * PERIOD_NS for i in range(60)]
    assert [item.stamp_ns for item in sets if item.missing] == [
        i * PERIOD_NS for i in range(20, 40)
    ]
    assert sync.report().late_cameras == ()
    assert sync.report().dropped == ()


def test_without_min_cameras_a_dead_camera_is_named_and_nothing_comes_out() -> None:
    sync = make()
    frames = [frame(c, i * PERIOD_NS) for i in range(50) for c in ('a', 'c')]
    assert run(sync, frames, flush=False) == []
    report = sync.report()
    assert report.late_cameras == ('b',)
    assert report.cameras[1].newest_stamp_ns is None
    assert report.dropped_by('overflow') == 2 * (50 - 16)
    # It comes back: sets flow again at once.
    back = [frame(c, 50 * PERIOD_NS) for c in CAMERAS]
    assert run(sync, back, flush=False) == [tuple((c, 50 * PERIOD_NS) for c in CAMERAS)]


def test_one_of_one_camera_needs_no_waiting() -> None:
    sync = make(cameras=('a',))
    for i in range(5):
        assert stamps_of(sync.push(frame('a', i * PERIOD_NS))) == [(('a', i * PERIOD_NS),)]


def test_duplicates_and_stamps_that_step_back_are_dropped_and_counted() -> None:
    sync = make()
    assert len(run(sync, [frame(c, 50 * MS) for c in CAMERAS], flush=False)) == 1
    assert run(sync, [frame('a', 50 * MS), frame('a', 20 * MS)], flush=False) == []
    assert run(sync, [frame(c, 90 * MS) for c in CAMERAS], flush=False) != []
    report = sync.report()
    assert report.dropped_by('duplicate') == 1
    assert report.dropped_by('out_of_order') == 1
    assert report.clock_resets == 0


def test_a_frame_whose_set_is_out_is_late_and_starts_no_set_of_its_own() -> None:
    sync = make(min_cameras=1)
    frames = [frame('a', 0), frame('a', 150 * MS)]
    assert run(sync, frames, flush=False) == [(('a', 0),)]
    assert run(sync, [frame('b', 2 * MS)], flush=False) == []
    assert sync.report().dropped_by('late') == 1


def test_unknown_cameras_are_counted_by_name_within_bounds() -> None:
    sync = make()
    for i in range(1000):
        assert sync.push(frame(f'ghost{i}', i)) == []
    report = sync.report()
    assert report.dropped_by('unknown_camera') == 1000
    assert len(report.dropped) < 50


def test_a_clock_that_jumps_back_starts_anew_after_several_frames_in_a_row() -> None:
    sync = make()
    old = [frame(c, 5_000 * MS + i * PERIOD_NS) for i in range(10) for c in CAMERAS]
    assert (
        len(run(sync, [*old, frame('a', 5_700 * MS), frame('c', 5_700 * MS)], flush=False)) == 10
    )
    new = [[frame(c, 3_999 * MS + i * PERIOD_NS) for c in CAMERAS] for i in range(4)]
    assert run(sync, [f for item in new[:2] for f in item], flush=False) == []
    assert sync.report().clock_resets == 0
    expected = [tuple((f.camera, f.stamp_ns) for f in item) for item in new]
    assert run(sync, new[2], flush=False) == expected[:3]
    assert sync.report().clock_resets == 1
    assert sync.report().dropped_by('clock_reset') == 2
    assert run(sync, new[3], flush=False) == expected[3:]


def test_reset_forgets_stamps_and_pending_frames() -> None:
    sync = make()
    frames = [frame(c, 500 * MS) for c in CAMERAS]
    assert len(run(sync, [*frames, frame('a', 600 * MS)], flush=False)) == 1
    sync.reset()
    assert len(run(sync, frames, flush=False)) == 1
    assert sync.report().dropped_by('unmatched') == 1


def test_a_bag_that_loops_gives_the_same_sets_again() -> None:
    sync = make()
    loop = [frame(c, i * PERIOD_NS + k * MS) for i in range(60) for k, c in enumerate(CAMERAS)]
    first = run(sync, loop, flush=False)
    assert run(sync, [*loop[:-1]], flush=False) == first[:-1]
    report = sync.report()
    assert report.clock_resets == 1
    assert report.dropped == ()


def test_flush_gives_the_partial_set_that_was_still_waiting() -> None:
    sync = make(min_cameras=2)
    assert run(sync, [frame('a', 0), frame('c', 0)], flush=False) == []
    assert stamps_of(sync.flush()) == [(('a', 0), ('c', 0))]
    sync = make()
    assert run(sync, [frame('a', 0), frame('c', 0)]) == []
    assert sync.report().dropped_by('unmatched') == 2


def test_memory_is_bounded_over_ten_thousand_frames() -> None:
    sync = make(queue_size=8)
    for i in range(10_000):
        sync.push(frame('a', i * PERIOD_NS))
        assert sync._queues.length(0) <= 8
    assert sync.report().dropped_by('overflow') == 10_000 - 8


def test_a_full_queue_sends_a_partial_set_rather_than_losing_it() -> None:
    sync = make(min_cameras=1, wait_ns=60_000 * MS, queue_size=4)
    sets = run(sync, [frame('a', i * PERIOD_NS) for i in range(20)], flush=False)
    assert sets == [(('a', i * PERIOD_NS),) for i in range(17)]
    assert sync.report().dropped == ()


@pytest.mark.parametrize(
    ('cameras', 'tolerance', 'minimum', 'wait'),
    [
        ((), 1, 0, 1),
        (('a', 'a'), 1, 0, 1),
        (('a',), -1, 0, 1),
        (('a',), 1, 2, 1),
        (('a',), 1, 0, -1),
    ],
)
def test_impossible_settings_are_refused(
    cameras: tuple[str, ...], tolerance: int, minimum: int, wait: int
) -> None:
    with pytest.raises(StreamError, match='sync'):
        Synchronizer(cameras, tolerance, minimum, wait)
