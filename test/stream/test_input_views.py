"""Turned cameras: the network sees upright images, everybody else the camera's own frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from da3_ros.errors import GeometryError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.geometry.se3 import rigid
from da3_ros.stream.input_views import InputViews, rotated_frame
from da3_ros.stream.placing import pixel_map_of
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import (
    CameraFrame,
    Estimator,
    FrameSet,
    PosePrior,
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
)
from helpers.depths import depth_of

Array = np.ndarray[Any, Any]
SIZE = ImageSize(12, 20)
CAMERA = PinholeCamera.from_focal(15.0, 16.0, 8.5, 6.25, SIZE)
STAMP_NS = 5


class PixelReader:
    """A network that reads depth off the image, and poses off nothing: made to be checked.

    Red is the depth in decimetres, green the confidence. It answers at the image's own size and
    says that the optical frame of the image it sees stands at the window's origin.
    """

    def __init__(self, sees_sky: bool = False) -> None:
        self.seen: list[CameraFrame] = []
        self._sees_sky = sees_sky

    def estimate(self, window: Window) -> WindowPrediction:
        self.seen = list(window.views)
        return WindowPrediction(tuple(self._view(f) for f in window.views), is_metric=True)

    def _view(self, frame: CameraFrame) -> ViewPrediction:
        calibration = frame.calibration
        height, width = frame.image.shape[:2]
        guess = PinholeCamera.from_focal(14.0, 17.0, (width - 1) / 2, (height - 1) / 2, frame.size)
        return ViewPrediction(
            depth=np.asarray(frame.image[..., 0] / 10, np.float32),
            image=frame.image,
            window_from_camera=np.eye(4),
            camera=guess,
            calibrated_camera=calibration,
            confidence=frame.image[..., 1].astype(np.float32),
            sky=frame.image[..., 2] > 128 if self._sees_sky else None,
        )


def frame_of(camera: str = 'front', calibration: PinholeCamera | None = CAMERA) -> CameraFrame:
    image = np.random.default_rng(1).integers(10, 200, (12, 20, 3), dtype=np.uint8)
    return CameraFrame(camera, STAMP_NS, f'{camera}_optical', image, calibration)


def seen(network: Estimator, turns: dict[str, int], window: Window) -> WindowPrediction:
    views = InputViews(turns)
    return views.as_taken(window, network.estimate(views.upright(window)))


def window_of(*frames: CameraFrame) -> Window:
    return Window(0, (FrameSet(STAMP_NS, frames),), 1)


@pytest.mark.parametrize('turns', [0, 1, 2, 3])
def test_pixels_and_intrinsics_come_back_in_the_cameras_orientation(turns: int) -> None:
    frame = frame_of()
    network = PixelReader(sees_sky=True)
    (view,) = seen(network, {'front': turns}, window_of(frame)).views
    # The network saw the image rotated clockwise, as numpy turns it.
    np.testing.assert_array_equal(network.seen[0].image, np.rot90(frame.image, -turns))
    np.testing.assert_array_equal(view.image, frame.image)
    np.testing.assert_array_equal(view.depth, np.asarray(frame.image[..., 0] / 10, np.float32))
    np.testing.assert_array_equal(view.confidence, frame.image[..., 1])
    np.testing.assert_array_equal(view.sky, frame.image[..., 2] > 128)
    assert view.calibrated_camera is not None
    np.testing.assert_allclose(view.calibrated_camera.K, CAMERA.K, atol=1e-12)
    assert view.camera.size == SIZE
    assert view.camera.K[0, 0] == (14 if turns % 2 == 0 else 17)


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_a_point_is_where_the_network_saw_it(turns: int) -> None:
    """Pixel, depth, K and pose give the point that they gave in the rotated image."""
    frame = frame_of()
    network = PixelReader()
    (view,) = seen(network, {'front': turns}, window_of(frame)).views
    (upright,) = network.seen
    row, column = 3, 14
    marker = np.zeros((12, 20))
    marker[row, column] = 1
    rotated_row, rotated_column = np.argwhere(np.rot90(marker, -turns))[0]
    assert upright.calibration is not None
    depth = upright.image[rotated_row, rotated_column, 0] / 10
    in_window = upright.calibration.rays()[rotated_row, rotated_column] * depth
    assert view.calibrated_camera is not None
    in_camera = view.calibrated_camera.rays()[row, column] * depth_of(view)[row, column]
    pose = view.window_from_camera
    np.testing.assert_allclose(pose[:3, :3] @ in_camera + pose[:3, 3], in_window, rtol=1e-6)


def test_the_rig_speaks_of_the_drivers_frame_and_stays_true() -> None:
    """An upside-down camera on a rig stands in the world as the rig says, and sees the same."""
    base_from_camera = rigid(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), [0.2, 0, 1.0])
    rig = RigCalibration({'front': base_from_camera})
    frame = frame_of()

    def placed(turns: int) -> Any:
        rotated = {'front': turns}
        placing = Reconstructor(PixelReader(), rig, lambda: 0.0, quarter_turns=rotated)
        result = placing.process(window_of(frame))
        return result.new_sets[0].views[0]

    upright, rotated = placed(0), placed(2)
    np.testing.assert_allclose(rotated.world_from_camera, upright.world_from_camera, atol=1e-9)
    np.testing.assert_allclose(rotated.world_from_camera, base_from_camera, atol=1e-9)
    np.testing.assert_array_equal(rotated.depth, upright.depth)
    assert rotated.id == frame.id


def test_only_the_named_cameras_are_rotated_and_a_frame_stays_one_object() -> None:
    front, left = frame_of('front'), frame_of('left', None)
    views = InputViews({'front': 1, 'left': 4})
    first = views.upright(window_of(front, left)).views
    assert first[1] is left
    assert first[0].size == ImageSize(20, 12)
    assert views.upright(window_of(front, left)).views[0] is first[0]
    assert InputViews({}).upright(window_of(front)).views[0] is front


def test_skew_is_refused_for_a_quarter_turn() -> None:
    skewed = PinholeCamera(CAMERA.K + np.diag([0.5, 0], k=1), SIZE)
    with pytest.raises(GeometryError, match='skew'):
        rotated_frame(frame_of(calibration=skewed), 1)


@pytest.mark.parametrize('turns', [0, 1])
def test_depth_is_unknown_where_the_lens_shows_nothing(turns: int) -> None:
    valid = np.ones((12, 20), bool)
    valid[:, :4] = False
    valid[9:, 10:] = False
    frame = replace(frame_of(), valid=valid)
    (view,) = seen(PixelReader(), {'front': turns}, window_of(frame)).views
    np.testing.assert_array_equal(np.isnan(depth_of(view)), ~valid)


@pytest.mark.parametrize('calibration', [CAMERA, None])
@pytest.mark.parametrize('turns', [0, 1, 2, 3])
def test_valid_masks_follow_the_networks_resize_and_crop(
    turns: int, calibration: PinholeCamera | None
) -> None:
    """The network halves the upright image and cuts a column and two rows away at its start."""
    valid = np.random.default_rng(2).random((6, 10)) < 0.5
    frame = replace(frame_of(calibration=calibration), valid=valid.repeat(2, 0).repeat(2, 1))

    class Half(PixelReader):
        def estimate(self, window: Window) -> WindowPrediction:
            (view,) = super().estimate(window).views
            height, width = depth_of(view).shape[0] // 2, depth_of(view).shape[1] // 2
            size = ImageSize(height - 2, width - 1)
            camera = view.camera.resized(ImageSize(height, width)).cropped(1, 2, size)
            small = replace(
                view,
                depth=np.ones((size.height, size.width), np.float32),
                camera=camera,
                calibrated_camera=None,
                pixel_map=PixelMap.placed(0.5, 0.5, 1, 2),
            )
            return WindowPrediction((small,))

    (view,) = seen(Half(), {'front': turns}, window_of(frame)).views
    wanted = np.rot90(np.rot90(valid, -turns)[2:, 1:], turns)
    np.testing.assert_array_equal(np.isnan(depth_of(view)), ~wanted)
    assert view.pixel_map is not None
    # The corner of what the network saw, in the camera's own pixels.
    numbers = np.arange(60).reshape(6, 10)
    corner = np.rot90(np.rot90(numbers, -turns)[2:, 1:], turns)[0, 0]
    row, column = np.argwhere(numbers == corner)[0]
    back = view.pixel_map.inverse()
    assert (back.shift_u, back.shift_v) == (2 * column + 0.5, 2 * row + 0.5)


@pytest.mark.parametrize('turns', [0, 1, 2, 3])
def test_an_estimator_that_crops_may_say_so_by_the_calibration_alone(turns: int) -> None:
    """A column at the left and two rows at the top of the upright image are cut away."""
    valid = np.random.default_rng(3).random((12, 20)) < 0.5
    frame = replace(frame_of(), valid=valid)

    class Part(PixelReader):
        def estimate(self, window: Window) -> WindowPrediction:
            (view,) = super().estimate(window).views
            size = ImageSize(depth_of(view).shape[0] - 2, depth_of(view).shape[1] - 1)
            assert view.calibrated_camera is not None
            part = replace(
                view,
                depth=depth_of(view)[2:, 1:],
                image=view.image[2:, 1:],
                camera=view.camera.cropped(1, 2, size),
                calibrated_camera=view.calibrated_camera.cropped(1, 2, size),
                confidence=None,
            )
            return WindowPrediction((part,), is_metric=True)

    (view,) = seen(Part(), {'front': turns}, window_of(frame)).views
    wanted = np.rot90(np.rot90(valid, -turns)[2:, 1:], turns)
    np.testing.assert_array_equal(np.isnan(depth_of(view)), ~wanted)
    numbers = np.arange(240).reshape(12, 20)
    corner = np.rot90(np.rot90(numbers, -turns)[2:, 1:], turns)[0, 0]
    row, column = np.argwhere(numbers == corner)[0]
    back = pixel_map_of(frame, view).inverse()
    np.testing.assert_allclose((back.shift_u, back.shift_v), (column, row), atol=1e-9)


class Believer(PixelReader):
    """A network that takes the poses it is told for its own."""

    told: Array | None = None

    def estimate(self, window: Window) -> WindowPrediction:
        self.told = known = window.known_poses().frame_from_camera
        assert known is not None
        views = zip(super().estimate(window).views, known, strict=True)
        return WindowPrediction(tuple(replace(v, window_from_camera=pose) for v, pose in views))


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_known_poses_are_rotated_with_the_image_and_back(turns: int) -> None:
    """The network is told where the upright optical frame stands, and answers in the driver's."""
    told = rigid(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), [0.2, -3.0, 1.0])
    frame = frame_of()
    prior = PosePrior(odometry_from_camera={'front': told})
    window = Window(0, (FrameSet(STAMP_NS, (frame,), prior=prior),), 1)
    network = Believer()
    (view,) = seen(network, {'front': turns}, window).views
    np.testing.assert_allclose(view.window_from_camera, told, atol=1e-12)
    upright = network.seen[0]
    # A pixel of the upright image and the same one of the driver's look along one ray.
    assert upright.calibration is not None
    assert frame.calibration is not None
    assert network.told is not None
    ray = network.told[0, :3, :3] @ upright.calibration.rays()[0, 0]
    shape = (SIZE.height, SIZE.width)
    number = np.rot90(np.arange(SIZE.height * SIZE.width).reshape(shape), -turns)[0, 0]
    source = np.unravel_index(number, shape)
    np.testing.assert_allclose(ray, told[:3, :3] @ frame.calibration.rays()[source], atol=1e-12)
