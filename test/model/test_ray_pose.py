"""Cameras found from rays."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch
from torch import Tensor

from da3_ros.model.pose_encoding import invert_rigid
from da3_ros.model.ray_pose import SeededSampler, cameras_from_rays, poses_from_rays
from tools.parity.goldens import load_golden
from tools.parity.samplers import RecordedSampler

GRID = (24, 32)


@pytest.mark.parametrize('case', ['a', 'b', 'c'])
def test_fit_agrees_with_the_reference_for_its_samples(case: str) -> None:
    golden = load_golden('unit__raypose')
    rays = torch.from_numpy(golden[f'{case}__ray'])[0]
    confidence = torch.from_numpy(golden[f'{case}__conf'])[0]
    sampler = RecordedSampler(golden, f'{case}__')
    world_from_camera, focal, centre = poses_from_rays(rays, confidence, sampler)
    expected = golden[f'{case}__extrinsic'][0, :, :3]
    np.testing.assert_allclose(world_from_camera, expected, atol=1e-5)
    np.testing.assert_allclose(focal, golden[f'{case}__focal'][0], rtol=1e-4)
    np.testing.assert_allclose(centre, golden[f'{case}__pp'][0], atol=1e-5)


def exact_rays(rotation: Tensor, position: Tensor, focal: tuple[float, float]) -> Tensor:
    """Return the rays of a camera with centred principal point; the image spans [-1, 1]."""
    h, w = GRID
    y, x = torch.meshgrid(
        (torch.arange(h) + 0.5) * 2 / h - 1, (torch.arange(w) + 0.5) * 2 / w - 1, indexing='ij'
    )
    directions = torch.stack((x / focal[0], y / focal[1], torch.ones_like(x)), dim=-1)
    return torch.cat((directions @ rotation.T, position.expand(h, w, 3)), dim=-1)


def camera(seed: int) -> tuple[Tensor, Tensor]:
    vector = np.random.default_rng(seed).normal(0, 0.3, 3)
    rotation = torch.from_numpy(Rotation.from_rotvec(vector).as_matrix()).float()
    return rotation, torch.tensor([0.5, -1.0, 2.0])


@pytest.mark.parametrize('seed', range(5))
def test_exact_rays_give_the_exact_camera(seed: int) -> None:
    rotation, position = camera(seed)
    rays = exact_rays(rotation, position, (1.7, 2.1))[None, None]
    confidence = torch.ones(1, 1, *GRID)
    extrinsics, intrinsics = cameras_from_rays(rays, confidence, (240, 320))
    world_from_camera = invert_rigid(extrinsics)[0, 0]
    np.testing.assert_allclose(world_from_camera[:, :3], rotation, atol=1e-5)
    np.testing.assert_allclose(world_from_camera[:, 3], position, atol=1e-5)
    expected = np.array([[1.7 * 160, 0, 160], [0, 2.1 * 120, 120], [0, 0, 1]])
    np.testing.assert_allclose(intrinsics[0, 0], expected, rtol=1e-4, atol=2e-3)


def test_a_third_of_wild_rays_does_not_matter() -> None:
    rotation, position = camera(1)
    rays = exact_rays(rotation, position, (1.7, 2.1))
    generator = torch.Generator().manual_seed(0)
    wild = torch.rand(GRID, generator=generator) < 0.33
    rays[wild] = torch.randn(int(wild.sum()), 6, generator=generator)
    confidence = torch.where(wild, 1.5, 3.0)
    confidence[wild] = torch.rand(int(wild.sum()), generator=generator) * 2
    world_from_camera, focal, _ = poses_from_rays(rays[None], confidence[None], SeededSampler())
    error = rotation.T @ world_from_camera[0, :, :3]
    assert Rotation.from_matrix(error.numpy()).magnitude() < 0.05
    np.testing.assert_allclose(focal[0], (1.7, 2.1), rtol=0.05)


def test_rays_without_depth_have_no_weight() -> None:
    rotation, position = camera(2)
    rays = exact_rays(rotation, position, (1.7, 2.1))
    rays[:4, :, 2] = 0.0
    rays[:4, :, 3:] = 1000.0
    world_from_camera, _, _ = poses_from_rays(rays[None], torch.ones(1, *GRID), SeededSampler())
    np.testing.assert_allclose(world_from_camera[0, :, 3], position, atol=1e-4)


def test_overflown_rays_have_no_weight() -> None:
    rotation, position = camera(2)
    rays, confidence = exact_rays(rotation, position, (1.7, 2.1)), torch.ones(GRID)
    rays[0, :, 4] = torch.nan
    confidence[1] = torch.inf
    world_from_camera, _, _ = poses_from_rays(rays[None], confidence[None], SeededSampler())
    np.testing.assert_allclose(world_from_camera[0, :, :3], rotation, atol=1e-5)
    np.testing.assert_allclose(world_from_camera[0, :, 3], position, atol=1e-4)


def test_rays_that_are_all_overflown_give_no_pose_and_no_crash() -> None:
    rays = torch.full((1, *GRID, 6), torch.nan)
    world_from_camera, _, _ = poses_from_rays(rays, torch.ones(1, *GRID), SeededSampler())
    assert not torch.isfinite(world_from_camera).all()


def test_sampler_draws_distinct_indices_from_the_pool() -> None:
    sets = SeededSampler(3).minimal_sets(20)
    assert sets.shape == (100, 8)
    assert all(len(set(row)) == 8 for row in sets.tolist())
    assert int(sets.max()) < 20
    assert torch.equal(sets, SeededSampler(3).minimal_sets(20))
