"""Gaussians in the world, against a slow formula, and the laws of the head."""

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.spatial.transform import Rotation
import torch
from torch import Tensor

from da3_ros.model.forward import ForwardOptions
from da3_ros.model.gaussian_adapter import (
    place_gaussians,
    scale_to_given_cameras,
    transform_gaussians,
)
from da3_ros.model.gaussian_head import RawGaussians
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import Gaussians
from da3_ros.model.pose_encoding import invert_rigid
from da3_ros.model.spherical_harmonics import rotate_harmonics
from helpers import tiny
from tools.parity.synthetic_weights import synthetic_network

SIZE = (3, 4)
CONFIG = tiny.GAUSSIAN
Array = NDArray[np.float64]


def poses(count: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, rng=rng).as_matrix()
    return torch.from_numpy(np.concatenate([rotations, rng.normal(size=(count, 3, 1))], axis=2))


def raw(count: int, seed: int = 0) -> tuple[RawGaussians, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, *SIZE, 37, generator=generator, dtype=torch.float64)
    depth = 2 + torch.rand(count, *SIZE, generator=generator, dtype=torch.float64)
    opacity = torch.rand(count, *SIZE, generator=generator, dtype=torch.float64)
    K = torch.tensor([[5.0, 0, 2.1], [0, 6.0, 1.4], [0, 0, 1]], dtype=torch.float64)
    return RawGaussians(values, opacity), depth, K.repeat(count, 1, 1)


def matrix(i: float, j: float, k: float, r: float) -> Array:
    """Return the rotation of a quaternion whose real part comes last."""
    return np.asarray(Rotation.from_quat([i, j, k, r]).as_matrix())


def slow(
    values: Array, depth: float, x: int, y: int, K: Array, pose: Array, scale: float
) -> Array:
    """Place one Gaussian: mean, scales and orientation, one number after the other."""
    height, width = SIZE
    distance = (depth + values[36]) * scale
    pixel = np.array([(x + 0.5) + values[0], (y + 0.5) + values[1], 1.0])
    ray = np.linalg.inv(K) @ pixel
    mean = scale * pose[:, 3] + pose[:, :3] @ (ray / np.linalg.norm(ray)) * distance
    unit_K = np.diag([1 / width, 1 / height, 1.0]) @ K
    footprint = 0.1 * (np.linalg.inv(unit_K[:2, :2]) @ [1 / width, 1 / height]).sum()
    extent = (1e-5 + (30 - 1e-5) / (1 + np.exp(-values[2:5]))) * distance * footprint
    # The trained composition: (w, x, y, z) taken for (x, y, z, w).
    q = values[5:9] / np.linalg.norm(values[5:9])
    rotated = Rotation.from_matrix(pose[:, :3] @ matrix(q[3], q[0], q[1], q[2])).as_quat()
    return np.concatenate([mean, extent, rotated * (1 if rotated[3] >= 0 else -1)])


def test_placing_agrees_with_a_slow_formula() -> None:
    guess, depth, K = raw(2)
    pose = poses(2)
    scale = torch.tensor([1.0, 2.5], dtype=torch.float64)
    got = place_gaussians(guess, depth, pose, K, CONFIG, scale)
    fast = torch.cat((got.means, got.scales, got.rotations), dim=-1).numpy()
    for view in range(2):
        for index, (y, x) in enumerate(np.ndindex(*SIZE)):
            expected = slow(
                guess.values[view, y, x].numpy(),
                float(depth[view, y, x]),
                x,
                y,
                K[view].numpy(),
                pose[view].numpy(),
                float(scale[view]),
            )
            np.testing.assert_allclose(fast[view, index], expected, atol=1e-7)
    assert torch.equal(got.opacities, guess.opacity.flatten(1))


def test_colours_are_weighted_by_band_and_rotated_to_the_world() -> None:
    guess, depth, K = raw(1)
    pose = poses(1)
    got = place_gaussians(guess, depth, pose, K, CONFIG, torch.ones(1, dtype=torch.float64))
    weights = torch.tensor([1.0] + [0.025] * 3 + [0.00625] * 5, dtype=torch.float64)
    colour = guess.values[0, ..., 9:36].reshape(-1, 3, 9) * weights
    expected = rotate_harmonics(colour, pose[0, :, :3])
    np.testing.assert_allclose(got.harmonics[0], expected, atol=1e-12)


def test_an_unrotated_camera_leaves_orientations_as_predicted() -> None:
    guess, depth, K = raw(1)
    pose = torch.eye(4, dtype=torch.float64)[None, :3]
    got = place_gaussians(guess, depth, pose, K, CONFIG, torch.ones(1, dtype=torch.float64))
    xyzw = guess.values[0, ..., 5:9].reshape(-1, 4).numpy()
    expected = Rotation.from_quat(xyzw).as_matrix()
    actual = Rotation.from_quat(np.roll(got.rotations[0].numpy(), -1, axis=1)).as_matrix()
    np.testing.assert_allclose(actual, expected, atol=1e-7)


@pytest.mark.parametrize(('true', 'expected'), [(1.7, 1.7), (0.5, 0.5), (9.0, 3.0), (0.01, 1 / 3)])
def test_given_cameras_tell_the_scale_within_bounds(true: float, expected: float) -> None:
    world_from_camera = poses(5)
    moved = world_from_camera.clone()
    turn = torch.from_numpy(Rotation.random(rng=9).as_matrix())
    moved[..., :3] = turn @ world_from_camera[..., :3]
    moved[..., 3:] = true * (turn @ world_from_camera[..., 3:]) + 0.3
    predicted, given = invert_rigid(world_from_camera)[None], invert_rigid(moved)[None]
    scale = scale_to_given_cameras(predicted, given)
    np.testing.assert_allclose(scale, [expected], rtol=1e-9)


@pytest.mark.parametrize('count', [1, 2, 4])
def test_cameras_that_tell_no_similarity_leave_the_scale(count: int) -> None:
    line = poses(count)
    line[..., 3] = torch.arange(count)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    given = line.clone()
    given[..., 3] *= 2
    scale = scale_to_given_cameras(invert_rigid(line)[None], invert_rigid(given)[None])
    assert scale.tolist() == [1.0]
    assert scale_to_given_cameras(line[None], None).tolist() == [1.0]


def test_a_change_of_world_moves_ellipsoids_and_colours_together() -> None:
    guess, depth, K = raw(1)
    one = torch.ones(1, dtype=torch.float64)
    old = place_gaussians(guess, depth, poses(1), K, CONFIG, one)
    turn = Rotation.random(rng=4)
    R = torch.from_numpy(turn.as_matrix())
    shift = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    new = transform_gaussians(old, 3.0, R, shift)
    np.testing.assert_allclose(new.means, 3 * old.means @ R.T + shift)
    before, after = covariances(old), covariances(new)
    np.testing.assert_allclose(after, 9 * R.numpy() @ before @ R.numpy().T, atol=1e-9)
    np.testing.assert_allclose(new.harmonics, rotate_harmonics(old.harmonics, R))
    back = transform_gaussians(new, 1 / 3, R.T, -(shift @ R) / 3)
    np.testing.assert_allclose(back.means, old.means, atol=1e-9)


def covariances(gaussians: Gaussians) -> Array:
    axes = Rotation.from_quat(np.roll(gaussians.rotations[0].numpy(), -1, axis=1)).as_matrix()
    variances = gaussians.scales[0].numpy() ** 2
    return np.asarray(axes @ (variances[:, :, None] * axes.transpose(0, 2, 1)))


@pytest.fixture(scope='module')
def network() -> AnyViewNetwork:
    return synthetic_network(tiny.ANY_VIEW)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 3, 28, 42, generator=torch.Generator().manual_seed(3))


def assert_same(actual: Gaussians | None, expected: Gaussians | None) -> None:
    assert actual is not None
    assert expected is not None
    for field in fields(Gaussians):
        a, b = getattr(actual, field.name), getattr(expected, field.name)
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-5, msg=field.name)


@torch.inference_mode()
def test_there_is_one_gaussian_for_every_pixel(network: AnyViewNetwork, images: Tensor) -> None:
    output = network(images, options=ForwardOptions(infer_gs=True))
    count = 3 * 28 * 42
    shapes = [tuple(getattr(output.gaussians, f.name).shape[1:]) for f in fields(Gaussians)]
    assert shapes == [(count, 3), (count, 3), (count, 4), (count, 3, 9), (count,)]
    lengths = output.gaussians.rotations.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert output.gaussian_scale.tolist() == [1.0, 1.0]
    assert network(images).gaussians is None


@torch.inference_mode()
def test_a_batch_equals_one_call_per_scene(network: AnyViewNetwork, images: Tensor) -> None:
    together = network(images, options=ForwardOptions(infer_gs=True)).gaussians
    for scene in range(2):
        alone = network(images[scene : scene + 1], options=ForwardOptions(infer_gs=True)).gaussians
        part = {f.name: getattr(together, f.name)[scene : scene + 1] for f in fields(Gaussians)}
        assert_same(replace(together, **part), alone)


@torch.inference_mode()
@pytest.mark.parametrize('chunk', [1, 4])
def test_chunks_change_nothing(network: AnyViewNetwork, images: Tensor, chunk: int) -> None:
    fused = network.fuse(network.encode(images))
    output = network.decode(fused)
    chunked, _ = network.gaussians(fused, images, output, chunk=chunk)
    whole, _ = network.gaussians(fused, images, output, chunk=100)
    assert_same(chunked, whole)


@torch.inference_mode()
def test_given_cameras_bring_the_gaussians_to_their_scale(
    network: AnyViewNetwork, images: Tensor
) -> None:
    own = network(images)
    fused = network.fuse(network.encode(images))
    output = network.decode(fused)
    predicted = torch.cat((own.extrinsics, torch.tensor([0, 0, 0, 1.0]).expand(2, 3, 1, 4)), 2)
    given = predicted.clone()
    given[1, :, :3, 3] *= 2
    _, scale = network.gaussians(fused, images, output, given)
    torch.testing.assert_close(scale, torch.tensor([1.0, 2.0]), rtol=1e-4, atol=1e-4)
