"""The truth estimator: exact up to one similarity per window, and as noisy as asked."""

import numpy as np
import pytest

from da3_ros.errors import StreamError
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.se3 import transform_points
from da3_ros.geometry.unproject import unproject
from da3_ros.synthetic import START_NS, TruthEstimator, make_world
from da3_ros.types import CameraFrame, FrameSet, Window
from helpers.depths import depth_of
from helpers.rounding import assert_equal_to_rounding

SIZE = ImageSize(48, 64)
WORLD = make_world(0, SIZE)


def make_window(index: int = 0, sets: int = 2) -> Window:
    stamps = [START_NS + (index + i) * 200_000_000 for i in range(sets)]
    frame_sets = tuple(
        FrameSet(stamp, tuple(WORLD.frame(name, stamp) for name in WORLD.rig.cameras))
        for stamp in stamps
    )
    return Window(index, frame_sets, sets if index == 0 else 1)


def test_undoing_the_gauge_gives_the_world() -> None:
    estimator = TruthEstimator(WORLD, seed=4)
    window = make_window(3)
    prediction = estimator.estimate(window)
    assert not prediction.is_metric
    world_from_window = estimator.window_from_world(3).inverse()
    for frame, view in zip(window.views, prediction.views, strict=True):
        truth = WORLD.world_from_camera(frame.camera, frame.stamp_ns)
        pose = world_from_window.apply_to_pose(view.window_from_camera)
        np.testing.assert_allclose(pose, truth, atol=1e-12)
        points = unproject(depth_of(view), view.camera).reshape(-1, 3)
        in_world = world_from_window.apply(transform_points(view.window_from_camera, points))
        assert np.abs(WORLD.scene.clearance_m(in_world)).max() < 2e-5


def test_windows_differ_in_gauge_and_scale_and_repeat_by_seed() -> None:
    gauges = [TruthEstimator(WORLD, seed=1).window_from_world(i) for i in (0, 1, 0)]
    assert gauges[0].scale == gauges[2].scale
    np.testing.assert_array_equal(gauges[0].rotation, gauges[2].rotation)
    assert abs(np.log(gauges[0].scale / gauges[1].scale)) > 1e-3
    assert rotation_angle_rad(gauges[0].rotation @ gauges[1].rotation.T) > 0.01
    assert TruthEstimator(WORLD, seed=2).window_from_world(0).scale != gauges[0].scale


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    def noisy() -> TruthEstimator:
        return TruthEstimator(
            WORLD, position_noise_m=0.01, rotation_noise_rad=0.01, depth_noise_rel=0.02
        )

    first = noisy()
    first.estimate(make_window(0))
    a = first.estimate(make_window(1))
    b = noisy().estimate(make_window(1))
    for left, right in zip(a.views, b.views, strict=True):
        assert_equal_to_rounding(left.depth, right.depth)
        assert_equal_to_rounding(left.window_from_camera, right.window_from_camera)


def test_without_a_gauge_the_answer_is_metric() -> None:
    prediction = TruthEstimator(WORLD, random_gauge=False).estimate(make_window())
    assert prediction.is_metric
    assert_equal_to_rounding(
        prediction.views[1].window_from_camera, WORLD.world_from_camera('left', START_NS)
    )


def test_noise_has_the_asked_size() -> None:
    estimator = TruthEstimator(
        WORLD,
        random_gauge=False,
        position_noise_m=0.02,
        rotation_noise_rad=0.01,
        depth_noise_rel=0.05,
    )
    shifts, angles, depths = [], [], []
    for index in range(30):
        window = make_window(index)
        for frame, view in zip(window.views, estimator.estimate(window).views, strict=True):
            truth = WORLD.world_from_camera(frame.camera, frame.stamp_ns)
            shifts.append(view.window_from_camera[:3, 3] - truth[:3, 3])
            angles.append(
                float(rotation_angle_rad(truth[:3, :3].T @ view.window_from_camera[:3, :3]))
            )
            exact = WORLD.depth(frame.camera, frame.stamp_ns, ImageSize(*depth_of(view).shape))
            depths.append(np.log(depth_of(view) / exact))
    # 180 views: the standard error of a standard deviation over 540 values is 3 %.
    assert np.std(shifts) == pytest.approx(0.02, rel=0.12)
    assert np.sqrt(np.mean(np.square(angles)) / 3) == pytest.approx(0.01, rel=0.12)
    assert np.std(depths) == pytest.approx(0.05, rel=0.02)


def test_sizes_calibration_image_and_confidence_belong_together() -> None:
    window = make_window()
    view = TruthEstimator(WORLD).estimate(window).views[0]
    frame = window.views[0]
    assert depth_of(view).shape == (24, 32)
    assert view.image.shape == (24, 32, 3)
    assert view.calibrated_camera is not None
    np.testing.assert_allclose(view.calibrated_camera.K, view.camera.K, atol=1e-12)
    block = frame.image[2:4, 6:8].reshape(4, 3).mean(axis=0)
    np.testing.assert_allclose(view.image[1, 3], block, atol=0.51)
    assert view.confidence is not None
    assert view.confidence.dtype == np.float32
    assert view.confidence.min() >= 1
    assert view.confidence.max() > 3
    odd = TruthEstimator(WORLD, size=ImageSize(21, 28)).estimate(window).views[0]
    assert depth_of(odd).shape == (21, 28)
    assert odd.image.shape == (21, 28, 3)


def test_uncalibrated_frames_stay_uncalibrated() -> None:
    frame = WORLD.frame('front', START_NS)
    bare = CameraFrame('front', frame.stamp_ns, frame.frame_id, frame.image)
    window = Window(0, (FrameSet(START_NS, (bare,)),), 1)
    assert TruthEstimator(WORLD).estimate(window).views[0].calibrated_camera is None


def test_delay_goes_through_the_given_clock() -> None:
    slept: list[float] = []
    TruthEstimator(WORLD, delay_s=0.25, sleep=slept.append).estimate(make_window())
    assert slept == [0.25]


def test_a_camera_outside_the_world_is_named() -> None:
    frame = CameraFrame('ghost', START_NS, 'ghost', np.zeros((8, 8, 3), np.uint8))
    window = Window(0, (FrameSet(START_NS, (frame,)),), 1)
    with pytest.raises(StreamError, match='camera ghost'):
        TruthEstimator(WORLD).estimate(window)
