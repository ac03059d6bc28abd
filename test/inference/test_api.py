"""The public class beyond parity: arguments, degenerate cameras, random weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import torch

from da3_ros.errors import ModelError, PreprocessError
from da3_ros.inference.api import DepthAnything3
from helpers.rounding import DEEP, assert_equal_to_rounding

RES = 56


def pictures(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(count)]


def known_cameras(count: int, step: float) -> dict[str, Any]:
    extrinsics = np.tile(np.eye(4), (count, 1, 1))
    extrinsics[:, 0, 3] = step * np.arange(count)
    return {
        'extrinsics': extrinsics,
        'intrinsics': np.tile([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]], (count, 1, 1)),
    }


@pytest.mark.parametrize('count', [1, 2, 4])
@pytest.mark.parametrize('step', [0.0, 0.5])
@pytest.mark.parametrize('align', [True, False])
def test_known_cameras_never_fail(
    model: DepthAnything3, count: int, step: float, align: bool
) -> None:
    cameras = known_cameras(count, step)
    got = model.inference(
        pictures(count), **cameras, process_res=RES, align_to_input_ext_scale=align
    )
    assert got.alignment is not None
    assert got.alignment.method.startswith('orientations')
    assert np.isfinite(got.depth).all()
    assert got.extrinsics is not None
    assert got.extrinsics.shape == (count, 3, 4)
    if align:
        np.testing.assert_array_equal(got.extrinsics, cameras['extrinsics'][:, :3])


def test_three_row_extrinsics_are_the_same_as_four_row_ones(model: DepthAnything3) -> None:
    cameras = known_cameras(2, 0.3)
    four = model.inference(pictures(2), **cameras, process_res=RES)
    cameras['extrinsics'] = cameras['extrinsics'][:, :3]
    three = model.inference(pictures(2), **cameras, process_res=RES)
    assert_equal_to_rounding(three.depth, four.depth, DEEP)


def test_alignment_is_absent_without_cameras(model: DepthAnything3) -> None:
    got = model.inference(pictures(2), process_res=RES)
    assert got.alignment is None
    assert got.gaussians is None
    assert dict(got.aux) == {}


# Not below a median baseline of 0.1: the upstream normalisation ends there.
@pytest.mark.parametrize('scale', [0.5, 3.0, 250.0])
def test_scaling_the_given_poses_scales_depth(model: DepthAnything3, scale: float) -> None:
    cameras = known_cameras(4, 0.3)
    cameras['extrinsics'][:, 1, 3] = [0.0, 0.1, -0.2, 0.05]
    larger = {**cameras, 'extrinsics': cameras['extrinsics'].copy()}
    larger['extrinsics'][:, :3, 3] *= scale
    before = model.inference(pictures(4), **cameras, process_res=RES)
    after = model.inference(pictures(4), **larger, process_res=RES)
    np.testing.assert_allclose(after.depth, scale * before.depth, rtol=1e-4)
    assert after.extrinsics is not None
    assert before.extrinsics is not None
    np.testing.assert_allclose(
        after.extrinsics[:, :, 3], scale * before.extrinsics[:, :, 3], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'extrinsics': np.tile(2 * np.eye(4), (2, 1, 1))}, 'image 0: .* no rotation'),
        ({'extrinsics': np.zeros((2, 4, 4))}, 'image 0: .* no rotation'),
        ({'extrinsics': np.eye(4)}, r'extrinsics: expected shape \(2, 4, 4\), got \(4, 4\)'),
        ({'intrinsics': np.zeros((2, 3, 3))}, 'image 0: focal lengths must be positive'),
        ({'extrinsics': np.full((2, 4, 4), np.nan)}, 'extrinsics of image 0: .* finite'),
        ({'extrinsics': 'nowhere'}, 'extrinsics: expected numbers'),
    ],
)
def test_bad_cameras_are_refused(
    model: DepthAnything3, change: dict[str, Any], message: str
) -> None:
    cameras = {**known_cameras(2, 0.3), **change}
    with pytest.raises(PreprocessError, match=message):
        model.inference(pictures(2), **cameras, process_res=RES)


def test_bad_options_are_refused(model: DepthAnything3) -> None:
    with pytest.raises(ModelError, match='unknown reference view strategy'):
        model.inference(pictures(3), process_res=RES, ref_view_strategy='last')
    with pytest.raises(ModelError, match='do not exist'):
        model.inference(pictures(1), process_res=RES, export_feat_layers=[99])


def test_forward_takes_the_contract_arguments(model: DepthAnything3) -> None:
    images = torch.zeros(1, 2, 3, 28, 42)
    output = model.forward(images, None, None, [3], False, False, 'first')
    assert output.depth.shape == (1, 2, 28, 42)
    assert output.depth.dtype == torch.float32
    assert output.depth.is_inference()
    assert output.sky is None
    assert output.gaussians is None
    assert list(output.aux) == ['feat_layer_3']


def test_random_models_say_so_and_are_the_same_for_the_same_seed() -> None:
    first, again, other = (
        DepthAnything3('da3-small', seed=5),
        DepthAnything3('da3-small', seed=5),
        6,
    )
    assert first.is_random
    assert first.weights == 'random weights (seed 5)'
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())
    different = DepthAnything3('da3-small', seed=other).state_dict()
    assert not torch.equal(
        different['model.cam_dec.fc_t.weight'], state['model.cam_dec.fc_t.weight']
    )
    got = first.inference(pictures(3), process_res=RES)
    assert np.isfinite(got.depth).all()
    assert got.depth.std() > 0
    assert got.intrinsics is not None
    assert np.isfinite(got.intrinsics).all()


def test_constructor_takes_the_name_of_a_preset() -> None:
    model = DepthAnything3(model_name='da3-small')
    assert model.model_name == 'da3-small'
    assert not model.training
    assert model.to('cpu').device == torch.device('cpu')
    with pytest.raises(ModelError, match='unknown network'):
        DepthAnything3('da3-tiny')


def test_the_former_name_of_capabilities_works_and_says_so(model: DepthAnything3) -> None:
    with pytest.warns(DeprecationWarning, match='abilities is now capabilities'):
        assert model.abilities == model.capabilities
