"""Rectified images against points projected by OpenCV's analytic lens models."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from sensor_msgs.msg import CameraInfo

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.ros.calibration import judge_calibration
from da3_ros.ros.conversions import FieldError
from da3_ros.ros.rectification import make_rectifier

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
SOURCE = 'camera front, topic /front/camera_info'
SIZE = ImageSize(240, 320)
RAW = PinholeCamera.from_focal(200.0, 205.0, 163.0, 117.5, SIZE)
MODELS = {
    'plumb_bob': [-0.28, 0.08, 0.001, -0.0015, -0.01],
    'rational_polynomial': [0.6, 0.1, 0.0005, -0.0004, 0.01, 0.9, 0.2, 0.03],
    'equidistant': [0.02, -0.01, 0.004, -0.001],
}
# A grid in front of the camera, not flat, so that the pinhole model alone explains it.
GRID = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 7), np.linspace(-0.4, 0.4, 5)), axis=-1)
POINTS = np.concatenate([GRID, 1 + 0.1 * GRID[..., :1]], axis=-1).reshape(-1, 3)


def info_of(model: str, coefficients: list[float] | None = None) -> CameraInfo:
    info = CameraInfo(height=SIZE.height, width=SIZE.width, distortion_model=model)
    info.k = RAW.K.reshape(-1)
    info.d = MODELS[model] if coefficients is None else coefficients
    info.r = np.eye(3).reshape(-1)
    return info


def rectified_camera(info: CameraInfo, size: ImageSize) -> PinholeCamera:
    camera = judge_calibration(info, size, 'raw').ideal
    assert camera is not None
    return camera


def distorted_pixels(model: str, points: Array) -> Array:
    """Return where the real lens shows points (N, 3), by OpenCV's own projection."""
    zero = np.zeros(3)
    coefficients = np.array(MODELS[model])
    if model == 'equidistant':
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, RAW.K, coefficients)
    else:
        pixels, _ = cv2.projectPoints(points, zero, zero, RAW.K, coefficients)
    return np.asarray(pixels).reshape(-1, 2)


def blob_image(pixel: Array) -> Array:
    """Return a black image with one bright blob at a place between pixels."""
    v, u = np.indices((SIZE.height, SIZE.width))
    blob = 255 * np.exp(-((u - pixel[0]) ** 2 + (v - pixel[1]) ** 2) / 8)
    return np.repeat(np.rint(blob).astype(np.uint8)[..., None], 3, axis=-1)


def centroid(image: Array) -> Array:
    weight = image[..., 0].astype(float)
    v, u = np.indices(weight.shape)
    total = weight.sum()
    return np.array([(weight * u).sum() / total, (weight * v).sum() / total])


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('with_p', [False, True])
def test_points_lie_where_the_pinhole_k_says(model: str, with_p: bool) -> None:
    info = info_of(model)
    if with_p:
        info.p = [150.0, 0, 158, 0, 0, 155, 121, 0, 0, 0, 1, 0]
    camera = rectified_camera(info, SIZE)
    wanted_k = [[150, 0, 158], [0, 155, 121], [0, 0, 1]] if with_p else RAW.K
    np.testing.assert_array_equal(camera.K, wanted_k)
    rectifier = make_rectifier(info, RAW, camera, SOURCE)
    checked = 0
    moved = 0.0
    for point, pixel in zip(POINTS, distorted_pixels(model, POINTS), strict=True):
        wanted = camera.project(point)
        margins = [np.minimum(p, [319 - p[0], 239 - p[1]]).min() for p in (wanted, pixel)]
        if min(margins) < 12:
            continue
        checked += 1
        moved = max(moved, float(np.linalg.norm(pixel - RAW.project(point))))
        got = centroid(rectifier.apply(blob_image(pixel)))
        # A blob is not a point: where magnification changes, its centroid moves a little.
        np.testing.assert_allclose(got, wanted, atol=0.25)
    assert checked >= 15
    assert moved > 3  # undoing nothing would have been seen


@pytest.mark.parametrize('model', MODELS)
def test_maps_invert_the_lens_to_a_fraction_of_a_pixel(model: str) -> None:
    """An image whose colours are its own coordinates says where every pixel came from."""
    ramp_u = np.tile(np.linspace(0, 255, SIZE.width), (SIZE.height, 1))
    ramp_v = np.tile(np.linspace(0, 255, SIZE.height)[:, None], (1, SIZE.width))
    image = np.rint(np.stack([ramp_u, ramp_v, 0 * ramp_u], axis=-1)).astype(np.uint8)
    rectifier = make_rectifier(info_of(model), RAW, RAW, SOURCE)
    got = rectifier.apply(image)
    valid = np.ones((240, 320), bool) if rectifier.valid is None else rectifier.valid
    assert valid.mean() > 0.6
    wanted = distorted_pixels(model, RAW.rays()[valid])
    came_from = got[valid][:, :2] / 255 * [SIZE.width - 1, SIZE.height - 1]
    assert np.abs(came_from - wanted).max() < 1.5  # a grey level is 1.25 pixels wide


def test_pixels_that_the_lens_does_not_reach_are_named() -> None:
    """With more barrel distortion undone than the image holds, corners show nothing."""
    wide = PinholeCamera.from_focal(90.0, 92.0, 163.0, 117.5, SIZE)
    rectifier = make_rectifier(info_of('plumb_bob'), RAW, wide, SOURCE)
    assert rectifier.valid is not None
    assert not rectifier.valid[0, 0]
    assert rectifier.valid[117, 163]
    rays = wide.rays()
    pixels = distorted_pixels('plumb_bob', rays.reshape(-1, 3)).reshape(240, 320, 2)
    outside = ~RAW.contains(pixels)
    assert not rectifier.valid[outside].any()
    # Where the polynomial falls again with the angle, a second copy of the image would appear.
    k1, k2, _, _, k3 = MODELS['plumb_bob']
    square = rays[..., 0] ** 2 + rays[..., 1] ** 2
    slope = 1 + 3 * k1 * square + 5 * k2 * square**2 + 7 * k3 * square**3
    folded = slope < -0.05
    assert (RAW.contains(pixels) & folded).any()
    assert not rectifier.valid[folded].any()
    good = (slope > 0.1) & RAW.contains(pixels) & (np.abs(pixels - [160, 120]) < 100).all(axis=-1)
    assert rectifier.valid[good].all()
    black = rectifier.apply(np.full((240, 320, 3), 200, np.uint8))
    assert (black[rectifier.valid] == 200).all()


def test_k_is_kept_where_p_belongs_to_another_frame_or_is_not_set() -> None:
    info = info_of('plumb_bob')
    np.testing.assert_array_equal(rectified_camera(info, SIZE).K, RAW.K)
    info.p = [150.0, 0, 158, -20, 0, 155, 121, 0, 0, 0, 1, 0]
    info.r = cv2.Rodrigues(np.array([0.0, 0.02, 0.0]))[0].reshape(-1)
    np.testing.assert_array_equal(rectified_camera(info, SIZE).K, RAW.K)
    info.r = [0.0] * 9
    assert rectified_camera(info, SIZE).K[0, 0] == 150


def test_p_follows_binning_as_k_does() -> None:
    info = info_of('plumb_bob')
    info.p = [150.0, 0, 158, 0, 0, 155, 121, 0, 0, 0, 1, 0]
    info.binning_x = info.binning_y = 2
    camera = rectified_camera(info, ImageSize(120, 160))
    np.testing.assert_allclose(camera.K[0], [75, 0, (158 + 0.5) / 2 - 0.5])


@pytest.mark.parametrize('model', MODELS)
def test_zeros_at_the_end_change_nothing(model: str) -> None:
    padded = make_rectifier(info_of(model, [*MODELS[model], 0.0]), RAW, RAW, SOURCE)
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    wanted = make_rectifier(info_of(model), RAW, RAW, SOURCE).apply(image)
    np.testing.assert_array_equal(padded.apply(image), wanted)


@pytest.mark.parametrize(
    ('model', 'coefficients', 'field'),
    [
        ('', [0.1], 'distortion_model'),
        ('double_sphere', [0.1] * 6, 'distortion_model'),
        ('plumb_bob', [0.1, 0.2], 'd'),
        ('equidistant', [0.1] * 5, 'd'),
        ('rational_polynomial', [float('nan')] * 8, 'd'),
    ],
)
def test_unknown_models_are_named(model: str, coefficients: list[float], field: str) -> None:
    info = info_of('plumb_bob', coefficients)
    info.distortion_model = model
    with pytest.raises(FieldError, match=f'topic /front/camera_info, field {field}: '):
        make_rectifier(info, RAW, RAW, SOURCE)


@pytest.mark.parametrize('model', ['plumb_bob', 'rational_polynomial'])
@pytest.mark.parametrize('count', [4, 5, 6, 8, 10, 12, 14])
def test_both_polynomials_take_as_many_coefficients_as_are_given(model: str, count: int) -> None:
    series = [-0.2, 0.05, 0.001, -0.001, 0.01, 0.02, 0.01, 0.002, 1e-3, 0, 1e-3, 0, 0.01, 0.01]
    given = series[:count]
    image = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    got = make_rectifier(info_of(model, given), RAW, RAW, SOURCE).apply(image)
    wanted = cv2.undistort(image, RAW.K, np.array(given + [0.0] * (14 - count)))
    # OpenCV makes its maps in strips; a step of interpolation lies between.
    assert np.abs(got.astype(int) - wanted).mean() < 1.0


def test_coefficients_that_are_no_lens_are_refused() -> None:
    for d in ([1e300] * 5, [float('inf'), 0.0, 0.0, 0.0], [0.1] * 10_000):
        with pytest.raises(FieldError, match='field d: ') as caught:
            make_rectifier(info_of('plumb_bob', d), RAW, RAW, SOURCE)
        assert len(str(caught.value)) < 600
