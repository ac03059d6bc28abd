"""Depth at another resolution: exact on planes, nothing in between at steps, unknown stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import DepthResampler, PixelMap, resampled_mask

Array = np.ndarray[Any, Any]
TARGET = PinholeCamera.from_focal(500.0, 510.0, 311.3, 244.9, ImageSize(480, 640))
SIZES = [ImageSize(378, 504), ImageSize(60, 80), ImageSize(37, 91)]


def plane(camera: PinholeCamera, normal: tuple[float, float, float]) -> Array:
    """Return the analytic depth of the plane normal . x = 2."""
    return np.asarray(2.0 / (camera.rays() @ np.array(normal)), np.float32)


def brought(depth: Array, source: PinholeCamera, target: PinholeCamera = TARGET) -> Array:
    return DepthResampler(depth, PixelMap.between(target, source), target.size).depth()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('normal', [(0, 0, 1.0), (0.5, 0.2, 0.8), (-0.3, 0.7, 0.6)])
def test_planes_are_exact_up_to_the_border(
    size: ImageSize, normal: tuple[float, float, float]
) -> None:
    source = TARGET.resized(size)
    got = brought(plane(source, normal), source)
    np.testing.assert_allclose(got, plane(TARGET, normal), rtol=2e-5)


def test_a_cropped_source_leaves_unknown_what_it_does_not_cover() -> None:
    source = TARGET.resized(ImageSize(240, 320)).cropped(10, 4, ImageSize(230, 300))
    got = brought(plane(source, (0.3, 0.1, 0.9)), source)
    covered = np.zeros((480, 640), bool)
    covered[8:468, 20:620] = True
    np.testing.assert_array_equal(np.isfinite(got), covered)
    truth = plane(TARGET, (0.3, 0.1, 0.9))
    np.testing.assert_allclose(got[covered], truth[covered], rtol=2e-5)


@pytest.mark.parametrize('size', SIZES)
def test_no_value_lies_between_two_surfaces(size: ImageSize) -> None:
    source = TARGET.resized(size)
    depth = np.full((size.height, size.width), 6.0, np.float32)
    depth[size.height // 4 : size.height // 2, size.width // 3 : size.width // 2] = 2.0
    got = brought(depth, source)
    assert np.abs(got[..., None] - [2.0, 6.0]).min(axis=-1).max() < 1e-5
    # And the surfaces keep their shares.
    np.testing.assert_allclose((got < 4).mean(), (depth < 4).mean(), rtol=0.1)


def test_slanted_surfaces_at_a_step_stay_themselves() -> None:
    source = TARGET.resized(ImageSize(120, 160))
    front, back = (0.4, 0.0, 0.9), (0.1, 0.05, 0.3)
    is_front = np.arange(160) < 70
    depth = np.where(is_front, plane(source, front), plane(source, back)).astype(np.float32)
    got = brought(depth, source)
    off = [np.abs(got / plane(TARGET, normal) - 1) for normal in (front, back)]
    # At the step the nearest pixel stands for its surroundings: up to half a source pixel off.
    assert np.minimum(*off).max() < 0.01
    far_from_step = np.abs(np.arange(640) - 279.5) > 8
    assert np.minimum(*off)[:, far_from_step].max() < 2e-5


def test_unknown_stays_unknown_and_does_not_spread() -> None:
    source = TARGET.resized(ImageSize(48, 64))
    depth = plane(source, (0.2, 0.1, 0.9))
    depth[10:12, 20:23] = np.nan
    depth[30, 5] = 0.0
    got = brought(depth, source)
    wanted = np.zeros((480, 640), bool)
    wanted[100:120, 200:230] = True
    np.testing.assert_array_equal(np.isnan(got), wanted)
    # Zero is no depth to interpolate with either; it is passed on as it is.
    assert (got[300:310, 50:60] == 0).all()
    wanted[300:310, 50:60] = True
    near = ~wanted
    assert np.abs(got / plane(TARGET, (0.2, 0.1, 0.9)) - 1)[near].max() < 0.02


def test_the_own_size_changes_nothing() -> None:
    depth = np.random.default_rng(0).uniform(1, 9, (480, 640)).astype(np.float32)
    depth[5, 7] = np.nan
    np.testing.assert_allclose(brought(depth, TARGET), depth, rtol=1e-6)


def test_other_values_mix_inside_surfaces_only() -> None:
    source = TARGET.resized(ImageSize(48, 64))
    depth = np.full((48, 64), 6.0, np.float32)
    depth[:, :20] = 2.0
    confidence = np.where(depth < 4, np.float32(9), np.float32(1))
    resampler = DepthResampler(depth, PixelMap.between(TARGET, source), TARGET.size)
    assert set(np.unique(resampler.along(confidence))) == {1.0, 9.0}
    ramp = np.tile(np.arange(64, dtype=np.float32), (48, 1))
    got = resampler.along(ramp)
    assert got.min() == 0
    assert got.max() == 63
    np.testing.assert_allclose(got[7, 300:600], (np.arange(300, 600) + 0.5) / 10 - 0.5, rtol=1e-5)
    mask = resampler.mask(depth > 4)
    np.testing.assert_array_equal(mask, np.broadcast_to(np.arange(640) >= 200, (480, 640)))


def test_the_map_of_a_resize_and_crop_is_that_of_the_cameras() -> None:
    source = TARGET.resized(ImageSize(240, 320)).cropped(10, 4, ImageSize(230, 300))
    wanted = PixelMap.between(TARGET, source)
    got = PixelMap.placed(0.5, 0.5, 10, 4)
    np.testing.assert_allclose(
        [got.scale_u, got.shift_u, got.scale_v, got.shift_v],
        [wanted.scale_u, wanted.shift_u, wanted.scale_v, wanted.shift_v],
        atol=1e-12,
    )
    np.testing.assert_allclose(got.camera(source, TARGET.size).K, TARGET.K, atol=1e-9)


@pytest.mark.parametrize('turns', range(4))
def test_a_map_rotates_with_both_of_its_images(turns: int) -> None:
    size = ImageSize(37, 91)
    source = TARGET.resized(ImageSize(60, 120)).cropped(17, 9, size)
    got = PixelMap.between(TARGET, source).rotated(turns, TARGET.size, size)
    wanted = PixelMap.between(TARGET.rotated(turns), source.rotated(turns))
    for name in ('scale_u', 'shift_u', 'scale_v', 'shift_v'):
        assert getattr(got, name) == pytest.approx(getattr(wanted, name), abs=1e-9)


def test_the_inverse_of_a_map_is_that_of_the_cameras_exchanged() -> None:
    source = TARGET.resized(ImageSize(60, 120)).cropped(17, 9, ImageSize(37, 91))
    got, wanted = PixelMap.between(TARGET, source).inverse(), PixelMap.between(source, TARGET)
    for name in ('scale_u', 'shift_u', 'scale_v', 'shift_v'):
        assert getattr(got, name) == pytest.approx(getattr(wanted, name), abs=1e-9)


def test_a_mask_at_another_resolution_covers_the_same_part() -> None:
    """Every pixel of the small mask is a block of the large one; beyond its border is nothing."""
    small = np.random.default_rng(0).random((6, 8)) < 0.5
    large = small.repeat(5, axis=0).repeat(5, axis=1)
    got = resampled_mask(large, PixelMap.placed(5, 5, 10, 5), ImageSize(6, 8))
    wanted = np.zeros((6, 8), bool)
    wanted[1:, 2:] = small[:5, :6]
    # The target's first pixels lie 10 columns left of the mask and 5 rows above.
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize('shape', [(1, 1), (1, 6), (6, 1), (2, 2)])
def test_tiny_images_are_taken(shape: tuple[int, int]) -> None:
    place = PixelMap.placed(shape[1] / 12, shape[0] / 12, 0, 0)
    depth = np.full(shape, 3.0, np.float32)
    got = DepthResampler(depth, place, ImageSize(12, 12)).depth()
    np.testing.assert_allclose(got, 3.0, rtol=1e-6)
