"""Views at the size of the camera's image; where pixels lie is asked of preprocessing itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('torch')
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.inference.preprocess import preprocess
from da3_ros.options import RESIZE_METHODS
from da3_ros.pipeline.shown_view import at_input_size
from da3_ros.types import InputGeometry, PosedView, ViewId

Array = np.ndarray[Any, Any]
NAN = np.float32(np.nan)


def plane(camera: PinholeCamera) -> Array:
    return np.asarray(2.0 / (camera.rays() @ np.array([0.3, 0.2, 0.9])), np.float32)


def view_of(
    camera: PinholeCamera,
    size: ImageSize,
    calibration: PinholeCamera | None,
    pixel_map: PixelMap | None = None,
) -> PosedView:
    """Return a plane as the network sees it, of an image of another size."""
    depth = plane(camera)
    return PosedView(
        id=ViewId('front', 5, 'optical'),
        depth=depth,
        image=np.zeros((*depth.shape, 3), np.uint8),
        camera=camera,
        is_calibrated=calibration is not None,
        world_from_camera=np.eye(4),
        confidence=np.full(depth.shape, 3, np.float32),
        sky=None,
        input=InputGeometry(size, calibration, pixel_map or PixelMap.whole(size, camera.size)),
    )


@pytest.mark.parametrize('method', RESIZE_METHODS)
@pytest.mark.parametrize('calibrated', [True, False])
@pytest.mark.parametrize('size', [ImageSize(120, 160), ImageSize(90, 160), ImageSize(131, 97)])
def test_depth_lies_on_the_input_image_for_every_resize_method(
    method: str, calibrated: bool, size: ImageSize
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), dtype=np.uint8)
    known = PinholeCamera.from_focal(100, 101, size.width / 2 + 3, size.height / 2 - 2, size)
    [placement] = preprocess([image], 84, method).placements
    calibration = known if calibrated else None
    small = view_of(placement.camera(known), size, calibration, placement.pixel_map)
    view = at_input_size(small, image)
    assert view.image is image
    np.testing.assert_allclose(view.camera.K, known.K, rtol=1e-9)
    if calibrated:
        assert view.camera is known
    assert view.depth.shape == (size.height, size.width)
    covered = np.isfinite(view.depth)
    assert covered.mean() > (0.7 if method.endswith('crop') else 0.999)
    np.testing.assert_allclose(view.depth[covered], plane(known)[covered], rtol=3e-5)
    assert view.confidence is not None
    assert (view.confidence[covered] == 3).all()
    assert np.isnan(view.confidence[~covered]).all()


def test_views_of_other_shapes_lose_their_margins() -> None:
    """Two uncalibrated cameras of different shape: what the common size cuts away is unknown."""
    images = [np.zeros((120, 160, 3), np.uint8), np.zeros((120, 120, 3), np.uint8)]
    placements = preprocess(images, 84, 'upper_bound_resize').placements
    size = ImageSize(120, 120)
    known = PinholeCamera.from_focal(100, 100, 59.5, 59.5, size)
    view = view_of(placements[1].camera(known), size, None, placements[1].pixel_map)
    got = at_input_size(view, images[1])
    np.testing.assert_allclose(got.camera.K, known.K, atol=1e-6)
    cut = (120 - 120 * placements[1].size.height / placements[1].resized.height) / 2
    covered = np.isfinite(got.depth)
    assert abs((~covered[:, 60]).sum() - 2 * cut) <= 2
    assert covered[60].all()
    np.testing.assert_allclose(got.depth[covered], plane(known)[covered], rtol=3e-5)


def test_an_answer_of_any_size_covers_the_whole_image() -> None:
    """As the truth estimator gives it: half the size, whatever the network's method."""
    image = np.zeros((120, 160, 3), np.uint8)
    known = PinholeCamera.from_focal(100, 100, 79.5, 59.5, ImageSize(120, 160))
    got = at_input_size(view_of(known.resized(ImageSize(60, 80)), known.size, None), image)
    np.testing.assert_allclose(got.camera.K, known.K, atol=1e-9)
    np.testing.assert_allclose(got.depth, plane(known), rtol=3e-5)


def test_sky_stays_sky_and_mixes_with_nothing() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    known = PinholeCamera.from_focal(50, 50, 29.5, 19.5, ImageSize(40, 60))
    view = view_of(known.resized(ImageSize(8, 12)), known.size, known)
    sky = np.zeros((8, 12), bool)
    sky[:3] = True
    filled = np.where(sky, view.depth * np.float32(1.01), view.depth)
    got = at_input_size(replace(view, depth=filled, sky=sky), image)
    wanted = np.zeros((40, 60), bool)
    wanted[:15] = True
    assert got.sky is not None
    np.testing.assert_array_equal(got.sky, wanted)
    np.testing.assert_array_equal(np.isnan(got.depth), wanted)
