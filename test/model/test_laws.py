"""Laws of the networks that need no reference: symmetries, seams, chunks."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from da3_ros.errors import ModelError
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import EncodedViews, NetworkOutput
from helpers import tiny
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

TOLERANCE = 2e-5
# Quaternions are scaled to length one: short ones hand on rounding many times larger.
GAUSSIAN = 1e-4


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(2, 4, 3, 42, 56, generator=generator)


def assert_same(actual: NetworkOutput, expected: NetworkOutput) -> None:
    pairs = (
        (actual.depth, expected.depth),
        (actual.depth_conf, expected.depth_conf),
        (actual.extrinsics, expected.extrinsics),
        (actual.intrinsics, expected.intrinsics),
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=TOLERANCE, atol=TOLERANCE)


def select(output: NetworkOutput, scenes: slice, views: list[int]) -> NetworkOutput:
    assert output.depth_conf is not None
    assert output.extrinsics is not None
    assert output.intrinsics is not None
    return NetworkOutput(
        depth=output.depth[scenes][:, views],
        depth_conf=output.depth_conf[scenes][:, views],
        sky=None,
        extrinsics=output.extrinsics[scenes][:, views],
        intrinsics=output.intrinsics[scenes][:, views],
        aux={name: x[scenes][:, views] for name, x in output.aux.items()},
    )


@torch.inference_mode()
def test_forward_is_the_composition_of_its_stages(small: AnyViewNetwork, images: Tensor) -> None:
    whole = small(images, options=ForwardOptions(export_layers=(2, 6)))
    encoded = small.encode(images, (2, 6))
    apart = small.decode(small.fuse(encoded, export_layers=(2, 6)))
    assert_same(whole, apart)
    assert list(whole.aux) == ['feat_layer_2', 'feat_layer_6']
    for name, features in whole.aux.items():
        assert_equal_to_rounding(apart.aux[name], features, DEEP)


@torch.inference_mode()
def test_views_may_be_encoded_one_by_one(small: AnyViewNetwork, images: Tensor) -> None:
    parts = [small.encode(images[:, view : view + 1]) for view in range(4)]
    joined = EncodedViews(
        tokens=torch.cat([part.tokens for part in parts], dim=1),
        reference_tokens=torch.cat([part.reference_tokens for part in parts], dim=1),
        exported={},
        image_size=parts[0].image_size,
    )
    assert_same(small.decode(small.fuse(joined)), small(images))


@torch.inference_mode()
def test_a_batch_equals_one_call_per_scene(small: AnyViewNetwork, images: Tensor) -> None:
    together = small(images)
    for scene in range(2):
        scenes = slice(scene, scene + 1)
        assert_same(select(together, scenes, [0, 1, 2, 3]), small(images[scenes]))


@torch.inference_mode()
def test_permuting_source_views_permutes_the_outputs(
    small: AnyViewNetwork, images: Tensor
) -> None:
    order = [0, 3, 1, 2]
    direct = small(images, options=ForwardOptions(ref_view_strategy='first', export_layers=(1, 8)))
    permuted = small(
        images[:, order], options=ForwardOptions(ref_view_strategy='first', export_layers=(1, 8))
    )
    expected = select(direct, slice(None), order)
    assert_same(permuted, expected)
    for name, features in expected.aux.items():
        torch.testing.assert_close(permuted.aux[name], features, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize('size', [(14, 14), (28, 42), (56, 84), (140, 182), (182, 140)])
def test_chunks_change_results_by_rounding_only(
    small: AnyViewNetwork, size: tuple[int, int]
) -> None:
    images = torch.randn(1, 5, 3, *size, generator=torch.Generator().manual_seed(1))
    options = ForwardOptions(use_ray_pose=True, export_layers=(2,), chunk=100)
    whole = small(images, options=options)
    for chunk in (1, 2, 3):
        chunked = small(images, options=replace(options, chunk=chunk))
        for name in ('depth', 'depth_conf', 'extrinsics', 'intrinsics'):
            assert_equal_to_rounding(getattr(chunked, name), getattr(whole, name), DEEP)
        assert_equal_to_rounding(chunked.aux['feat_layer_2'], whole.aux['feat_layer_2'], DEEP)


@torch.inference_mode()
def test_chunks_change_nested_results_and_gaussians_by_rounding_only() -> None:
    network = synthetic_network(tiny.NESTED)
    images = torch.randn(1, 5, 3, 140, 182, generator=torch.Generator().manual_seed(1))
    whole = network(images, options=ForwardOptions(chunk=100, infer_gs=True))
    assert whole.gaussians is not None
    for chunk in (1, 2):
        chunked = network(images, options=ForwardOptions(chunk=chunk, infer_gs=True))
        assert chunked.gaussians is not None
        assert_equal_to_rounding(chunked.depth, whole.depth, DEEP)
        assert_equal_to_rounding(chunked.sky, whole.sky, DEEP)
        for name in ('means', 'scales', 'rotations', 'harmonics', 'opacities'):
            one, other = getattr(chunked.gaussians, name), getattr(whole.gaussians, name)
            assert_equal_to_rounding(one, other, GAUSSIAN)


@torch.inference_mode()
@pytest.mark.parametrize('use_ray_pose', [False, True])
def test_heads_run_for_chosen_views_only(
    small: AnyViewNetwork, images: Tensor, use_ray_pose: bool
) -> None:
    fused = small.fuse(small.encode(images))
    whole = small.decode(fused, use_ray_pose=use_ray_pose)
    chosen = small.decode(fused, views=[3, 1], use_ray_pose=use_ray_pose)
    torch.testing.assert_close(chosen.depth, whole.depth[:, [3, 1]], rtol=1e-5, atol=1e-6)
    assert chosen.extrinsics is not None
    assert whole.extrinsics is not None
    assert chosen.extrinsics.shape == (2, 4, 3, 4)
    assert_equal_to_rounding(chosen.extrinsics, whole.extrinsics, DEEP)


@torch.inference_mode()
def test_ray_poses_are_the_same_twice_and_leave_the_global_generator_alone(
    small: AnyViewNetwork, images: Tensor
) -> None:
    state = torch.get_rng_state()
    first = small(images, options=ForwardOptions(use_ray_pose=True))
    second = small(images, options=ForwardOptions(use_ray_pose=True))
    assert torch.equal(first.extrinsics, second.extrinsics)
    assert torch.equal(torch.get_rng_state(), state)


@torch.inference_mode()
def test_the_ray_branch_is_left_out_unless_asked_for(
    small: AnyViewNetwork, images: Tensor
) -> None:
    touched: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: touched.append(name))
        for name, module in small.head.named_modules()
        if '_aux' in name
    ]
    try:
        small(images)
        assert touched == []
        small(images, options=ForwardOptions(use_ray_pose=True))
        unused = ('scratch.output_conv1_aux.0', 'scratch.output_conv2_aux.2')
        assert any(name.startswith('scratch.output_conv1_aux.3') for name in touched)
        assert not any(name.startswith(unused) for name in touched)
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def test_known_cameras_change_the_prediction(small: AnyViewNetwork, images: Tensor) -> None:
    extrinsics = torch.eye(4).repeat(2, 4, 1, 1)
    extrinsics[:, :, 0, 3] = torch.arange(4.0)
    intrinsics = torch.tensor([[50.0, 0, 28], [0, 50, 21], [0, 0, 1]]).repeat(2, 4, 1, 1)
    known = small(images, extrinsics, intrinsics)
    assert not torch.allclose(known.depth, small(images).depth)
    fused = small.fuse(small.encode(images), extrinsics, intrinsics)
    assert not fused.reference.any()


@torch.inference_mode()
def test_with_poses_alone_the_intrinsics_are_predicted_first(
    small: AnyViewNetwork, images: Tensor
) -> None:
    extrinsics = torch.eye(4).repeat(2, 4, 1, 1)
    extrinsics[:, :, 0, 3] = torch.arange(4.0)
    predicted = small(images).intrinsics
    output = small(images, extrinsics)
    assert_same(output, small(images, extrinsics, predicted))
    [note] = output.notes
    assert note.code == 'intrinsics_predicted'


@torch.inference_mode()
def test_features_come_in_the_order_asked_for(small: AnyViewNetwork, images: Tensor) -> None:
    sorted_layers = small(images, options=ForwardOptions(export_layers=(1, 6, 9))).aux
    asked = small(images, options=ForwardOptions(export_layers=(9, 1, 9, 6, 1))).aux
    assert list(asked) == ['feat_layer_9', 'feat_layer_1', 'feat_layer_6']
    for name, features in asked.items():
        assert_equal_to_rounding(features, sorted_layers[name], DEEP)


def test_bad_requests_are_refused(small: AnyViewNetwork, images: Tensor) -> None:
    cameras = torch.eye(4).repeat(2, 4, 1, 1)
    matrices = torch.eye(3).repeat(2, 4, 1, 1)
    with pytest.raises(ModelError, match='multiples of 14'):
        small(images[..., :-1])
    with pytest.raises(ModelError, match=r'\(B, V, 3, H, W\)'):
        small(images[0])
    with pytest.raises(ModelError, match='unknown reference view strategy'):
        small(images, options=ForwardOptions(ref_view_strategy='best'))
    with pytest.raises(ModelError, match=r'layers \[12\] do not exist'):
        small(images, options=ForwardOptions(export_layers=(3, 12)))
    with pytest.raises(ModelError, match='need known intrinsics'):
        small.fuse(small.encode(images), cameras)
    with pytest.raises(ModelError, match=r'da3-small predicts no Gaussians'):
        small(images, options=ForwardOptions(infer_gs=True))
    with pytest.raises(ModelError, match='must have shapes'):
        small(images, cameras[:, :3], matrices)
