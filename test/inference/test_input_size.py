"""Depth at the size of the images: planes stay planes, edges stay edges, K follows."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from da3_ros.errors import PreprocessError
from da3_ros.geometry.camera import ImageSize
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.input_size import at_input_size
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import preprocess
from da3_ros.options import RESIZE_METHODS
from helpers.tiny import ANY_VIEW

HEIGHT, WIDTH = 60, 100
SIDE = 42
K = np.array([[80.0, 0.5, 48.0], [0, 82.0, 33.0], [0, 0, 1]])
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
PICTURE = np.dstack([2 * COLUMNS, 4 * ROWS, COLUMNS + ROWS]).astype(np.uint8)


def plane(u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.float32]:
    """Return the depth of a plane at pixels of the image: its inverse is affine in them."""
    return (1 / (0.2 + 0.002 * u + 0.003 * v)).astype(np.float32)


def seen_by_network(method: str, images: list[Any] | None = None, **other: Any) -> Prediction:
    """Return a prediction that is the plane, at the pixels that the network has."""
    processed = preprocess([PICTURE] if images is None else images, SIDE, method)
    depths = []
    for placement in processed.placements:
        v, u = np.mgrid[0 : placement.size.height, 0 : placement.size.width]
        original, resized = placement.original, placement.resized
        # Borders stay borders: pixel centres are half a pixel away from them.
        u = (u + placement.left_px + 0.5) * original.width / resized.width - 0.5
        v = (v + placement.top_px + 0.5) * original.height / resized.height - 0.5
        depths.append(plane(u, v))
    depth = np.stack(depths)
    return Prediction(
        depth=depth,
        is_metric=False,
        conf=depth + 1,
        intrinsics=np.stack([placement.matrix(K) for placement in processed.placements]),
        processed_images=processed.images,
        placements=processed.placements,
        **other,
    )


@pytest.mark.parametrize('method', RESIZE_METHODS)
def test_a_plane_is_the_same_plane_at_the_size_of_the_image(method: str) -> None:
    before = seen_by_network(method)
    after = at_input_size(before, [PICTURE])
    assert after.depth.shape == (1, HEIGHT, WIDTH)
    known = np.isfinite(after.depth[0])
    np.testing.assert_allclose(after.depth[0][known], plane(COLUMNS, ROWS)[known], rtol=1e-4)
    assert after.intrinsics is not None
    np.testing.assert_allclose(after.intrinsics[0], K, rtol=1e-5)
    assert after.processed_images is not None
    np.testing.assert_array_equal(after.processed_images[0], PICTURE)
    [placement] = before.placements
    # What was cut away is not known, and nothing else.
    left, top = placement.left_px, placement.top_px
    x = (COLUMNS + 0.5) * placement.resized.width / WIDTH
    y = (ROWS + 0.5) * placement.resized.height / HEIGHT
    kept = (x > left) & (x < left + placement.size.width)
    kept &= (y > top) & (y < top + placement.size.height)
    np.testing.assert_array_equal(known, kept)
    assert after.conf is not None
    assert (after.conf[0][~kept] == 0).all()
    assert (after.conf[0][kept] >= 1).all()
    assert after.placements[0].size == ImageSize(HEIGHT, WIDTH)


def test_nothing_appears_between_two_surfaces() -> None:
    before = seen_by_network('upper_bound_resize')
    before.depth[:] = 2.0
    before.depth[:, :, 20:] = 7.0
    after = at_input_size(before, [PICTURE]).depth
    np.testing.assert_allclose(np.unique(after.round(5)), [2.0, 7.0])
    # The edge stays where it was, to half a pixel of the network.
    edge = 20 * WIDTH / before.depth.shape[2]
    columns = (after[0] < 4).sum(axis=1)
    assert np.abs(columns - edge).max() <= 0.5 * WIDTH / before.depth.shape[2] + 1


def test_the_made_up_depth_of_the_sky_is_not_mixed_into_anything() -> None:
    sky = np.zeros((1, 28, 42), bool)
    sky[:, :9] = True
    before = seen_by_network('upper_bound_resize', sky=sky)
    assert before.depth.shape == sky.shape
    before.depth[sky] = 2.1
    before.depth[~sky] = 2.0
    after = at_input_size(before, [PICTURE])
    assert after.sky is not None
    assert after.sky.shape == after.depth.shape
    np.testing.assert_allclose(after.depth[after.sky], 2.1, rtol=1e-6)
    np.testing.assert_allclose(after.depth[~after.sky], 2.0, rtol=1e-6)


def test_transparent_pixels_of_the_image_have_no_depth() -> None:
    alpha = np.where((ROWS > 20) & (COLUMNS > 70), 0, 255).astype(np.uint8)
    image = np.dstack([PICTURE, alpha])
    after = at_input_size(seen_by_network('upper_bound_resize', [image]), [image])
    assert after.visible is not None
    np.testing.assert_array_equal(after.visible[0], alpha > 0)
    np.testing.assert_array_equal(np.isfinite(after.depth[0]), alpha > 0)


@pytest.fixture(scope='module')
def tiny() -> DepthAnything3:
    return DepthAnything3.from_config(ANY_VIEW)


def test_inference_at_the_size_of_the_images(tiny: DepthAnything3, tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    Image.fromarray(PICTURE).save(path)
    options: dict[str, Any] = {'process_res': SIDE}
    plain = tiny.inference([path, PICTURE], **options)
    large = tiny.inference([path, PICTURE], **options, depth_size='input')
    assert plain.depth.shape[1:] == (28, 42)
    assert large.depth.shape == (2, HEIGHT, WIDTH)
    low, high = plain.depth.min(), plain.depth.max()
    # Beyond the outermost centres a slope goes on for half a pixel.
    assert low / 1.2 < large.depth.min() < large.depth.max() < high * 1.2
    assert large.intrinsics is not None
    assert plain.intrinsics is not None
    focal = plain.intrinsics[:, 0, 0] * WIDTH / 42
    np.testing.assert_allclose(large.intrinsics[:, 0, 0], focal, rtol=1e-5)
    report = large.export(tmp_path / 'out', 'npz-mini_npz-depth_png-ply-glb-colmap-depth_vis')
    assert report.points > 1000
    with np.load(tmp_path / 'out/exports/npz/results.npz') as stored:
        assert stored['depth'].shape == stored['image'].shape[:3] == large.depth.shape


def test_what_cannot_have_that_size_is_refused_before_computing(
    tiny: DepthAnything3, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError('computed')

    monkeypatch.setattr('da3_ros.inference.scene_inference.compute', never)
    cases: tuple[tuple[list[Any], dict[str, Any], str], ...] = (
        ([PICTURE, PICTURE[:40]], {}, r'image 0 has \(60, 100\), image 1 \(40, 100\)'),
        ([PICTURE], {'infer_gs': True}, 'Gaussians .* come at the size of the network'),
        (['absent.png'], {}, r'image 0: absent\.png: cannot be read'),
        ([], {}, 'at least one image'),
    )
    for images, options, message in cases:
        with pytest.raises(PreprocessError, match=message):
            tiny.inference(images, depth_size='input', **options)
    with pytest.raises(PreprocessError, match=r"expected one of \('network', 'input'\)"):
        tiny.inference([PICTURE], depth_size='half')  # type: ignore[arg-type]
