"""The reconstructor on real pictures with measured depth: metres are right or not claimed."""

from collections.abc import Callable
from dataclasses import replace
import math

import numpy as np
import pytest

from da3_ros.notes import joined
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import FrameSet
from helpers.depth_shapes import Shape
from helpers.depths import depth_of
from helpers.measured_estimator import MeasuredEstimator, at_one_instant
from helpers.middlebury import MissingSetError
from helpers.real_sets import RealFrame, committed_set, shared_set
from helpers.real_stream import Told, rig_stream, small, stream

Run = Callable[[], list[RealFrame]]


def _committed(name: str, first: int, end: int) -> Run:
    return lambda: committed_set(name).frames(range(first, end))


def _shared(name: str, step: int) -> Run:
    def frames() -> list[RealFrame]:
        try:
            pictures = shared_set(name)
        except MissingSetError as error:
            pytest.skip(str(error))
        return small(pictures.frames(range(0, len(pictures), step)))

    return frames


RUNS: dict[str, Run] = {
    'kinect': _committed('kinect_desk_five', 0, 5),
    'hololens, first run': _committed('hololens_office', 0, 20),
    'hololens, second run': _committed('hololens_office', 20, 32),
    'hololens, all': _shared('hololens_office', 1),
    '7-scenes': _shared('7scenes_redkitchen', 2),
}


@pytest.fixture(scope='module', params=list(RUNS))
def frames(request: pytest.FixtureRequest) -> list[RealFrame]:
    """Pictures of one camera, in order."""
    run: str = request.param
    return RUNS[run]()


def assert_usable(windows: list[Told]) -> None:
    """All windows are placed, with a scale."""
    for window in windows:
        assert math.isfinite(window.report.scale)
        assert window.report.scale > 0
        assert math.isfinite(window.log_error), joined(window.report.notes)


@pytest.mark.parametrize('conditioning', [False, True])
@pytest.mark.parametrize('shape', ['measured', 'smooth'])
def test_metres_by_odometry_are_right_where_they_are_claimed(
    frames: list[RealFrame], shape: Shape, conditioning: bool
) -> None:
    estimator = MeasuredEstimator(frames, shape=shape, conditioning=conditioning)
    windows = stream(frames, estimator, has_odometry=True)
    assert_usable(windows)
    assert not [window for window in windows if window.is_wrong]
    metric = [window for window in windows if window.report.is_metric]
    # Without a second view, or while the camera stands, nothing is known.
    assert len(metric) >= 0.75 * len(windows) - 1
    assert all(math.isfinite(window.report.scale_log_sigma) for window in metric)
    # Measured: 0.006 to 0.04, of odometry that is off by 0.01.
    assert np.median([abs(window.log_error) for window in metric]) < 0.06


@pytest.mark.parametrize('conditioning', [False, True])
def test_distances_in_another_unit_than_depth_are_not_believed(
    frames: list[RealFrame], conditioning: bool
) -> None:
    """As small networks answer: all cameras too near or too far by the same factor."""
    estimator = MeasuredEstimator(frames, depth_factor=1.5, conditioning=conditioning)
    windows = stream(frames, estimator, has_odometry=True)
    assert_usable(windows)
    metric = [window for window in windows if window.report.is_metric]
    wrong = [window for window in metric if window.is_wrong]
    assert len(wrong) <= 0.02 * len(metric)
    assert len(metric) >= 0.75 * len(windows) - 1


@pytest.mark.parametrize('shape', ['constant', 'rows'])
@pytest.mark.parametrize('run', ['kinect', '7-scenes'])
def test_made_up_depth_is_refused_or_covered(run: str, shape: Shape) -> None:
    """Not HoloLens: its windows look into several rooms, of which one depth fits only some."""
    frames = RUNS[run]()
    windows = stream(frames, MeasuredEstimator(frames, shape=shape), has_odometry=True)
    wrong = [window for window in windows if window.is_wrong]
    assert len(wrong) <= 0.05 * len(windows)


def test_without_a_metric_source_nothing_is_metric(frames: list[RealFrame]) -> None:
    windows = stream(frames, MeasuredEstimator(frames), has_odometry=False)
    assert_usable(windows)
    assert not any(window.report.is_metric for window in windows)
    # One unit for all, which is the first window's.
    errors = np.array([window.log_error for window in windows])
    # Measured: 0.03 at most.
    assert np.ptp(errors) < 0.1


@pytest.mark.parametrize('shape', ['measured', 'smooth'])
@pytest.mark.parametrize('noise', [1.0, 4.0])
def test_metres_of_a_rig_are_right(shape: Shape, noise: float) -> None:
    five = at_one_instant(committed_set('kinect_desk_five').frames())
    cameras = [f'camera{index}' for index in range(len(five))]
    said = rig_stream(five, MeasuredEstimator(five, cameras, shape=shape, noise=noise))
    assert said.report.is_metric
    assert not said.is_wrong
    assert abs(said.log_error) < 0.1


def test_the_estimator_without_noise_answers_what_was_measured() -> None:
    pictures = committed_set('hololens_office').frames(range(4))
    estimator = MeasuredEstimator(pictures, noise=0.0)
    sets = [FrameSet(frame.stamp_ns, (frame.as_input(),)) for frame in pictures]
    sliding = SlidingWindow(4, 4)
    window = next(made for item in sets if (made := sliding.push(item)))
    gauge = estimator.window_from_world(window)
    assert gauge.scale != pytest.approx(1.0, abs=1e-3)
    assert gauge.scale != estimator.window_from_world(replace(window, index=1)).scale
    for frame, view in zip(pictures, estimator.estimate(window).views, strict=True):
        np.testing.assert_allclose(depth_of(view), gauge.scale * frame.depth, rtol=1e-5)
        pose = gauge.apply_to_pose(frame.world_from_camera)
        np.testing.assert_allclose(view.window_from_camera, pose, atol=1e-9)
        assert view.camera.size == frame.camera.size


def test_equal_windows_are_answered_equally() -> None:
    pictures = committed_set('hololens_office').frames(range(6))
    once, again = (
        stream(pictures, MeasuredEstimator(pictures), has_odometry=True) for _ in range(2)
    )
    errors = [window.log_error for window in once]
    assert errors == pytest.approx([window.log_error for window in again], abs=1e-6)
