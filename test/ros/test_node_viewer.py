"""The node with `viewer:=true`: a page that shows the true room, and work done for browsers."""

from __future__ import annotations

from collections.abc import Sequence
import itertools
import socket

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
pytest.importorskip('viser', reason='the live viewer needs viser: pip install "viser>=1.1"')
from nav_msgs.msg import Path
from std_srvs.srv import Trigger

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert, transform_points
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from da3_ros.types import Mask
from helpers.lifecycle_client import CLEANUP, CONFIGURE, LifecycleClient
from helpers.ros_process import RosProcess
from helpers.ros_rig import LATCHED, SIZE, RosRobot
from helpers.viser_client import SceneClient

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left')


def _arguments(*parameters: str) -> Sequence[str]:
    common = ['model:=truth', 'cameras:=[front, left]', 'viewer:=true']
    return ['--ros-args', *(a for p in (*common, *parameters) for a in ('-p', p))]


def _are_seen(robot: RosRobot, points: FloatArray, stamps: Sequence[int]) -> Mask:
    """Return which points (P,) of the room are, to 1 mm, the depth of a pixel of a sent image."""
    size = ImageSize(SIZE.height // 2, SIZE.width // 2)  # as the truth estimator answers
    seen = np.zeros(len(points), bool)
    for camera, stamp_ns in itertools.product(CAMERAS, stamps):
        camera_from_room = invert(robot.world.world_from_camera(camera, stamp_ns))
        here = transform_points(camera_from_room, points)
        pixels = robot.world.intrinsics(camera, size).project(here)
        near = np.round(np.nan_to_num(pixels, nan=-1.0)).astype(int)
        column, row = near[:, 0].clip(0, size.width - 1), near[:, 1].clip(0, size.height - 1)
        depth = robot.world.depth(camera, stamp_ns, size)[row, column]
        on_pixel = np.abs(pixels - np.stack([column, row], axis=1)).max(axis=1) < 0.01
        seen |= on_pixel & (np.abs(here[:, 2] - depth) < 1e-3)
    return seen


def test_browser_sees_the_true_room(ros_domain_id: int) -> None:
    arguments = _arguments('viewer_port:=0', 'window:=2')
    with RosProcess('da3_ros.ros.node.main', *arguments, domain_id=ros_domain_id) as process:
        url = process.wait_for_line(r'the live viewer is at (http://127\.0\.0\.1:\d+)').group(1)
        process.wait_for_line('ready')
        with RosRobot(ros_domain_id, CAMERAS) as robot, SceneClient(url) as client:
            robot.publish_rig(CAMERAS)
            robot.wait_for_node()
            way = robot.listen(Path, 'path', LATCHED)
            robot.prime(robot.send)
            for _ in range(3):
                robot.send()
            client.wait_for(lambda: len(client.below('/world/cameras')) == len(CAMERAS))

            def is_true() -> bool:
                stamps = [ns_from_stamp(p.header.stamp) for p in robot.messages(way)[-1].poses]
                # The world begins again when the rig becomes known late.
                room_from_world = robot.world.world_from_base(stamps[0])
                points = client.points('/world/clouds').astype(float)
                return bool(
                    len(points)
                    and _are_seen(robot, transform_points(room_from_world, points), stamps).all()
                )

            client.wait_for(is_true)

            reset = robot.node.create_client(Trigger, '/da3_node/reset')
            robot.wait(reset.service_is_ready, 'the reset service')
            reset.call_async(Trigger.Request())
            client.wait_for(lambda: len(client.points('/world/clouds')) == 0)
        assert process.stop() == 0


def test_only_a_browser_makes_work(ros_domain_id: int) -> None:
    arguments = _arguments('viewer_port:=0', 'window:=1', 'scene_sets:=0', 'publish_tf:=false')
    with RosProcess('da3_ros.ros.node.main', *arguments, domain_id=ros_domain_id) as process:
        url = process.wait_for_line(r'the live viewer is at (http://\S+)').group(1)
        process.wait_for_line('ready')
        with RosRobot(ros_domain_id, CAMERAS) as robot:
            robot.publish_rig(CAMERAS)
            robot.wait_for_node()
            for _ in range(5):
                robot.send()
            with SceneClient(url) as client:
                client.wait_for(lambda: bool(client.controls))
                assert not client.below('/world/clouds')
                assert 'Waiting for the first window' in client.status()
                while not client.below('/world/clouds'):
                    robot.send()
                    client.pause(0.1)


def test_page_lives_from_configure_to_cleanup(ros_domain_id: int) -> None:
    other = socket.create_server(('127.0.0.1', 0))
    port = other.getsockname()[1]
    arguments = _arguments(f'viewer_port:={port}', 'autostart:=false')
    with (
        other,
        RosProcess('da3_ros.ros.node.main', *arguments, domain_id=ros_domain_id) as process,
        RosRobot(ros_domain_id, CAMERAS) as robot,
    ):
        node = LifecycleClient(robot)
        assert not node.change(CONFIGURE), 'another program has the port'
        process.wait_for_line(f'configure failed.*port {port}.*viewer_port')
        assert node.state() == 'unconfigured'
        other.close()
        for _ in range(2):
            assert node.change(CONFIGURE), process.output
            with SceneClient(f'http://127.0.0.1:{port}') as client:
                client.wait_for(lambda: bool(client.controls))
                assert node.change(CLEANUP)
                client.wait_until_refused()
            with socket.create_server(('127.0.0.1', port)):
                pass
