"""The page "from a bag to a metric point cloud": its commands, and where the points lie."""

from pathlib import Path
import re
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree
import trimesh

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.unproject import unproject
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.trajectory import START_NS
from helpers.cli import invoke
from helpers.doc_commands import ROOT, commands

PAGE = ROOT / 'docs' / 'bag_to_cloud.md'
# Small, so that the page takes seconds.
SMALL = ('--rate', '4', '--size', '160x120')


def test_three_commands_make_a_cloud_in_metres_on_the_surfaces_of_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The page's drive is the page's room; exact geometry in place of the default network.
    monkeypatch.setenv('DA3_MODEL', 'truth')
    shown = commands(PAGE)
    install, bag, cloud, *of_room = shown
    assert install[:2] == ['pip', 'install']
    assert [words[1] for words in of_room] == ['synthesize', 'bag', 'cloud']
    outputs = []
    for words in of_room[:1]:
        result = invoke(*words[1:], *SMALL)
        assert result.exit_code == 0, result.output
    Path('room.mcap').rename('drive.mcap')
    for words in (bag, cloud):
        result = invoke(*words[1:])
        assert result.exit_code == 0, (words, result.output, result.exception)
        outputs.append(result.output)
    Path('drive.mcap').rename('room.mcap')
    for words in of_room[1:]:
        result = invoke(*words[1:])
        assert result.exit_code == 0, (words, result.output, result.exception)
    assert Path('cloud.ply').read_bytes() == Path('room.ply').read_bytes()
    assert all('metres' in output for output in outputs)
    points: Any = trimesh.load('cloud.ply')
    found = re.search(r'wrote (\d+) points', outputs[-1])
    assert found
    assert len(points.vertices) == int(found[1]) > 1000
    _assert_on_surfaces(np.asarray(points.vertices))


def _assert_on_surfaces(odom_points: np.ndarray) -> None:
    """Hold the points against exact depth of all views: none elsewhere, none missing."""
    world = make_family_world()
    size = ImageSize(60, 80)
    world_from_odom = world.world_from_base(START_NS)
    points = odom_points @ world_from_odom[:3, :3].T + world_from_odom[:3, 3]
    exact = []
    for index in range(16):
        stamp_ns = START_NS + index * 250_000_000
        for camera in world.rig.cameras:
            depth = world.depth(camera, stamp_ns, size)
            pose = world.world_from_camera(camera, stamp_ns)
            seen = unproject(depth, world.intrinsics(camera, size)).reshape(-1, 3)
            seen = seen[np.isfinite(seen).all(axis=1)]
            exact.append(seen @ pose[:3, :3].T + pose[:3, 3])
    truth = np.concatenate(exact)
    # Pixels of 80 columns are up to 8 cm apart at the far wall, voxels have 5 cm.
    to_truth, _ = cKDTree(truth).query(points)
    to_cloud, _ = cKDTree(points).query(truth)
    assert np.quantile(to_truth, 0.99) < 0.1
    assert np.quantile(to_cloud, 0.95) < 0.1
