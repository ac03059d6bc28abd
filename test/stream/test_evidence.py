"""What was told is no evidence for itself: lengths count where something independent confirms."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.sim3 import Sim3
from da3_ros.notes import joined
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.scale.sources import GIVEN_ONLY, ONE_DISTANCE
from da3_ros.stream.window import SlidingWindow
from da3_ros.synthetic.family_world import FamilyWorld, make_family_world
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.types import (
    Estimator,
    FrameSet,
    PosePrior,
    RigCalibration,
    Window,
    WindowPrediction,
    WindowResult,
)

SIZE = ImageSize(70, 98)
PERIOD_NS = 200_000_000
START_NS = 1_700_000_000_000_000_000
PAIR = ('front', 'left')


@dataclass(frozen=True)
class Echo:
    """A network that repeats the distances it was told, over depth in a unit of its own."""

    inner: Estimator
    unit_sigma: float | None = None

    def estimate(self, window: Window) -> WindowPrediction:
        prediction = self.inner.estimate(window)
        rng = np.random.default_rng(window.index)
        wrong = np.float32(np.exp(rng.uniform(-1, 1)))
        views = [replace(view, depth=view.depth * wrong) for view in prediction.views]
        return replace(
            prediction, views=tuple(views), conditioning='pose', unit_sigma=self.unit_sigma
        )


@dataclass(frozen=True)
class Misplacing:
    """Right depth in a random unit; every distance between cameras is off by the same factor."""

    inner: Estimator
    factor: float
    grey: bool = False

    def estimate(self, window: Window) -> WindowPrediction:
        prediction = self.inner.estimate(window)
        stretch = Sim3(self.factor, np.eye(3), np.zeros(3))
        views = [
            replace(
                view,
                window_from_camera=stretch.apply_to_pose(view.window_from_camera),
                image=np.full_like(view.image, 90) if self.grey else view.image,
            )
            for view in prediction.views
        ]
        return replace(prediction, views=tuple(views), unit_sigma=None)


@pytest.fixture(scope='module')
def room() -> FamilyWorld:
    return make_family_world(1, SIZE)


def run(
    room: FamilyWorld,
    estimator: Estimator,
    *,
    cameras: tuple[str, ...] = PAIR,
    count: int = 12,
    window: int = 2,
    odometry: bool = False,
) -> list[WindowResult]:
    calibration = room.rig.calibration.base_from_camera
    rig = RigCalibration({} if odometry else {name: calibration[name] for name in cameras})
    reconstructor = Reconstructor(estimator, rig, lambda: 0.0)
    sliding = SlidingWindow(window, 1)
    results = []
    for index in range(count):
        stamp_ns = START_NS + index * PERIOD_NS
        frames = tuple(room.frame(name, stamp_ns) for name in cameras)
        told = {name: room.world_from_camera(name, stamp_ns) for name in cameras}
        prior = PosePrior(odometry_from_camera=told) if odometry else None
        made = sliding.push(FrameSet(stamp_ns, frames, prior=prior))
        if made is not None:
            results.append(reconstructor.process(made))
    return results


def off(room: FamilyWorld, result: WindowResult) -> float:
    """Return the median log ratio of depth as given out against the truth."""
    ratios = []
    for view in result.new_sets[-1].views:
        truth = room.depth(view.id.camera, view.id.stamp_ns, SIZE)
        known = np.isfinite(view.depth) & np.isfinite(truth)
        ratios.append(np.log(view.depth[known] / truth[known]))
    return float(np.median(np.concatenate(ratios)))


@pytest.mark.parametrize('odometry', [True, False])
def test_told_distances_alone_make_no_metres(room: FamilyWorld, odometry: bool) -> None:
    echo = Echo(TruthEstimator(room, size=SIZE))
    results = run(room, echo, odometry=odometry)
    assert not any(result.alignment.is_metric for result in results)
    assert all(GIVEN_ONLY in result.alignment.notes for result in results)


def test_one_distance_without_anything_to_see_makes_no_metres(room: FamilyWorld) -> None:
    results = run(room, Misplacing(TruthEstimator(room, size=SIZE), 1.6, grey=True))
    assert not any(result.alignment.is_metric for result in results)
    assert all(ONE_DISTANCE in result.alignment.notes for result in results)


@pytest.mark.parametrize('factor', [0.5, 1.0, 1.6])
def test_images_correct_or_confirm_one_distance(room: FamilyWorld, factor: float) -> None:
    results = run(room, Misplacing(TruthEstimator(room, size=SIZE), factor), count=25)
    metric = [result for result in results if result.alignment.is_metric]
    assert len(metric) >= 0.8 * len(results)
    for result in metric:
        sigma = result.alignment.scale_log_sigma
        assert abs(off(room, result)) <= max(3 * sigma, np.log(1.25))


def test_common_causes_bound_what_many_windows_can_tell(room: FamilyWorld) -> None:
    """Told distances that images confirmed to 10 % are not known to 1 % after many windows."""
    results = run(
        room,
        Echo(TruthEstimator(room, size=SIZE, conditioning=True), 0.1),
        odometry=True,
        count=40,
    )
    assert results[-1].alignment.is_metric
    assert results[-1].alignment.scale_log_sigma >= 0.05


@dataclass(frozen=True)
class Breathing:
    """Says that it answers in metres, and is 2.6 times off in every other window."""

    inner: Estimator

    def estimate(self, window: Window) -> WindowPrediction:
        prediction = self.inner.estimate(window)
        wrong = np.float32(2.6 if window.index % 2 else 1.0)
        views = [replace(view, depth=view.depth * wrong) for view in prediction.views]
        return replace(prediction, views=tuple(views), is_metric=True)


def test_windows_that_share_nothing_do_not_change_the_unit_without_a_word(
    room: FamilyWorld,
) -> None:
    steady = TruthEstimator(room, size=SIZE, random_gauge=False)
    for result in run(room, steady, cameras=('front',), window=1)[1:]:
        assert 'times what it was' not in joined(result.alignment.notes)
    for result in run(room, Breathing(steady), cameras=('front',), window=1)[1:]:
        assert 'times what it was' in joined(result.alignment.notes)
