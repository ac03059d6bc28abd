"""message_filters and image_transport: which messages find each other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from helpers.consumer_rules import ExactTime, camera_info_topic, ns

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left')
OF_A_CAMERA = ('depth/image', 'depth/camera_info', 'color/image', 'color/camera_info', 'points')
QUEUE = 5
"""Of depth_image_proc, the shortest that a consumer has by default."""


def inputs_of(camera: str) -> list[str]:
    return [f'/{camera}/{topic}' for topic in OF_A_CAMERA]


@pytest.mark.parametrize('camera', CAMERAS)
def test_every_instant_is_one_exact_set(metres: Taken, camera: str) -> None:
    found: list[tuple[Any, ...]] = []
    keys = [*inputs_of(camera), '/odometry']
    exact = ExactTime(len(keys), QUEUE, found.append)
    for key, message in metres.arrived:
        if key in keys:
            exact.add(keys.index(key), message)
    stamps = [ns(parts[0].header.stamp) for parts in found]
    # What came before all subscriptions were there may be incomplete, and nothing later.
    assert tuple(s for s in stamps if s in metres.stamps) == metres.stamps
    assert not set(exact.dropped) & set(metres.stamps)


@pytest.mark.parametrize('camera', CAMERAS)
def test_all_of_a_camera_is_in_one_frame(metres: Taken, camera: str) -> None:
    for key in inputs_of(camera):
        frames = {message.header.frame_id for message in metres.of(key)}
        assert frames == {metres.frame_ids[camera]}, key


def test_stamps_of_a_topic_rise(metres: Taken) -> None:
    for key in (*inputs_of('front'), *inputs_of('left'), '/odometry', '/points'):
        assert tuple(ns(m.header.stamp) for m in metres.of(key)) == metres.stamps, key


def test_the_calibration_is_beside_its_image(metres: Taken) -> None:
    for camera in CAMERAS:
        for kind in ('depth', 'color'):
            image, info = f'/{camera}/{kind}/image', f'/{camera}/{kind}/camera_info'
            assert camera_info_topic(image) == info
            assert len(metres.of(image)) == len(metres.of(info)) == len(metres.stamps)


@pytest.mark.ros_install('message_filters')
def test_the_synchroniser_of_ros_finds_the_same_sets(metres: Taken) -> None:
    filters = import_module('message_filters')
    keys = inputs_of('front')
    sources = {key: filters.SimpleFilter() for key in keys}
    found: list[tuple[Any, ...]] = []
    synchroniser = filters.TimeSynchronizer(list(sources.values()), QUEUE)
    synchroniser.registerCallback(lambda *parts: found.append(parts))
    for key, message in metres.arrived:
        if key in sources:
            sources[key].signalMessage(message)
    stamps = [ns(parts[0].header.stamp) for parts in found]
    assert tuple(s for s in stamps if s in metres.stamps) == metres.stamps


def test_cameras_apart_keep_their_own_stamps_between_two_poses(ros_domain_id: int) -> None:
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import CameraInfo, Image

    from helpers.fault_rig import start_node
    from helpers.ros_rig import RosRobot

    apart_ns = 5_000_000
    with (
        start_node(ros_domain_id, CAMERAS, 'publish_tf:=true') as process,
        RosRobot(ros_domain_id, CAMERAS) as robot,
    ):
        process.wait_for_line('ready')
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        keys = [robot.listen(Image, f'/left/{kind}/image') for kind in ('depth', 'color')]
        keys += [
            robot.listen(CameraInfo, f'/left/{kind}/camera_info') for kind in ('depth', 'color')
        ]
        robot.listen(Odometry, '/odometry')

        def send() -> int:
            stamp_ns = robot.send(['front'])
            return robot.send(['left'], stamp_ns + apart_ns)

        robot.prime(send)
        stamps = []
        for _ in range(3):
            stamps.append(send())
            # All that a consumer of one camera reads has the stamp of that camera.
            for key in keys:
                robot.wait_stamp(key, stamps[-1])
            robot.wait_stamp('/odometry', stamps[-1] - apart_ns)
        poses = [ns(m.header.stamp) for m in robot.messages('/odometry')]
        # The pose is of the earliest camera, so the next one is needed to interpolate.
        assert {stamp_ns - apart_ns for stamp_ns in stamps} <= set(poses)
        assert all(min(poses) < stamp_ns < max(poses) for stamp_ns in stamps[:-1])
