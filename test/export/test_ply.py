"""PLY points, read by trimesh and by the layout that the header declares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import pytest
import trimesh

from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from helpers.export_scenes import (
    make_view,
    synthetic_scene,
    synthetic_world,
    true_points,
    two_walls,
)

ALL = ExportOptions(conf_thresh_percentile=0.0)


def read(path: Path) -> tuple[list[str], NDArray[np.void]]:
    """Return the header's lines and the vertices by the types that they declare."""
    head, body = path.read_bytes().split(b'end_header\n', 1)
    lines = head.decode('ascii').splitlines()
    kinds = {'float': '<f4', 'uchar': 'u1'}
    properties = [line.split()[1:] for line in lines if line.startswith('property ')]
    layout = np.dtype([(name, kinds[kind]) for kind, name in properties])
    return lines, np.frombuffer(body, layout)


def xyz_of(vertices: NDArray[np.void]) -> NDArray[np.float32]:
    return np.stack([vertices[axis] for axis in 'xyz'], axis=1)


def test_vertices_are_the_points_of_the_synthetic_world(tmp_path: Path) -> None:
    world = synthetic_world()
    scene = synthetic_scene(world)
    path = export_scene(scene, 'ply', tmp_path, options=ALL).files[0]
    lines, vertices = read(path)
    assert path.name == 'points.ply'
    assert lines[:2] == ['ply', 'format binary_little_endian 1.0']
    assert lines[2] == 'comment world frame (z up), metres'
    np.testing.assert_allclose(xyz_of(vertices), true_points(world, scene), atol=1e-5)
    confidence = np.concatenate(
        [v.confidence.ravel() for v in scene.views if v.confidence is not None]
    )
    np.testing.assert_array_equal(vertices['confidence'], confidence)


def test_trimesh_reads_points_and_colours(tmp_path: Path) -> None:
    scene = two_walls()
    report = export_scene(scene, 'ply', tmp_path, options=ALL)
    loaded = trimesh.load(report.files[0])
    assert isinstance(loaded, trimesh.PointCloud)
    assert len(loaded.vertices) == report.points == 2 * (12 * 16 - 1)
    np.testing.assert_allclose(loaded.vertices[:191, 0], 3.0, atol=1e-6)
    np.testing.assert_allclose(loaded.vertices[191:, 1], 3.0, atol=1e-6)
    first = scene.views[0].image.reshape(-1, 3)[1:]
    np.testing.assert_array_equal(loaded.colors[:191, :3], first)


def test_confidence_is_left_out_when_a_view_has_none(tmp_path: Path) -> None:
    views = two_walls().views
    scene = ExportScene((views[0], replace(views[1], confidence=None)), is_metric=False)
    lines, vertices = read(export_scene(scene, 'ply', tmp_path).files[0])
    assert vertices.dtype.names == ('x', 'y', 'z', 'red', 'green', 'blue')
    assert 'comment world frame (z up), unit unknown' in lines
    assert len(vertices) > 191


@pytest.mark.parametrize(('percentile', 'share'), [(0.0, 1.0), (50.0, 0.5), (100.0, 1 / 16)])
def test_the_percentile_keeps_its_share_of_the_points(
    tmp_path: Path, percentile: float, share: float
) -> None:
    """Confidence is the same all along a column of the test view and rises with u."""
    scene = ExportScene((make_view(),), is_metric=True)
    options = ExportOptions(conf_thresh_percentile=percentile)
    _, vertices = read(export_scene(scene, 'ply', tmp_path, options=options).files[0])
    assert len(vertices) == int(12 * 16 * share) - (percentile == 0.0)


@pytest.mark.parametrize('wanted', [1, 2, 3, 100, 381, 382, 1000])
def test_thinning_keeps_exactly_so_many_different_points_of_all_views(
    tmp_path: Path, wanted: int
) -> None:
    scene = two_walls()
    options = ExportOptions(conf_thresh_percentile=0.0, num_max_points=wanted)
    _, few = read(export_scene(scene, 'ply', tmp_path / 'few', options=options).files[0])
    _, every = read(export_scene(scene, 'ply', tmp_path / 'all', options=ALL).files[0])
    assert len(few) == min(wanted, 382)
    assert len(np.unique(few)) == len(few)
    assert np.isin(few, every).all()
    of_first = int(np.isin(few, every[:191]).sum())
    assert abs(len(few) - 2 * of_first) <= 1
