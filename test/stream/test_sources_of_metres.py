"""What counts as a distance that is known, and how well two measurements of one are believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
import math

import numpy as np
import pytest

from da3_ros.geometry.parallax import Parallax
from da3_ros.notes import Note
from da3_ros.stream.placing import window_sets
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.rig import Poses
from da3_ros.stream.scale import sources
from da3_ros.stream.scale.measurements import LogScale, scale_from_rig
from da3_ros.stream.scale.sources import ONE_DISTANCE, OdometryState, metric_candidates
from da3_ros.stream.scale.world import MetricCandidate, MetricSource
from da3_ros.types import PosePrior, RigCalibration, Window, WindowPrediction
from helpers.stream_builders import (
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    rig_of,
    sets_of,
    windows_of,
    with_odometry,
)

WORLD = BoxWorld(THREE_CAMERAS)
NEW = OdometryState(world=None, chain=None, gathered=None)
NOISE = 0.001


def candidates(
    window: Window, rig: Poses, noise: float = NOISE, world: BoxWorld = WORLD
) -> Mapping[MetricSource, MetricCandidate]:
    """Return what the sources say of a window whose unit only its cameras tell."""
    prediction = replace(BoxEstimator(world).estimate(window), unit_sigma=None)
    sets = window_sets(window, prediction)
    found, _ = metric_candidates(window, sets, prediction, rig, noise, NEW)
    return found


def knowing(count: int, views: int) -> Window:
    """Return a window of one camera whose first `count` of `views` frames have odometry."""
    sets = with_odometry(sets_of(['front'], views), WORLD)
    known = [
        item if number < count else replace(item, prior=PosePrior())
        for number, item in enumerate(sets)
    ]
    return Window(0, tuple(known), 1)


@pytest.mark.parametrize('views', [1, 2, 3])
@pytest.mark.parametrize('count', [0, 1, 2, 3])
def test_odometry_is_there_with_a_distance_or_with_all_that_the_window_has(
    count: int, views: int
) -> None:
    if count > views:
        return
    problem = candidates(knowing(count, views), {})['odometry'].problem
    if count >= 2 or count == views:
        assert problem == ''
    else:
        assert f'{count} of {views} poses' in problem
        # Where nothing came at all, the parameter may be empty.
        assert ('prior_frame' in problem) == (count == 0)


def test_the_reason_is_what_the_first_set_that_knows_one_says() -> None:
    window = knowing(0, 3)
    said = [(), (Note('transform_missing', 'a hole'),), (Note('transform_missing', 'other'),)]
    sets = [
        replace(item, prior=PosePrior(notes=notes) if notes else None)
        for item, notes in zip(window.sets, said, strict=True)
    ]
    problem = candidates(Window(0, tuple(sets), 1), {})['odometry'].problem
    assert '(a hole)' in problem


LEFT, MIDDLE, RIGHT = (0.0, 0.1, 0.2, 0.4), (0.0, 0.1, 0.0, 0.4), (0.0, 0.1, -0.2, 0.4)
ABOVE = (0.0, 0.1, 0.2, 0.6)


@pytest.mark.parametrize(
    ('places', 'distances'),
    [
        ((LEFT, LEFT), 0),
        ((LEFT, RIGHT), 1),
        ((LEFT, ABOVE), 1),
        ((LEFT, RIGHT, LEFT), 1),
        ((LEFT, LEFT, RIGHT), 1),
        ((LEFT, RIGHT, RIGHT), 1),
        ((LEFT, MIDDLE, RIGHT), 3),
    ],
)
def test_cameras_in_one_place_are_no_distance(
    places: tuple[tuple[float, float, float, float], ...], distances: int
) -> None:
    names = ['a', 'b', 'c'][: len(places)]
    rig = rig_of(**dict(zip(names, places, strict=True)))
    window = Window(0, tuple(sets_of(names, 1)), 1)
    found = candidates(window, rig.base_from_camera, world=BoxWorld(rig))['rig']
    assert ('apart' in found.problem) == (distances == 0)
    assert (found.doubt is ONE_DISTANCE) == (distances == 1)
    assert (found.measured is not None) == (distances > 1)
    # Nor is there one where nobody knows where the cameras are.
    assert 'apart' in candidates(window, {}, world=BoxWorld(rig))['rig'].problem


class TestOneDistanceAndTheImages:
    """A rig of two cameras; what the images say of the unit is put in."""

    SEEN = 0.1
    RIG = rig_of(left=LEFT, right=RIGHT)

    def both(
        self, monkeypatch: pytest.MonkeyPatch, apart: float, noise: float
    ) -> tuple[LogScale, LogScale]:
        """Return what the one distance says alone, and what comes of it and the images."""
        world = BoxWorld(self.RIG)
        window = Window(0, tuple(sets_of(['left', 'right'], 1)), 1)
        prediction = BoxEstimator(world).estimate(window)
        predicted = window_sets(window, prediction)[0].window_from_camera
        alone = scale_from_rig([(predicted, self.RIG.base_from_camera)], noise)
        assert alone is not None
        told = Parallax(alone.value + apart, self.SEEN, 0.0)

        def images_say(*_: object) -> Parallax:
            return told

        monkeypatch.setattr(sources, 'metres_between_cameras', images_say)
        found = candidates(window, self.RIG.base_from_camera, noise, world)['rig'].measured
        assert found is not None
        return alone, found

    @pytest.mark.parametrize('sign', [-1, 1])
    @pytest.mark.parametrize('apart', [0.0, 0.6, 0.8, 1.5, 2.9])
    def test_where_they_agree_the_distance_counts_as_well_as_they_do(
        self, monkeypatch: pytest.MonkeyPatch, apart: float, sign: int
    ) -> None:
        alone, found = self.both(monkeypatch, sign * apart * self.SEEN, NOISE)
        assert found.value == pytest.approx(alone.value)
        # Not worse than the images alone, and not known as exactly as it fits.
        assert alone.sigma < found.sigma <= self.SEEN
        if 0.5 < apart < 1:
            assert found.sigma == pytest.approx(apart * self.SEEN)
        elif apart > 1:
            assert found.sigma == pytest.approx(self.SEEN)
        else:
            assert found.sigma < 0.6 * self.SEEN
        assert 0 < found.common < found.sigma

    @pytest.mark.parametrize('sign', [-1, 1])
    def test_where_they_contradict_the_images_count(
        self, monkeypatch: pytest.MonkeyPatch, sign: int
    ) -> None:
        alone, found = self.both(monkeypatch, sign * 3.2 * self.SEEN, NOISE)
        assert found.value == pytest.approx(alone.value + sign * 3.2 * self.SEEN)
        assert found.sigma == self.SEEN
        assert 0 < found.common < found.sigma

    def test_a_distance_that_is_known_badly_does_not_get_better_by_agreement(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alone, found = self.both(monkeypatch, 0.2 * self.SEEN, 0.08)
        assert alone.sigma > self.SEEN
        assert found.sigma == pytest.approx(alone.sigma)
        # Both deviations count when they are compared.
        alone, found = self.both(monkeypatch, 3.2 * self.SEEN, 0.08)
        assert math.hypot(alone.sigma, self.SEEN) * 3 > 3.2 * self.SEEN
        assert found.value == pytest.approx(alone.value)


METRIC_FROM = 3


@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('before', [False, True])
@pytest.mark.parametrize('now', [False, True])
def test_changed_depth_is_noted_between_two_measurements_of_the_metre_that_share_nothing(
    shared: bool, before: bool, now: bool
) -> None:
    """Where views are shared, or the metre is unknown, a change of depth says nothing of it."""
    sets = sets_of(['front'], 6)
    length = 2 if shared else 1
    change = METRIC_FROM * PERIOD_NS

    def spoil(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        views = tuple(
            replace(view, depth=view.depth * np.float32(4 if frame.stamp_ns >= change else 1))
            for view, frame in zip(prediction.views, window.views, strict=True)
        )
        is_later = window.sets[-1].stamp_ns >= change
        return replace(prediction, views=views, is_metric=now if is_later else before)

    estimator = BoxEstimator(WORLD, is_metric=True, spoil=spoil)
    reconstructor = Reconstructor(estimator, RigCalibration(), lambda: 0.0)
    noted = [
        window.sets[-1].stamp_ns // PERIOD_NS
        for window in windows_of(sets, length, 1)
        if any(
            note.code == 'depth_changed' for note in reconstructor.process(window).alignment.notes
        )
    ]
    assert noted == ([METRIC_FROM] if before and now and not shared else [])
