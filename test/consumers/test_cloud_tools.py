"""Clouds opened by the tools of PCL and by CloudCompare, where somebody has installed them.

On Debian and Ubuntu: `apt-get install pcl-tools cloudcompare`.
"""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from helpers.consumer_rules import pcd_of, pixels, rgb_by_rviz, xyz
from helpers.export_scenes import complete, synthetic_scene, synthetic_world, two_walls
from helpers.ply_files import Vertices, read_ply, write_ply

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

ALL = ExportOptions(conf_thresh_percentile=0.0)
TOLERANCE_M = 1e-5

needs_pcl = pytest.mark.skipif(
    shutil.which('pcl_ply2pcd') is None, reason='no tools of PCL here: apt-get install pcl-tools'
)
needs_cloudcompare = pytest.mark.skipif(
    shutil.which('CloudCompare') is None,
    reason='no CloudCompare here: apt-get install cloudcompare',
)


def run(folder: Path, *words: str | Path) -> str:
    """Run a tool that must end well and without a warning; return its output."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
        env={
            **os.environ,
            'QT_QPA_PLATFORM': 'offscreen',
            # Settings of its own: what it remembers of an earlier use changes what it reads.
            'HOME': str(folder),
            'XDG_RUNTIME_DIR': str(folder),
        },
    )
    assert done.returncode == 0, done.stdout
    trouble = re.search(
        r'(?i)\b(warn|error|fail|unhandled|invalid|unable|corrupt)\w*', done.stdout
    )
    assert trouble is None, done.stdout
    return done.stdout


def by_pcl(folder: Path, ply: Path) -> Path:
    """Return a PLY file as PCL reads and writes it, by way of PCD."""
    text = run(folder, 'pcl_ply2pcd', ply, 'through.pcd')
    assert re.search(r'\d+ points', text)
    run(folder, 'pcl_pcd2ply', '-use_camera', '0', 'through.pcd', 'through.ply')
    return folder / 'through.ply'


def by_cloudcompare(folder: Path, ply: Path) -> Path:
    """Return a PLY file as CloudCompare reads and writes it."""
    run(
        folder, 'CloudCompare', '-SILENT', '-NO_TIMESTAMP', '-O', ply,
        '-C_EXPORT_FMT', 'PLY', '-SAVE_CLOUDS', 'FILE', folder / 'through.ply',
    )  # fmt: skip
    return folder / 'through.ply'


TOOLS = [
    pytest.param(by_pcl, id='pcl', marks=needs_pcl),
    pytest.param(by_cloudcompare, id='cloudcompare', marks=needs_cloudcompare),
]
Tool = Callable[[Path, Path], Path]


def check_same(through: Vertices, ours: Vertices) -> None:
    """Check that points came through in order, at their places, with their colours."""
    assert len(through.xyz) == len(ours.xyz)
    np.testing.assert_allclose(through.xyz, ours.xyz, atol=TOLERANCE_M)
    np.testing.assert_array_equal(through.rgb, ours.rgb)


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('scene', [two_walls, lambda: synthetic_scene(synthetic_world())])
def test_an_exported_cloud_opens(
    tmp_path: Path, tool: Tool, scene: Callable[[], ExportScene]
) -> None:
    ply = export_scene(scene(), 'ply', tmp_path / 'out', options=ALL).files[0]
    ours = read_ply(ply)
    assert len(ours.xyz) > 300
    check_same(read_ply(tool(tmp_path, ply)), ours)


@needs_pcl
def test_pcl_keeps_the_confidence(tmp_path: Path) -> None:
    ply = export_scene(two_walls(), 'ply', tmp_path / 'out', options=ALL).files[0]
    through, ours = read_ply(by_pcl(tmp_path, ply)), read_ply(ply)
    np.testing.assert_allclose(through.other['confidence'], ours.other['confidence'], atol=1e-6)


@needs_pcl
def test_pcl_knows_every_column_of_gaussians(tmp_path: Path) -> None:
    scene = complete(two_walls())
    [ply] = export_scene(scene, 'gs_ply', tmp_path / 'out', options=ALL).files
    text = run(tmp_path, 'pcl_ply2pcd', ply, 'gaussians.pcd')
    (found,) = re.findall(r'Available dimensions: (.*)', text)
    assert {'x', 'y', 'z', 'opacity', 'scale_0', 'rot_3', 'f_dc_0'} <= set(found.split())


@needs_pcl
@pytest.mark.ros
def test_pcl_shows_a_published_cloud_as_its_image(metres: Taken, tmp_path: Path) -> None:
    cloud = metres.of('/front/points')[0]
    (tmp_path / 'cloud.pcd').write_bytes(pcd_of(cloud))
    run(tmp_path, 'pcl_pcd2png', 'cloud.pcd', 'cloud.png', '--field', 'rgb', '--no-nan')
    shown = cv2.imread(str(tmp_path / 'cloud.png'), cv2.IMREAD_COLOR)
    image = pixels(metres.of('/front/color/image')[0])
    known = np.isfinite(xyz(cloud)).all(axis=-1)
    assert shown is not None
    assert shown.shape == image.shape
    np.testing.assert_array_equal(shown[known], image[known][:, ::-1])


@needs_pcl
@pytest.mark.ros
@pytest.mark.parametrize('topic', ['/points', '/front/points'])
def test_pcl_opens_a_published_cloud(metres: Taken, tmp_path: Path, topic: str) -> None:
    cloud = metres.of(topic)[0]
    (tmp_path / 'cloud.pcd').write_bytes(pcd_of(cloud))
    run(tmp_path, 'pcl_pcd2ply', '-use_camera', '0', 'cloud.pcd', 'cloud.ply')
    check_published(read_ply(tmp_path / 'cloud.ply'), cloud)


@needs_cloudcompare
@pytest.mark.ros
def test_cloudcompare_opens_a_published_cloud(metres: Taken, tmp_path: Path) -> None:
    # PLY, as the package of Debian has no plugin for PCD; the merged cloud, which has no NaN:
    # CloudCompare reads NaN as a point at the origin.
    cloud = metres.of('/points')[0]
    ply = tmp_path / 'cloud.ply'
    write_ply(ply, xyz(cloud).reshape(-1, 3), rgb_by_rviz(cloud).reshape(-1, 3))
    check_published(read_ply(by_cloudcompare(tmp_path, ply)), cloud)


def check_published(through: Vertices, cloud: Any) -> None:
    """Check the points of a cloud that have a place, with their colours."""
    points = xyz(cloud).reshape(-1, 3)
    known = np.isfinite(points).all(axis=1)
    kept = np.isfinite(through.xyz).all(axis=1)
    assert known.any()
    np.testing.assert_allclose(through.xyz[kept], points[known], atol=TOLERANCE_M)
    np.testing.assert_array_equal(through.rgb[kept], rgb_by_rviz(cloud).reshape(-1, 3)[known])


@pytest.mark.ros
@pytest.mark.parametrize('tool', TOOLS)
def test_what_the_node_exports_opens(tmp_path: Path, ros_domain_id: int, tool: Tool) -> None:
    from da3_ros.msg import WindowReport
    from da3_ros.srv import ExportScene as ExportSceneService
    from helpers.fault_rig import start_node
    from helpers.lifecycle_client import LifecycleClient
    from helpers.ros_rig import RosRobot

    parameters = (f'export_dir:={tmp_path}', 'scene_sets:=3')
    with (
        start_node(ros_domain_id, ['front'], *parameters) as process,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        process.wait_for_line('ready')
        robot.publish_rig(['front'])
        robot.wait_for_node()
        robot.listen(WindowReport, 'window')
        robot.prime(robot.send)
        robot.wait_stamp('window', robot.send())
        client = LifecycleClient(robot)
        answer = client.call(ExportSceneService, 'export_scene', format='ply', path='out')
    assert answer.success, answer.message
    (file,) = answer.files
    ours = read_ply(tmp_path / file)
    assert len(ours.xyz) == answer.points > 0
    check_same(read_ply(tool(tmp_path, tmp_path / file)), ours)
