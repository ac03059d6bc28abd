"""Way and map: bounded however long the run, and true to what went in."""

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.web.remembered import Trail, VoxelMap

VOXEL = 0.1


def test_short_way_is_kept_whole() -> None:
    trail = Trail(100)
    way = np.cumsum(np.ones((50, 3)), axis=0)
    for position in way:
        trail.add(position)

    np.testing.assert_array_equal(trail.line(), way)


def test_no_way_is_no_line() -> None:
    assert Trail().line().shape == (0, 3)


def test_long_way_stays_short_and_close_to_itself() -> None:
    trail = Trail(200)
    angles = np.linspace(0, 6 * np.pi, 20_000)
    way = np.stack([np.cos(angles), np.sin(angles), angles / 10], axis=1)
    for position in way:
        trail.add(position)
        assert len(trail.line()) <= 201
    line = trail.line()

    np.testing.assert_array_equal(line[0], way[0])
    np.testing.assert_array_equal(line[-1], way[-1])
    gaps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
    assert len(line) >= 40
    assert gaps.max() < length / 40


def test_robot_that_stands_takes_no_room() -> None:
    trail = Trail(100)
    for _ in range(1000):
        trail.add(np.array([1.0, 2.0, 3.0]))

    assert len(trail.line()) == 1


def _cells(points: NDArray[np.float32]) -> set[tuple[int, ...]]:
    return {tuple(cell) for cell in np.floor(points.astype(float) / VOXEL).astype(int).tolist()}


def _add(voxels: VoxelMap, points: NDArray[np.float32]) -> list[int]:
    colours = (points * 50).astype(np.int64).astype(np.uint8)
    return voxels.add(points, colours, points[:, 2])


def _all(voxels: VoxelMap, chunks: int) -> NDArray[np.float32]:
    return np.concatenate([voxels.chunk(i).points for i in range(chunks)])


def test_map_holds_one_point_for_every_voxel(rng: np.random.Generator) -> None:
    voxels = VoxelMap(VOXEL, chunk_points=500, chunks=20)
    points = rng.uniform(-1, 1, (12, 2000, 3)).astype(np.float32)
    for part in points:
        _add(voxels, part)
    held = _all(voxels, 20)

    assert len(held) == len(voxels) == len(_cells(held))
    assert _cells(held) == _cells(points.reshape(-1, 3))
    given = {tuple(point) for point in points.reshape(-1, 3).tolist()}
    assert {tuple(point) for point in held.tolist()} <= given


def test_colours_and_heights_stay_with_their_points(rng: np.random.Generator) -> None:
    voxels = VoxelMap(VOXEL, chunk_points=100, chunks=10)
    for part in rng.uniform(0, 1, (5, 300, 3)).astype(np.float32):
        _add(voxels, part)
    for i in range(10):
        chunk = voxels.chunk(i)
        np.testing.assert_array_equal(chunk.colours, (chunk.points * 50).astype(np.uint8))
        np.testing.assert_array_equal(chunk.height, chunk.points[:, 2])


def test_only_chunks_named_as_changed_change(rng: np.random.Generator) -> None:
    voxels = VoxelMap(VOXEL, chunk_points=50, chunks=8)
    for step in range(40):
        before = [voxels.chunk(i) for i in range(8)]
        near = rng.uniform((0.3 * step, 0, 0), (0.3 * step + 1, 1, 1), (60, 3))
        changed = _add(voxels, near.astype(np.float32))
        assert {i for i in range(8) if voxels.chunk(i) is not before[i]} == set(changed)


def test_full_map_forgets_the_oldest_and_can_see_it_anew(rng: np.random.Generator) -> None:
    voxels = VoxelMap(VOXEL, chunk_points=100, chunks=4)
    here = rng.uniform(0, 1, (300, 3)).astype(np.float32)
    _add(voxels, here)
    for step in range(1, 30):
        _add(voxels, here + np.array([5 * step, 0, 0], np.float32))
        assert len(voxels) <= 400
    assert not _cells(here) & _cells(_all(voxels, 4))

    _add(voxels, here)

    assert _cells(here) <= _cells(_all(voxels, 4))


def test_more_points_at_once_than_the_map_holds() -> None:
    points = np.zeros((1000, 3), np.float32)
    points[:, 0] = np.arange(1000) * VOXEL + VOXEL / 2
    voxels = VoxelMap(VOXEL, chunk_points=100, chunks=3)

    assert _add(voxels, points) == [0, 1, 2]
    assert len(voxels) == 300
    assert _cells(_all(voxels, 3)) <= _cells(points)


def test_nothing_new_changes_nothing(rng: np.random.Generator) -> None:
    points = rng.uniform(0, 1, (300, 3)).astype(np.float32)
    voxels = VoxelMap(VOXEL)

    assert _add(voxels, points) == [0]
    assert _add(voxels, points) == []
    assert _add(voxels, np.zeros((0, 3), np.float32)) == []


@pytest.mark.parametrize('far', [1e7, -1e7])
def test_points_beyond_the_range_of_voxels_do_no_harm(far: float) -> None:
    voxels = VoxelMap(VOXEL)
    _add(voxels, np.full((5, 3), far, np.float32))

    assert len(voxels) == 1
