"""`DepthAnything3.inference` agrees with the published API, case by case."""

from typing import Any

import numpy as np
import pytest
import torch

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.pose_alignment import normalise_extrinsics
from da3_ros.inference.postprocess import Prediction
from da3_ros.inference.preprocess import preprocess
from helpers.rounding import DEEP, assert_equal_to_rounding
from helpers.samplers import RecordedSampler
from tools.parity.goldens import (
    GOLDEN_DIR,
    NOISE_FACTOR,
    Array,
    Golden,
    load_golden,
    max_error_to_peak,
    max_relative_error,
    max_rotation_error_rad,
)

BOUND = 1e-4
CASES = sorted(path.stem for path in GOLDEN_DIR.glob('da3-small__api_*.npz'))


def images(golden: Golden) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    count = sum(key.startswith('image_') for key in golden.arrays)
    return [golden[f'image_{index}_u8'] for index in range(count)]


def predict(model: DepthAnything3, golden: Golden) -> Prediction:
    cameras: dict[str, Any] = {
        name: golden[f'{name}_in']
        for name in ('extrinsics', 'intrinsics')
        if f'{name}_in' in golden
    }
    return model.inference(images(golden), **cameras, **golden.meta['api_kwargs'])


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Golden:
    return load_golden(request.param)


@pytest.fixture
def replayed_samples(case: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ray fit draw what the reference drew."""
    monkeypatch.setattr('da3_ros.model.ray_pose.SeededSampler', lambda: RecordedSampler(case))


@pytest.mark.usefixtures('replayed_samples')
def test_prediction(model: DepthAnything3, case: Golden) -> None:
    got = predict(model, case)
    assert got.conf is not None
    assert got.extrinsics is not None
    assert got.intrinsics is not None
    assert got.processed_images is not None
    for name, values in (('depth', got.depth), ('conf', got.conf)):
        step = case.meta[f'pred_{name}_stride']
        error = max_relative_error(values[:, ::step, ::step], case[f'pred_{name}'])
        assert error <= min(BOUND, NOISE_FACTOR * case.noise(name)), name
    check_cameras(case, got.extrinsics, got.intrinsics)
    step = case.meta['pred_processed_images_stride']
    seen = got.processed_images[:, ::step, ::step].astype(int)
    # The reference truncates where ours is exact.
    assert set(np.unique(seen - case['pred_processed_images'])) <= {0, 1}
    assert got.is_metric is False
    assert got.sky is None
    assert got.scale_factor is None
    for key in case.arrays:
        if key.startswith('aux__') and key.endswith('__idx'):
            check_feature(got, case, key.removesuffix('__idx'))


def check_cameras(golden: Golden, extrinsics: Array, intrinsics: Array) -> None:
    # The reference returns (N, 4, 4) in one of its modes; the bottom row says nothing.
    expected = golden['pred_extrinsics'][:, :3]
    assert extrinsics.shape == expected.shape
    bound, bound_px = BOUND, BOUND / 10 * float(golden['pred_intrinsics'].max())
    if golden.meta['api_kwargs'].get('use_ray_pose'):
        # Random fit: see the README of the data. The spread is that of the nearest network case.
        network_case = load_golden('da3-small__raypose_v3')
        bound = 2 * network_case.spread_over_seeds('extrinsics')
        bound_px = network_case.spread_over_seeds('intrinsics')
    assert max_rotation_error_rad(extrinsics[..., :3], expected[..., :3]) <= bound
    assert max_error_to_peak(extrinsics[..., 3], expected[..., 3]) <= bound
    assert np.abs(intrinsics - golden['pred_intrinsics']).max() <= bound_px


def check_feature(got: Prediction, golden: Golden, key: str) -> None:
    reference = golden.meta['ref_view']['b_idx'][0]
    values = got.aux[key.removeprefix('aux__')]
    # The reference keeps these in the order the network used, reference view first.
    order = [reference, *(view for view in range(len(values)) if view != reference)]
    assert values.shape == tuple(golden[f'{key}__shape'])
    samples = values[order].reshape(-1)[golden[f'{key}__idx']]
    assert max_error_to_peak(samples, golden[f'{key}__val']) <= BOUND / 10


def test_network_input(case: Golden) -> None:
    options = case.meta['api_kwargs']
    processed = preprocess(images(case), options['process_res'], options['process_res_method'])
    pixels = processed.pixels().numpy()
    assert list(pixels.shape) == case.meta['net_input_shape']
    samples = pixels.reshape(-1)[case['net_input_idx']]
    np.testing.assert_allclose(samples, case['net_input_val'], atol=1e-6)


@pytest.mark.parametrize('name', [name for name in CASES if 'pose3' in name or 'pose10' in name])
def test_normalised_extrinsics(name: str) -> None:
    golden = load_golden(name)
    if 'extrinsics_in' not in golden:
        assert 'raypose' in name
        return
    got = normalise_extrinsics(torch.from_numpy(golden['extrinsics_in'])[None])
    np.testing.assert_allclose(got, golden['extrinsics_normalized'], atol=1e-5)


def test_the_networks_own_poses_stand_in_the_alignment(model: DepthAnything3) -> None:
    aligned = predict(model, load_golden('da3-small__api_pose3_align_true'))
    moved = predict(model, load_golden('da3-small__api_pose3_align_false'))
    assert aligned.alignment is not None
    assert moved.alignment is not None
    own = aligned.alignment.predicted_extrinsics
    assert_equal_to_rounding(own, moved.alignment.predicted_extrinsics, DEEP)
    assert aligned.alignment.method == 'umeyama'
    scale = aligned.alignment.predicted_from_input.scale
    np.testing.assert_allclose(aligned.depth * scale, moved.depth, rtol=1e-5)
