"""The mean of every voxel, against a plain loop, whatever the order and number of clouds."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from da3_ros.errors import GeometryError
from da3_ros.geometry import voxel_map
from da3_ros.geometry.voxel_map import VoxelMap

SIZE = 0.3


def random_clouds(seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        (
            rng.uniform(-2, 2, (count, 3)),
            rng.integers(0, 256, (count, 3)).astype(np.uint8),
            rng.uniform(1, 5, count).astype(np.float32),
        )
        for count in rng.integers(0, 60, 7)
    ]


def fused(clouds: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> VoxelMap:
    voxels = VoxelMap(SIZE)
    for cloud in clouds:
        voxels.add(*cloud)
    return voxels


@pytest.mark.parametrize('waiting', [1, 1_000_000])
def test_means_and_counts_are_those_of_a_plain_loop(
    waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxel_map, '_WAITING', waiting)
    clouds = random_clouds(1)
    members = defaultdict(list)
    for index, cloud in enumerate(clouds):
        for xyz, rgb, confidence in zip(*cloud, strict=True):
            members[tuple(np.floor(xyz / SIZE).astype(int))].append((index, xyz, rgb, confidence))
    found = fused(clouds).points()
    assert len(found.xyz) == len(members)
    for xyz, rgb, confidence, seen in zip(
        found.xyz, found.rgb, found.confidence, found.seen, strict=True
    ):
        inside = members.pop(tuple(np.floor(xyz / SIZE).astype(int)))
        np.testing.assert_allclose(xyz, np.mean([m[1] for m in inside], axis=0), atol=1e-5)
        np.testing.assert_allclose(rgb, np.mean([m[2] for m in inside], axis=0), atol=0.5001)
        assert confidence == pytest.approx(np.mean([m[3] for m in inside]), rel=1e-5)
        assert seen == len({m[0] for m in inside})


def test_only_voxels_that_enough_clouds_saw_are_left() -> None:
    voxels = fused(random_clouds(2))
    counts = [len(voxels.points(least).xyz) for least in range(1, 9)]
    assert all(before >= after for before, after in pairwise(counts))
    assert counts[0] > counts[1] > 0
    assert counts[-1] == 0


def test_points_too_far_for_the_voxels_are_named() -> None:
    voxels = VoxelMap(1e-6)
    with pytest.raises(GeometryError, match='larger voxels'):
        voxels.add(np.array([[2.0, 0, 0]]), np.zeros((1, 3), np.uint8), np.ones(1, np.float32))


@pytest.mark.parametrize('size', [0.0, -1.0, float('nan'), float('inf')])
def test_a_size_that_is_none_is_refused(size: float) -> None:
    with pytest.raises(GeometryError, match='voxel size'):
        VoxelMap(size)
