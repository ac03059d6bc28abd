"""Trajectories in the layout of KITTI, read as numbers separated by blanks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from da3_ros.export.ledger import Ledger, write_ledger
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.sources.trajectory_files import read_kitti, read_times
from helpers.export_scenes import (
    WORLD_STAMPS_NS,
    make_view,
    synthetic_scene,
    synthetic_world,
    two_walls,
)


def test_base_and_cameras_stand_where_the_synthetic_world_has_them(tmp_path: Path) -> None:
    world = synthetic_world()
    report = export_scene(synthetic_scene(world), 'kitti', tmp_path)
    assert report.points == 0
    names = ('base', 'camera_front', 'camera_left', 'camera_right')
    assert [f.relative_to(tmp_path.resolve()).as_posix() for f in report.files] == [
        f'kitti/{name}{part}.txt' for name in names for part in ('', '_times')
    ]
    for name in names:
        rows = np.loadtxt(tmp_path / 'kitti' / f'{name}.txt')
        camera = name.removeprefix('camera_')
        truth = [
            world.world_from_base(t) if name == 'base' else world.world_from_camera(camera, t)
            for t in WORLD_STAMPS_NS
        ]
        np.testing.assert_allclose(rows.reshape(-1, 3, 4), np.array(truth)[:, :3], atol=1e-10)
        stamps = read_times(tmp_path / 'kitti' / f'{name}_times.txt')
        assert stamps == list(WORLD_STAMPS_NS)
        file = read_kitti(tmp_path / 'kitti' / f'{name}.txt', stamps)
        assert [pose.stamp_ns for pose in file.poses] == list(WORLD_STAMPS_NS)


def test_poses_and_times_are_sorted_by_stamp(tmp_path: Path) -> None:
    stamps = [1_700_000_000_000_000_007, 3, 1_700_000_000_000_000_006]
    views = []
    for place, stamp in enumerate(stamps):
        pose = np.eye(4)
        pose[0, 3] = place
        views.append(replace(make_view(stamp), world_from_camera=pose))
    export_scene(ExportScene(tuple(views), is_metric=True), 'kitti', tmp_path)
    times = (tmp_path / 'kitti' / 'camera_front_times.txt').read_text().split()
    assert times == ['0.000000003', '1700000000.000000006', '1700000000.000000007']
    rows = np.loadtxt(tmp_path / 'kitti' / 'camera_front.txt')
    assert rows[:, 3].tolist() == [1, 2, 0]


def test_a_caution_lies_beside_and_goes_with_the_next_export(tmp_path: Path) -> None:
    write_ledger(Ledger(tmp_path, {}))
    scene = replace(two_walls(), caution='random weights')
    files = export_scene(scene, 'kitti', tmp_path).files
    assert [file.name for file in files] == [
        'camera_front.txt', 'camera_front_times.txt', 'caution.txt',
    ]  # fmt: skip
    assert files[2].read_text() == 'random weights\n'
    export_scene(two_walls(), 'kitti', tmp_path, overwrite=True)
    assert sorted(path.name for path in (tmp_path / 'kitti').iterdir()) == [
        'camera_front.txt', 'camera_front_times.txt',
    ]  # fmt: skip
