"""Networks without camera encoder and decoder, which the upstream code allows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.network_size import check_size, estimated_parameters
from da3_ros.model.capabilities import capabilities
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.network import AnyViewNetwork
from helpers import tiny
from tools.parity.synthetic_weights import synthetic_network

CONFIG = replace(tiny.ANY_VIEW, name='tiny-without-cameras', camera=None)
RAYS = ForwardOptions(use_ray_pose=True)


@pytest.fixture(scope='module')
def network() -> AnyViewNetwork:
    return synthetic_network(CONFIG)


@pytest.fixture(scope='module')
def images() -> Tensor:
    return torch.randn(1, 3, 3, 28, 42, generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def test_all_but_cameras_is_that_of_the_network_with_them(
    network: AnyViewNetwork, images: Tensor
) -> None:
    """Weights go by name, so that what both have is the same."""
    whole = synthetic_network(tiny.ANY_VIEW)
    missing = set(whole.state_dict()) - set(network.state_dict())
    assert {name.split('.')[0] for name in missing} == {'cam_enc', 'cam_dec'}
    ours, theirs = network(images), whole(images)
    assert torch.equal(ours.depth, theirs.depth)
    assert torch.equal(ours.depth_conf, theirs.depth_conf)
    assert (ours.extrinsics, ours.intrinsics) == (None, None)
    ours, theirs = network(images, options=RAYS), whole(images, options=RAYS)
    assert torch.equal(ours.extrinsics, theirs.extrinsics)
    assert torch.equal(ours.intrinsics, theirs.intrinsics)


@torch.inference_mode()
def test_known_cameras_do_not_go_in_and_that_is_said(
    network: AnyViewNetwork, images: Tensor
) -> None:
    poses = torch.eye(4).expand(1, 3, 4, 4).clone()
    poses[0, :, 0, 3] = torch.arange(3)
    K = torch.tensor([[40.0, 0, 21], [0, 40, 14], [0, 0, 1]]).expand(1, 3, 3, 3)
    with_them = network(images, poses, K)
    assert torch.equal(with_them.depth, network(images).depth)
    assert [note.code for note in with_them.notes] == ['cameras_unused']


@torch.inference_mode()
def test_gaussians_need_cameras_by_rays(network: AnyViewNetwork, images: Tensor) -> None:
    with pytest.raises(ModelError, match=r'no camera decoder.*use_ray_pose'):
        network(images, options=ForwardOptions(infer_gs=True))
    assert network(images, options=replace(RAYS, infer_gs=True)).gaussians is not None


def test_given_cameras_are_passed_through_or_aligned_to_rays() -> None:
    model = DepthAnything3(network=synthetic_network(CONFIG))
    images = np.random.default_rng(0).integers(0, 255, (3, 28, 42, 3), np.uint8)
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = np.arange(3)
    K = np.tile([[40.0, 0, 21], [0, 40, 14], [0, 0, 1]], (3, 1, 1))
    passed = model.inference(images, poses, K, process_res=42)
    assert passed.extrinsics is not None
    np.testing.assert_allclose(passed.extrinsics, poses[:, :3])
    np.testing.assert_array_equal(passed.depth, model.inference(images, process_res=42).depth)
    assert passed.alignment is None
    aligned = model.inference(images, poses, K, process_res=42, use_ray_pose=True)
    assert aligned.alignment is not None


def test_capabilities_and_size_know_it() -> None:
    can = capabilities(CONFIG)
    assert can.names() == ('confidence', 'gaussians')
    check_size(CONFIG)
    assert estimated_parameters(CONFIG) < estimated_parameters(tiny.ANY_VIEW)
    deep = replace(CONFIG.backbone, depth=5000, out_layers=(4, 5, 6, 4999))
    with pytest.raises(CheckpointError, match='at most 1000 blocks'):
        check_size(replace(CONFIG, backbone=deep))


def test_the_node_takes_its_cameras_from_rays_or_refuses() -> None:
    model = DepthAnything3(network=synthetic_network(CONFIG))
    with pytest.raises(ModelError, match='no camera decoder; use_ray_pose'):
        Da3Estimator(model)
    Da3Estimator(model, use_ray_pose=True)
