"""Windows: sizes, overlap, growing start."""

import copy
from dataclasses import replace
from itertools import pairwise
import pickle

import pytest

from da3_ros.errors import StreamError
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import FrameSet
from helpers.stream_builders import sets_of, windows_of


@pytest.mark.parametrize(('window', 'stride'), [(1, 1), (2, 1), (3, 1), (3, 2), (5, 3), (4, 4)])
def test_every_set_is_new_exactly_once_and_windows_overlap(window: int, stride: int) -> None:
    sets = sets_of(['a'], 23)
    windows = windows_of(sets, window, stride)
    new = [s.stamp_ns for w in windows for s in w.sets[-w.new_sets :]]
    assert new == [s.stamp_ns for s in sets[: len(windows) * stride]]
    assert [w.index for w in windows] == list(range(len(windows)))
    for before, after in pairwise(windows):
        shared = set(map(id, before.sets)) & set(map(id, after.sets))
        assert len(shared) == min(len(before.sets), window - stride)
        assert len(after.sets) <= window
    assert len(windows[-1].sets) == window


def test_the_first_window_does_not_wait_for_a_full_one() -> None:
    assert [len(w.sets) for w in windows_of(sets_of(['a'], 6), 4, 1)] == [1, 2, 3, 4, 4, 4]


def test_sets_dropped_upstream_cost_no_overlap() -> None:
    kept = sets_of(['a'], 40)[::7]
    windows = windows_of(kept, 3, 1)
    assert windows[-1].sets == tuple(kept[-3:])
    assert windows[-2].sets[1:] == windows[-1].sets[:-1]


def test_the_end_of_the_input_gives_the_rest() -> None:
    sliding = SlidingWindow(3, 2)
    for item in sets_of(['a'], 5):
        sliding.push(item)
    last = sliding.flush()
    assert last is not None
    assert (last.new_sets, len(last.sets)) == (1, 3)
    assert sliding.flush() is None


def test_reset_starts_from_nothing() -> None:
    sliding = SlidingWindow(2, 1)
    for item in sets_of(['a'], 3):
        sliding.push(item)
    sliding.reset()
    window = sliding.push(sets_of(['a'], 1)[0])
    assert window is not None
    assert (window.index, len(window.sets)) == (0, 1)


@pytest.mark.parametrize('window', [1, 3])
def test_a_stamp_that_comes_again_is_of_another_generation(window: int) -> None:
    """A clock was set back: `ViewId`s come twice, with other images."""
    first, second, third = sets_of(['a', 'b'], 3)
    sliding = SlidingWindow(window, 1)
    # The set is newer, one of its cameras is not.
    again = FrameSet(third.stamp_ns, (replace(first.frames[0]), third.frames[1]))
    pushed = [sliding.push(s) for s in (first, second, again, *sets_of(['a', 'b'], 4)[2:])]
    generations = [w.generation for w in pushed if w]
    assert len(generations) == 5
    assert generations[0] == generations[1] < generations[2]
    # Camera b comes twice with the next set; then all goes on.
    assert generations[2] < generations[3] == generations[4]


def test_a_camera_that_was_away_is_of_the_same_generation() -> None:
    sets = sets_of(['a', 'b'], 3)
    sliding = SlidingWindow(2, 1)
    alone = FrameSet(sets[1].stamp_ns, sets[1].frames[:1])
    pushed = [sliding.push(one) for one in (sets[0], alone, sets[2])]
    assert len({window.generation for window in pushed if window}) == 1


def test_a_window_of_another_process_promises_nothing() -> None:
    """There generations are counted, too: the same number would be another stream."""
    window = SlidingWindow(2, 1).push(sets_of(['a'], 1)[0])
    assert window is not None
    asked = replace(window, depth_of=frozenset(frame.id for frame in window.views))
    for other in (pickle.loads(pickle.dumps(asked)), copy.deepcopy(asked)):
        assert other.generation == 0
        assert (other.index, other.new_sets, other.depth_of) == (0, 1, asked.depth_of)
        assert [frame.id for frame in other.views] == [frame.id for frame in window.views]
    assert asked.generation == window.generation > 0


@pytest.mark.parametrize(('window', 'stride'), [(0, 1), (2, 3), (2, 0)])
def test_impossible_settings_are_refused(window: int, stride: int) -> None:
    with pytest.raises(StreamError, match='stride'):
        SlidingWindow(window, stride)
