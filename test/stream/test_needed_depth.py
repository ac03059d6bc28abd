"""Windows ask for the depth that places them; the world is the same as with all depth."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest

from da3_ros.stream.input_views import rotated_frame
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import RigCalibration, Window, WindowPrediction, WindowResult
from helpers.stream_builders import (
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    drive,
    frame_set,
    sets_of,
    stand,
    windows_of,
    with_odometry,
)

CAMERAS = ('front', 'left')


@dataclass
class Asked:
    """An estimator that knows what it was asked for, and may give all, or fail."""

    inner: BoxEstimator
    gives_all: bool = False
    failing: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.windows: list[Window] = []

    def estimate(self, window: Window) -> WindowPrediction:
        self.windows.append(window)
        if window.index in self.failing:
            raise RuntimeError('no memory')
        return self.inner.estimate(replace(window, depth_of=None) if self.gives_all else window)

    def asked(self, index: int) -> list[tuple[str, int]]:
        window = self.windows[index]
        assert window.depth_of is not None
        first = window.sets[0].stamp_ns // PERIOD_NS
        return sorted((v.camera, v.stamp_ns // PERIOD_NS - first) for v in window.depth_of)


def run(estimator: Asked, windows: list[Window], **options: object) -> list[WindowResult]:
    reconstructor = Reconstructor(estimator, RigCalibration(), lambda: 0.0, **options)  # type: ignore[arg-type]
    results = []
    for window in windows:
        with suppress(RuntimeError):
            results.append(reconstructor.process(window))
    return results


def both_of(old: int, new: int) -> list[tuple[str, int]]:
    return sorted((camera, place) for camera in CAMERAS for place in (old, new))


def test_new_sets_and_the_newest_of_those_before_are_asked_for() -> None:
    estimator = Asked(BoxEstimator(BoxWorld(THREE_CAMERAS)))
    run(estimator, windows_of(sets_of(CAMERAS, 6), 4, 1))
    assert estimator.asked(0) == [('front', 0), ('left', 0)]
    assert [estimator.asked(index) for index in (3, 4, 5)] == [both_of(2, 3)] * 3


def test_the_next_window_asks_for_what_a_failed_one_did_not_place() -> None:
    estimator = Asked(BoxEstimator(BoxWorld(THREE_CAMERAS)), failing=frozenset({4}))
    results = run(estimator, windows_of(sets_of(CAMERAS, 6), 4, 1))
    assert estimator.asked(5) == sorted((c, place) for c in CAMERAS for place in (1, 2, 3))
    assert len(results[-1].new_sets) == 2


def test_a_set_with_a_camera_that_is_new_is_asked_for_whole() -> None:
    sets = sets_of(CAMERAS, 4)
    right = frame_set(['right'], sets[2].stamp_ns).frames
    grown = replace(sets[2], frames=(*sets[2].frames, *right))
    generation = SlidingWindow(3, 1)
    first = [w for w in map(generation.push, sets[:3]) if w]
    again = Window(3, (sets[1], grown, sets[3]), 1, first[0].generation)
    estimator = Asked(BoxEstimator(BoxWorld(THREE_CAMERAS)))
    run(estimator, [*first, again])
    assert estimator.asked(3) == sorted(
        [('front', 1), ('left', 1), ('right', 1), ('front', 2), ('left', 2)]
    )


@pytest.mark.parametrize('motion', [drive, stand], ids=lambda motion: motion.__name__)
def test_the_world_is_that_of_all_depth(motion: object) -> None:
    world = BoxWorld(THREE_CAMERAS, motion)  # type: ignore[arg-type]
    windows = windows_of(sets_of(CAMERAS, 8), 4, 1)
    less, whole = (
        run(Asked(BoxEstimator(world), gives_all=all_), windows) for all_ in (False, True)
    )
    for ours, theirs in zip(less, whole, strict=True):
        for mine, other in zip(ours.new_sets, theirs.new_sets, strict=True):
            np.testing.assert_allclose(mine.world_from_base, other.world_from_base, atol=1e-6)
            for view, same in zip(mine.views, other.views, strict=True):
                np.testing.assert_allclose(view.depth, same.depth, rtol=1e-5)


def test_after_a_jump_of_the_unit_windows_go_on() -> None:
    """The world becomes metric: sets are placed again, most of them without depth."""
    world = BoxWorld(THREE_CAMERAS)
    sets = with_odometry(sets_of(CAMERAS, 12), world, missing=range(5))
    estimator = Asked(BoxEstimator(world))
    results = run(estimator, windows_of(sets, 4, 1), scale_source='odometry')
    assert not results[3].alignment.is_metric
    assert results[-1].alignment.is_metric
    for result in results[-3:]:
        assert result.alignment.method == 'shared_views'
        assert np.isfinite(result.alignment.depth_residual)
        for view in result.new_sets[0].views:
            pose = world.world_from_camera(view.id.camera, view.id.stamp_ns)
            np.testing.assert_allclose(view.depth, world.depth(pose), rtol=1e-3)


def test_depth_that_was_asked_for_and_is_missing_refuses_the_window() -> None:
    def spoil(window: Window, said: WindowPrediction) -> WindowPrediction:
        return replace(said, views=tuple(replace(view, depth=None) for view in said.views))

    estimator = Asked(BoxEstimator(BoxWorld(THREE_CAMERAS), spoil=spoil))
    (result,) = run(estimator, windows_of(sets_of(CAMERAS, 1), 4, 1))
    assert result.new_sets == ()
    assert 'expected a depth image' in result.alignment.notes[0].text


def test_generations_are_never_the_same() -> None:
    one, other = SlidingWindow(2, 1), SlidingWindow(2, 1)
    seen = []
    for sliding in (one, other, one):
        window = sliding.push(frame_set(CAMERAS, 0))
        assert window is not None
        seen.append(window.generation)
        sliding.reset()
    assert len(set(seen)) == 3
    assert 0 not in seen


def test_a_rotated_frame_says_so() -> None:
    frame = frame_set(CAMERAS, 0).frames[0]
    assert [rotated_frame(frame, n).quarter_turns for n in (0, 1, 3)] == [0, 1, 3]
    assert rotated_frame(rotated_frame(frame, 3), 2).quarter_turns == 1
