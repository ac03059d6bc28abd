"""Turned cameras: the network sees upright images, everybody else the camera's own frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from da3_ros.errors import GeometryError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid
from da3_ros.ros.node.input_views import InputViews, turned_frame
from da3_ros.ros.node.preparation import BlindAreas
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import (
    CameraFrame,
    FrameSet,
    PosePrior,
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
)

pytestmark = pytest.mark.ros
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


def window_of(*frames: CameraFrame) -> Window:
    return Window(0, (FrameSet(STAMP_NS, frames),), 1)


@pytest.mark.parametrize('turns', [0, 1, 2, 3])
def test_pixels_and_intrinsics_come_back_in_the_cameras_orientation(turns: int) -> None:
    frame = frame_of()
    network = PixelReader(sees_sky=True)
    (view,) = InputViews(network, {'front': turns}, BlindAreas()).estimate(window_of(frame)).views
    # The network saw the image turned clockwise, as numpy turns it.
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
    """Pixel, depth, K and pose of the answer give the point that they gave in the turned image."""
    frame = frame_of()
    network = PixelReader()
    (view,) = InputViews(network, {'front': turns}, BlindAreas()).estimate(window_of(frame)).views
    (seen,) = network.seen
    row, column = 3, 14
    marker = np.zeros((12, 20))
    marker[row, column] = 1
    turned_row, turned_column = np.argwhere(np.rot90(marker, -turns))[0]
    assert seen.calibration is not None
    depth = seen.image[turned_row, turned_column, 0] / 10
    in_window = seen.calibration.rays()[turned_row, turned_column] * depth
    assert view.calibrated_camera is not None
    in_camera = view.calibrated_camera.rays()[row, column] * view.depth[row, column]
    pose = view.window_from_camera
    np.testing.assert_allclose(pose[:3, :3] @ in_camera + pose[:3, 3], in_window, rtol=1e-6)


def test_the_rig_speaks_of_the_drivers_frame_and_stays_true() -> None:
    """An upside-down camera on a rig stands in the world as the rig says, and sees the same."""
    base_from_camera = rigid(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), [0.2, 0, 1.0])
    rig = RigCalibration({'front': base_from_camera})
    frame = frame_of()

    def placed(turns: int) -> Any:
        estimator = InputViews(PixelReader(), {'front': turns}, BlindAreas())
        result = Reconstructor(estimator, rig, lambda: 0.0).process(window_of(frame))
        return result.new_sets[0].views[0]

    upright, turned = placed(0), placed(2)
    np.testing.assert_allclose(turned.world_from_camera, upright.world_from_camera, atol=1e-9)
    np.testing.assert_allclose(turned.world_from_camera, base_from_camera, atol=1e-9)
    np.testing.assert_array_equal(turned.depth, upright.depth)
    assert turned.frame is frame


def test_only_the_named_cameras_are_turned_and_a_frame_stays_one_object() -> None:
    front, left = frame_of('front'), frame_of('left', None)
    network = PixelReader()
    views = InputViews(network, {'front': 1, 'left': 4}, BlindAreas())
    views.estimate(window_of(front, left))
    first = network.seen
    assert first[1] is left
    assert first[0].size == ImageSize(20, 12)
    views.estimate(window_of(front, left))
    assert network.seen[0] is first[0]
    without_turns = InputViews(network, {}, BlindAreas())
    window = window_of(front)
    without_turns.estimate(window)
    assert network.seen[0] is front


def test_skew_is_refused_for_a_quarter_turn() -> None:
    skewed = PinholeCamera(CAMERA.K + np.diag([0.5, 0], k=1), SIZE)
    with pytest.raises(GeometryError, match='skew'):
        turned_frame(frame_of(calibration=skewed), 1)


@pytest.mark.parametrize('turns', [0, 1])
def test_depth_is_unknown_where_the_lens_shows_nothing(turns: int) -> None:
    frame = frame_of()
    valid = np.ones((12, 20), bool)
    valid[:, :4] = False
    valid[9:, 10:] = False
    blind = BlindAreas()
    blind.set('front', SIZE, valid)
    (view,) = InputViews(PixelReader(), {'front': turns}, blind).estimate(window_of(frame)).views
    np.testing.assert_array_equal(np.isnan(view.depth), ~valid)


def test_blind_areas_follow_the_networks_resize_and_crop() -> None:
    frame = frame_of()
    valid = np.ones((12, 20), bool)
    valid[:, :8] = False
    blind = BlindAreas()
    blind.set('front', SIZE, valid)

    class Half(PixelReader):
        def estimate(self, window: Window) -> WindowPrediction:
            (view,) = super().estimate(window).views
            half = CAMERA.resized(ImageSize(6, 10)).cropped(1, 0, ImageSize(6, 8))
            small = replace(view, depth=np.ones((6, 8), np.float32), calibrated_camera=half)
            return WindowPrediction((small,))

    (view,) = InputViews(Half(), {}, blind).estimate(window_of(frame)).views
    wanted = np.zeros((6, 8), bool)
    wanted[:, :3] = True
    np.testing.assert_array_equal(np.isnan(view.depth), wanted)


def test_a_wrong_number_of_views_is_left_to_whoever_asked() -> None:
    class Nothing:
        def estimate(self, window: Window) -> WindowPrediction:
            return WindowPrediction(())

    views = InputViews(Nothing(), {'front': 1}, BlindAreas())
    assert views.estimate(window_of(frame_of())).views == ()


class Believer(PixelReader):
    """A network that takes the poses it is told for its own."""

    told: Array | None = None

    def estimate(self, window: Window) -> WindowPrediction:
        self.told = known = window.known_poses().frame_from_camera
        assert known is not None
        views = zip(super().estimate(window).views, known, strict=True)
        return WindowPrediction(tuple(replace(v, window_from_camera=pose) for v, pose in views))


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_known_poses_are_turned_with_the_image_and_back(turns: int) -> None:
    """The network is told where the upright optical frame stands, and answers in the driver's."""
    told = rigid(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), [0.2, -3.0, 1.0])
    frame = frame_of()
    prior = PosePrior(odometry_from_camera={'front': told})
    window = Window(0, (FrameSet(STAMP_NS, (frame,), prior=prior),), 1)
    network = Believer()
    (view,) = InputViews(network, {'front': turns}, BlindAreas()).estimate(window).views
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
