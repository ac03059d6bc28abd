"""Voxel thinning against sorting, which is slower and cannot be wrong."""

import numpy as np
import pytest

from da3_ros.geometry.voxel import first_per_voxel, voxel_borders


@pytest.mark.parametrize('count', [1, 2, 3, 1000, 50_000])
@pytest.mark.parametrize('spread_m', [0.01, 1.0, 30.0, 1e4])
def test_the_first_point_of_every_voxel_stays(count: int, spread_m: float) -> None:
    """From all points in one voxel to every point in its own, and voxels beyond a table's size."""
    rng = np.random.default_rng(count)
    points = rng.normal(0.0, spread_m, (count, 3)).astype(np.float32)
    points[count // 2 :] = points[rng.integers(0, count, count - count // 2)]
    cells = np.floor(points / 0.05).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    np.testing.assert_array_equal(first_per_voxel(points, 0.05), np.sort(first))


def test_points_of_a_grid_all_stay() -> None:
    """Regular keys are the hard ones for a hash."""
    axis = np.arange(40, dtype=np.float32) + 0.5
    points = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), axis=-1).reshape(-1, 3)
    np.testing.assert_array_equal(first_per_voxel(points, 1.0), np.arange(len(points)))
    np.testing.assert_array_equal(
        first_per_voxel(points, 2.0),
        np.flatnonzero((points.astype(int) % 2 == 0).all(axis=1)),
    )


@pytest.mark.parametrize('voxel_size_m', [0.0, 0.05, 0.4])
def test_the_first_of_every_voxel_is_where_one_begins(voxel_size_m: float) -> None:
    """A wavy surface with holes, whose voxels are come upon again in later rows."""
    v, u = np.mgrid[0:60, 0:80].astype(np.float32)
    planes = np.stack([0.03 * u, 0.02 * v, 2 + np.sin(u / 9) * np.cos(v / 7)]).astype(np.float32)
    planes[:, 20:30, 40:60] = np.nan
    planes[2, 5, 5] = np.inf
    begins = voxel_borders(planes, voxel_size_m)
    points = planes.reshape(3, -1).T
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if voxel_size_m == 0:
        np.testing.assert_array_equal(begins, known)
        return
    cells = np.floor(points[known] / voxel_size_m).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    np.testing.assert_array_equal(
        begins[first_per_voxel(points[begins], voxel_size_m)], known[np.sort(first)]
    )
    # Most pixels lie where their neighbours do.
    assert len(first) <= len(begins) < len(known)
    if voxel_size_m > 0.1:
        assert len(begins) < len(known) / 4
