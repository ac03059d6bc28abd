"""`DepthAnything3.inference` agrees with the upstream API, case by case."""

import numpy as np
import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.pose_alignment import normalise_extrinsics
from da3_ros.inference.preprocess import preprocess
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.api_cases import images_of, predict, prediction_checks
from tools.parity.checks import require
from tools.parity.goldens import GOLDEN_DIR, Golden, load_golden

CASES = sorted(path.stem for path in GOLDEN_DIR.glob('da3-small__api_*.npz'))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Golden:
    return load_golden(request.param)


def test_prediction(model: DepthAnything3, case: Golden) -> None:
    assert min(case.noise(field) for field in ('depth', 'conf')) > 0
    require(prediction_checks(case, predict(model, case), strict=True))


def test_network_input(case: Golden) -> None:
    options = case.meta['api_kwargs']
    processed = preprocess(images_of(case), options['process_res'], options['process_res_method'])
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
    got = normalise_extrinsics(golden['extrinsics_in'])[None]
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
