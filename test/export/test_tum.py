"""Trajectories, read as whitespace-separated text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.export.ledger import Ledger, write_ledger
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.export.tum import stamp_text
from helpers.export_scenes import (
    WORLD_STAMPS_NS,
    make_view,
    synthetic_scene,
    synthetic_world,
    two_walls,
)


def test_base_and_cameras_stand_where_the_synthetic_world_has_them(tmp_path: Path) -> None:
    world = synthetic_world()
    report = export_scene(synthetic_scene(world), 'tum', tmp_path)
    assert report.points == 0
    assert [f.relative_to(tmp_path.resolve()).as_posix() for f in report.files] == [
        'tum/base.txt', 'tum/camera_front.txt', 'tum/camera_left.txt', 'tum/camera_right.txt',
    ]  # fmt: skip
    for path in report.files:
        rows = np.loadtxt(path, comments='#')
        assert rows.shape == (2, 8)
        for stamp, row in zip(WORLD_STAMPS_NS, rows, strict=True):
            name = path.stem.removeprefix('camera_')
            truth = (
                world.world_from_base(stamp)
                if name == 'base'
                else world.world_from_camera(name, stamp)
            )
            np.testing.assert_allclose(row[1:4], truth[:3, 3], atol=1e-10)
            matrix = Rotation.from_quat(row[4:]).as_matrix()
            np.testing.assert_allclose(matrix, truth[:3, :3], atol=1e-10)


@pytest.mark.parametrize(
    ('stamp_ns', 'text'),
    [
        (1_700_000_000_123_456_789, '1700000000.123456789'),
        (1_700_000_000_000_000_001, '1700000000.000000001'),
        (0, '0.000000000'),
        (5, '0.000000005'),
        (-1, '-0.000000001'),
        (-1_500_000_000, '-1.500000000'),
    ],
)
def test_stamps_keep_every_nanosecond(stamp_ns: int, text: str) -> None:
    assert stamp_text(stamp_ns) == text


def test_lines_are_sorted_by_stamp_and_start_with_it(tmp_path: Path) -> None:
    stamps = [1_700_000_000_000_000_007, 3, 1_700_000_000_000_000_006]
    scene = ExportScene(tuple(make_view(s) for s in stamps), is_metric=True)
    text = export_scene(scene, 'tum', tmp_path).files[0].read_text()
    lines = [line for line in text.splitlines() if not line.startswith('#')]
    assert [line.split()[0] for line in lines] == [
        '0.000000003', '1700000000.000000006', '1700000000.000000007',
    ]  # fmt: skip
    assert all(len(line.split()) == 8 for line in lines)


def test_a_scene_without_base_has_cameras_only(tmp_path: Path) -> None:
    assert [f.name for f in export_scene(two_walls(), 'tum', tmp_path).files] == [
        'camera_front.txt'
    ]


def test_a_camera_that_left_the_scene_leaves_no_file(tmp_path: Path) -> None:
    view = make_view()
    other = replace(view, id=replace(view.id, camera='back'))
    write_ledger(Ledger(tmp_path, {}))
    export_scene(ExportScene((view, other), is_metric=True), 'tum', tmp_path)
    export_scene(ExportScene((view,), is_metric=True), 'tum', tmp_path, overwrite=True)
    assert [p.name for p in (tmp_path / 'tum').iterdir()] == ['camera_front.txt']
