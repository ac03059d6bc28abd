"""Stored runs of the public API against `DepthAnything3.inference`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.prediction import Prediction
from tools.parity.checks import (
    BOUND,
    INNER_SHARE,
    Check,
    bound_of,
    exactly,
    inner_check,
    reference_first,
)
from tools.parity.goldens import (
    GOLDEN_DIR,
    Golden,
    load_golden,
    max_error_to_peak,
    max_relative_error,
    max_rotation_error_rad,
)
from tools.parity.samplers import RecordedSampler

RAY_CASE = 'da3-small__raypose_v3'
"""Tells what ray poses of the nearest network case spread; runs of the API do not."""


def images_of(golden: Golden) -> list[NDArray[np.uint8]]:
    """Return the images that went in."""
    count = sum(key.startswith('image_') for key in golden.arrays)
    return [golden[f'image_{index}_u8'] for index in range(count)]


def predict(model: DepthAnything3, golden: Golden) -> Prediction:
    """Run a case; a ray fit draws what the reference drew."""
    cameras: dict[str, Any] = {
        name: golden[f'{name}_in']
        for name in ('extrinsics', 'intrinsics')
        if f'{name}_in' in golden
    }
    with _replayed(golden):
        return model.inference(images_of(golden), **cameras, **golden.meta['api_kwargs'])


def prediction_checks(
    golden: Golden, got: Prediction, *, strict: bool, folder: Path = GOLDEN_DIR
) -> Iterator[Check]:
    """Compare a prediction of an any-view network with a case.

    Args:
        golden: The case.
        got: Ours.
        strict: Bound maps by the reference's own noise, too, see `checks.map_check`.
        folder: Where `RAY_CASE` is.
    """
    assert got.conf is not None
    assert got.processed_images is not None
    for name, values in (('depth', got.depth), ('conf', got.conf)):
        step = golden.meta[f'pred_{name}_stride']
        error = max_relative_error(values[:, ::step, ::step], golden[f'pred_{name}'])
        yield Check(name, error, bound_of(golden, name, BOUND, strict=strict))
    yield from _camera_checks(golden, got, folder)
    step = golden.meta['pred_processed_images_stride']
    seen = got.processed_images[:, ::step, ::step].astype(int)
    # The reference truncates where ours is exact.
    levels = set(np.unique(seen - golden['pred_processed_images']).tolist())
    yield exactly('levels of the images that differ', levels - {0, 1}, set())
    yield exactly(
        'what else there is', (got.is_metric, got.sky, got.scale_factor), (False, None, None)
    )
    for key in golden.arrays:
        if key.startswith('aux__') and key.endswith('__idx'):
            key = key.removesuffix('__idx')
            # The reference keeps these in the order the network used, reference view first.
            values = got.aux[key.removeprefix('aux__')]
            yield exactly(f'shape of {key}', values.shape, tuple(golden[f'{key}__shape']))
            samples = values[list(reference_first(golden, len(values)))].reshape(-1)[
                golden[f'{key}__idx']
            ]
            yield inner_check(key, samples, golden[f'{key}__val'], strict=strict)


def _camera_checks(golden: Golden, got: Prediction, folder: Path) -> Iterator[Check]:
    assert got.extrinsics is not None
    assert got.intrinsics is not None
    # The reference returns (N, 4, 4) in one of its modes; the bottom row says nothing.
    poses, expected = got.extrinsics, golden['pred_extrinsics'][:, :3]
    yield exactly('shape of extrinsics', poses.shape, expected.shape)
    bound, bound_px = BOUND, BOUND * INNER_SHARE * float(golden['pred_intrinsics'].max())
    if golden.meta['api_kwargs'].get('use_ray_pose'):
        # Random fit: see the README of the data.
        network_case = load_golden(RAY_CASE, folder)
        bound = 2 * network_case.spread_over_seeds('extrinsics')
        bound_px = network_case.spread_over_seeds('intrinsics')
    rotation = max_rotation_error_rad(poses[..., :3], expected[..., :3])
    yield Check('rotation (rad)', rotation, bound)
    yield Check('position', max_error_to_peak(poses[..., 3], expected[..., 3]), bound)
    error = float(np.abs(got.intrinsics - golden['pred_intrinsics']).max())
    yield Check('intrinsics (px)', error, bound_px)


@contextmanager
def _replayed(golden: Golden) -> Iterator[None]:
    sampler = RecordedSampler(golden)
    with mock.patch('da3_ros.model.ray_pose.SeededSampler', return_value=sampler):
        yield
