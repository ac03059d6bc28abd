"""The nested network: scale, sky, confidence, and what happens without ground."""

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.model.build import build_network
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.outputs import Gaussians, NetworkOutput
from helpers import tiny
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

SHAPE = (1, 2, 12, 14)
FOCAL = 450.0


@pytest.fixture(scope='module')
def network() -> NestedNetwork:
    return build_network(tiny.NESTED)


def outputs(
    scale: float, *, sky_rows: int = 3, seed: int = 0
) -> tuple[NetworkOutput, NetworkOutput]:
    """Return both networks' results for a scene with a known scale and sky at its top."""
    generator = torch.Generator().manual_seed(seed)
    depth = 1 + torch.rand(SHAPE, generator=generator)
    sky = torch.zeros(SHAPE)
    sky[..., :sky_rows, :] = 0.3
    K = torch.tensor([[FOCAL + 50, 0, 7], [0, FOCAL - 50, 6], [0, 0, 1]])
    geometry = NetworkOutput(
        depth=depth,
        depth_conf=1 + torch.rand(SHAPE, generator=generator),
        sky=None,
        extrinsics=torch.randn(1, 2, 3, 4, generator=generator),
        intrinsics=K.repeat(1, 2, 1, 1),
        gaussians=Gaussians(*(torch.rand(1, 5, n, generator=generator) for n in (3, 3, 4, 9, 1))),
    )
    metric = NetworkOutput(scale * depth * 300 / FOCAL, None, sky, None, None)
    return geometry, metric


def test_a_known_scale_is_found_and_applied_to_all_lengths(network: NestedNetwork) -> None:
    geometry, metric = outputs(4.2)
    result = network.combine(geometry, metric)
    assert result.scale_factor is not None
    assert float(result.scale_factor[0]) == pytest.approx(4.2, rel=1e-6)
    assert result.is_metric.tolist() == [True]
    assert result.notes == ()
    torch.testing.assert_close(result.depth[..., 3:, :], 4.2 * geometry.depth[..., 3:, :])
    assert result.extrinsics is not None
    assert geometry.extrinsics is not None
    assert torch.equal(result.extrinsics[..., :3], geometry.extrinsics[..., :3])
    torch.testing.assert_close(result.extrinsics[..., 3], 4.2 * geometry.extrinsics[..., 3])
    assert result.gaussians is not None
    assert geometry.gaussians is not None
    torch.testing.assert_close(result.gaussians.means, 4.2 * geometry.gaussians.means)
    torch.testing.assert_close(result.gaussians.scales, 4.2 * geometry.gaussians.scales)
    assert result.gaussians.harmonics is geometry.gaussians.harmonics
    assert result.sky is metric.sky
    torch.testing.assert_close(
        result.gaussians.scaled(1 / result.scale_factor).means, geometry.gaussians.means
    )


def test_sky_goes_far_away_and_loses_its_confidence(network: NestedNetwork) -> None:
    geometry, metric = outputs(4.2)
    result = network.combine(geometry, metric)
    ground = 4.2 * geometry.depth[..., 3:, :].numpy().astype(np.float64)
    np.testing.assert_allclose(result.depth[..., :3, :], np.quantile(ground, 0.99), rtol=1e-6)
    assert result.depth_conf is not None
    assert geometry.depth_conf is not None
    assert (result.depth_conf[..., :3, :] == 1).all()
    assert torch.equal(result.depth_conf[..., 3:, :], geometry.depth_conf[..., 3:, :])
    far = network.combine(*outputs(900.0)).depth
    assert (far[..., :3, :] == 200).all()
    assert far[..., 3:, :].max() > 900


def test_only_confident_ground_tells_the_scale(network: NestedNetwork) -> None:
    geometry, metric = outputs(2.0)
    assert geometry.depth_conf is not None
    ground = geometry.depth_conf[..., 3:, :]
    is_weak = geometry.depth_conf < ground.median()
    metric.depth[is_weak] *= 7
    metric.depth[..., :3, :] *= 7
    result = network.combine(geometry, metric)
    assert result.scale_factor is not None
    assert float(result.scale_factor[0]) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize('case', ['only sky', 'ten pixels', 'no metric depth', 'broken depth'])
def test_a_scene_without_scale_keeps_its_unit_and_says_so(
    network: NestedNetwork, case: str
) -> None:
    geometry, metric = outputs(2.0, sky_rows=12 if case in ('only sky', 'ten pixels') else 3)
    assert metric.sky is not None
    if case == 'ten pixels':
        metric.sky[0, 0, 0, :10] = 0
    elif case == 'no metric depth':
        metric.depth.zero_()
    elif case == 'broken depth':
        metric.depth.fill_(torch.inf)
    result = network.combine(geometry, metric)
    assert result.scale_factor is not None
    assert bool(result.scale_factor.isnan().all())
    assert result.is_metric.tolist() == [False]
    [note] = result.notes
    assert note.code == 'no_metric_scale'
    assert note.text.startswith('no metric scale')
    assert torch.equal(result.depth, geometry.depth)
    assert result.extrinsics is not None
    assert geometry.extrinsics is not None
    assert torch.equal(result.extrinsics, geometry.extrinsics)
    assert result.depth_conf is not None
    assert (result.depth_conf[metric.sky >= 0.3] == 1).all()


def test_scenes_of_a_batch_do_not_influence_one_another(network: NestedNetwork) -> None:
    scenes = [outputs(2.0, seed=1), outputs(5.0, seed=2), outputs(3.0, sky_rows=12)]

    def join(index: int, field: str) -> Tensor:
        return torch.cat([getattr(scene[index], field) for scene in scenes])

    fields = ('depth', 'depth_conf', 'extrinsics', 'intrinsics')
    depth, confidence, extrinsics, intrinsics = (join(0, field) for field in fields)
    geometry = NetworkOutput(depth, confidence, None, extrinsics, intrinsics)
    metric = NetworkOutput(join(1, 'depth'), None, join(1, 'sky'), None, None)
    together = network.combine(geometry, metric)
    assert together.is_metric.tolist() == [True, True, False]
    for index, scene in enumerate(scenes):
        alone = network.combine(*scene)
        torch.testing.assert_close(together.depth[index], alone.depth[0])
        assert together.depth_conf is not None
        assert alone.depth_conf is not None
        assert torch.equal(together.depth_conf[index], alone.depth_conf[0])


@torch.inference_mode()
def test_forward_is_both_networks_combined() -> None:
    network = synthetic_network(tiny.NESTED)
    images = torch.randn(1, 3, 3, 28, 42, generator=torch.Generator().manual_seed(3))
    options = ForwardOptions(export_layers=(2,), infer_gs=True, ref_view_strategy='first')
    result = network(images, options=options)
    geometry = network.da3(images, options=options)
    expected = network.combine(geometry, network.da3_metric(images))
    assert_equal_to_rounding(result.depth, expected.depth, DEEP)
    assert_equal_to_rounding(result.sky, expected.sky, DEEP)
    assert_equal_to_rounding(result.aux['feat_layer_2'], geometry.aux['feat_layer_2'], DEEP)
    assert result.gaussians is not None
    assert result.is_metric.all()
