"""The network in the role of the stream's estimator."""

from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.errors import PreprocessError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.options import RESIZE_METHODS
from da3_ros.types import CameraFrame, Estimator, FrameSet, Window
from helpers.depths import depth_of
from helpers.rounding import DEEP, assert_equal_to_rounding

RES = 56


def frame(
    camera: str, size: tuple[int, int] = (48, 64), seed: int = 0, calibrated: bool = False
) -> CameraFrame:
    image: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    calibration = None
    if calibrated:
        calibration = PinholeCamera.from_focal(60, 61, 31.2, 23.4, ImageSize(*size))
    return CameraFrame(camera, 100 + seed, f'{camera}_optical_frame', image, calibration)


def window(*frames: CameraFrame) -> Window:
    return Window(0, (FrameSet(100, frames),), 1)


@pytest.fixture
def estimator(model: DepthAnything3) -> Estimator:
    return Da3Estimator(model, process_res=RES)


def test_views_agree_with_the_public_api_half_a_pixel_apart(
    model: DepthAnything3, estimator: Estimator
) -> None:
    frames = [frame('left', seed=1), frame('right', seed=2), frame('rear', seed=3)]
    got = estimator.estimate(window(*frames))
    expected = model.inference([one.image for one in frames], process_res=RES)
    assert expected.extrinsics is not None
    assert expected.intrinsics is not None
    assert expected.conf is not None
    assert expected.processed_images is not None
    assert (got.is_metric, got.conditioning) == (False, 'none')
    for index, view in enumerate(got.views):
        assert_equal_to_rounding(view.depth, expected.depth[index], DEEP)
        assert view.confidence is not None
        assert_equal_to_rounding(view.confidence, expected.conf[index], DEEP)
        np.testing.assert_array_equal(view.image, expected.processed_images[index])
        assert view.sky is None
        product = expected.extrinsics[index] @ view.window_from_camera
        np.testing.assert_allclose(product, np.eye(4)[:3], atol=1e-5)
        centre = expected.intrinsics[index, :2, 2] - 0.5
        np.testing.assert_allclose(view.camera.K[:2, 2], centre)
        assert view.camera.size == ImageSize(*depth_of(view).shape)


def test_poses_are_exactly_rigid(estimator: Estimator) -> None:
    views = estimator.estimate(window(frame('a', seed=1), frame('b', seed=2))).views
    for view in views:
        rotation = view.window_from_camera[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        np.testing.assert_array_equal(view.window_from_camera[3], [0, 0, 0, 1])
        assert np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize('method', RESIZE_METHODS)
def test_the_map_of_pixels_is_that_between_the_calibrations(
    model: DepthAnything3, method: str
) -> None:
    """Frames of two shapes lose their margins; the calibrations know where to."""
    estimator = Da3Estimator(model, process_res=RES, process_res_method=method)
    frames = [
        frame('wide', (48, 64), seed=1, calibrated=True),
        frame('high', (75, 60), seed=2, calibrated=True),
    ]
    for taken, view in zip(frames, estimator.estimate(window(*frames)).views, strict=True):
        assert taken.calibration is not None
        assert view.calibrated_camera is not None
        assert view.pixel_map is not None
        wanted = PixelMap.between(taken.calibration, view.calibrated_camera)
        np.testing.assert_allclose(astuple(view.pixel_map), astuple(wanted), atol=1e-9)


def test_views_come_set_by_set(estimator: Estimator) -> None:
    first, second = frame('a', seed=1), frame('b', seed=2)
    third = frame('a', seed=3)
    sets = (FrameSet(100, (first, second)), FrameSet(200, (third,)))
    got = estimator.estimate(Window(4, sets, 1)).views
    flat = estimator.estimate(
        Window(0, tuple(FrameSet(0, (one,)) for one in (first, second, third)), 1)
    ).views
    assert len(got) == 3
    for a, b in zip(got, flat, strict=True):
        assert_equal_to_rounding(a.depth, b.depth, DEEP)


def test_calibrations_follow_resize_and_crop(estimator: Estimator) -> None:
    frames = [frame('wide', calibrated=True), frame('tall', (64, 48), 1), frame('same', seed=2)]
    views = estimator.estimate(window(*frames)).views
    calibrated = views[0].calibrated_camera
    assert calibrated is not None
    assert views[1].calibrated_camera is None
    # 48 x 64 becomes 42 x 56, its counterpart 56 x 42: the common part is 42 x 42.
    assert calibrated.size == ImageSize(42, 42)
    assert {depth_of(view).shape for view in views} == {(42, 42)}
    scale_x, scale_y = 56 / 64, 42 / 48
    expected = np.array(
        [
            [60 * scale_x, 0, (31.2 + 0.5) * scale_x - 7 - 0.5],
            [0, 61 * scale_y, (23.4 + 0.5) * scale_y - 0.5],
            [0, 0, 1],
        ]
    )
    np.testing.assert_allclose(calibrated.K, expected)


def test_equal_aspects_keep_their_full_view(estimator: Estimator) -> None:
    views = estimator.estimate(window(frame('a'), frame('b', (96, 128), 1))).views
    assert {depth_of(view).shape for view in views} == {(42, 56)}


@pytest.mark.parametrize('count', [1, 2, 9])
def test_any_number_of_views(estimator: Estimator, count: int) -> None:
    frames = [frame(f'camera_{index}', seed=index) for index in range(count)]
    views = estimator.estimate(window(*frames)).views
    assert len(views) == count
    assert all(np.isfinite(depth_of(view)).all() for view in views)


def test_options_reach_the_network(model: DepthAnything3, estimator: Estimator) -> None:
    frames = [frame('a', seed=1), frame('b', seed=2), frame('c', seed=3)]
    default = estimator.estimate(window(*frames)).views[0]
    other = Da3Estimator(
        model, process_res=70, process_res_method='upper_bound_crop', use_ray_pose=True
    )
    changed = other.estimate(window(*frames)).views[0]
    assert depth_of(changed).shape == (42, 70)
    assert not np.allclose(changed.window_from_camera, default.window_from_camera)
    middle = Da3Estimator(model, process_res=RES, ref_view_strategy='middle')
    from_middle = middle.estimate(window(*frames)).views[0]
    assert not np.array_equal(depth_of(from_middle), depth_of(default))


def test_images_that_are_too_small_are_named(estimator: Estimator) -> None:
    with pytest.raises(PreprocessError, match='image 1: 3 x 64'):
        estimator.estimate(window(frame('a'), frame('b', (3, 64))))
