"""Cameras that come and go, change their size, or cannot be heard: over real DDS."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from helpers.fault_rig import HELPERS, check_base, newest, send_until, start_node, status_of
from helpers.ros_process import RosProcess
from helpers.ros_rig import BEST_EFFORT, LATCHED, SIZE, RosRobot

pytestmark = pytest.mark.ros
FOLLOWER = HELPERS / 'follower_camera.py'
SMALL = ImageSize(60, 80)


def test_an_unplugged_camera_is_named_the_other_goes_on_and_it_comes_back(
    ros_domain_id: int,
) -> None:
    def plug_in() -> RosProcess:
        driver = RosProcess(FOLLOWER, 'right', 'front', domain_id=ros_domain_id)
        driver.wait_for_line('plugged in')
        return driver

    def is_whole(report: WindowReport) -> bool:
        return not report.late_cameras and [v.camera for v in report.views] == ['front', 'right']

    parameters = ('min_cameras:=1', 'sync_wait_s:=0.05')
    with (
        start_node(ros_domain_id, ['front', 'right'], *parameters) as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(['front', 'right'])
        for kind, topic in ((WindowReport, 'window'), (Odometry, 'odometry')):
            robot.listen(kind, topic)
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.wait_for_node()
        with plug_in() as driver:
            robot.prime(robot.send)
            send_until(robot, 'window', is_whole)
            # Where the world began: anew, when the second camera came after the first.
            begun = [m for m in robot.messages('window') if m.alignment_method == 'first']
            robot.start_ns = ns_from_stamp(begun[-1].header.stamp)
            driver.kill()
        alone = send_until(robot, 'window', lambda m: list(m.late_cameras) == ['right'])
        assert [view.camera for view in alone.views] == ['front']

        def names_it(message: DiagnosticArray) -> bool:
            status = status_of(message, 'camera right')
            return status.level == DiagnosticStatus.ERROR and '/right/image_raw' in status.message

        named = send_until(robot, '/diagnostics', names_it)
        # Its stamps are not of today, which is worth a warning.
        assert status_of(named, 'camera front').level == DiagnosticStatus.WARN
        assert status_of(named).level == DiagnosticStatus.OK
        node.wait_for_line('camera right: no images on /right/image_raw for')
        with plug_in():
            whole = send_until(robot, 'window', is_whole)
            send_until(
                robot,
                '/diagnostics',
                lambda m: 'no images' not in status_of(m, 'camera right').message,
            )
        # The same node in the same world, though not every window of both cameras.
        assert whole.alignment_method == 'shared_views'
        assert whole.window_index > alone.window_index
        stamp_ns = ns_from_stamp(whole.header.stamp)
        check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)
        assert node.stop() == 0
        assert 'Traceback' not in node.output


def test_sizes_and_k_follow_a_resolution_that_changes_within_the_stream(
    ros_domain_id: int,
) -> None:
    kinds = {
        'depth/image': Image,
        'depth/camera_info': CameraInfo,
        'depth/confidence': Image,
        'color/image': Image,
        'color/camera_info': CameraInfo,
        'points': PointCloud2,
    }
    with (
        start_node(ros_domain_id, ['front', 'left']) as node,
        RosRobot(ros_domain_id, ['front', 'left']) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(['front', 'left'])
        robot.wait_for_node()
        robot.listen(WindowReport, 'window')
        robot.listen(Odometry, 'odometry')
        for topic, kind in kinds.items():
            robot.listen(kind, f'front/{topic}')
        robot.prime(robot.send)
        first = newest(robot, 'window')
        for size in (SMALL, SIZE, SMALL):
            # The truth estimator answers at half the input's size.
            half = ImageSize(size.height // 2, size.width // 2)

            def send(size: ImageSize = size) -> None:
                stamp_ns = robot.next_stamp()
                robot.infos['front'].publish(robot.info('front', stamp_ns, size))
                robot.images['front'].publish(robot.image('front', stamp_ns, size))
                robot.send(['left'], stamp_ns)

            depth = send_until(
                robot,
                'front/depth/image',
                lambda m, s=half: (m.height, m.width) == (s.height, s.width),  # type: ignore[misc]
                send,
            )
            stamp_ns = ns_from_stamp(depth.header.stamp)
            K = robot.world.intrinsics('front', half).K
            for topic in kinds:
                message = robot.wait_stamp(f'front/{topic}', stamp_ns)
                assert (message.height, message.width) == (half.height, half.width), topic
                if topic.endswith('camera_info'):
                    np.testing.assert_allclose(np.reshape(message.k, (3, 3)), K, rtol=1e-9)
                    np.testing.assert_allclose(np.reshape(message.p, (3, 4))[:, :3], K, rtol=1e-9)
            truth = robot.world.depth('front', stamp_ns, half)
            values = np.frombuffer(bytes(depth.data), '<f4').reshape(truth.shape)
            np.testing.assert_allclose(values, truth, rtol=1e-5)
            check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)
        reports = robot.messages('window')
        indices = [report.window_index for report in reports]
        assert indices == sorted(indices)
        later = [r.alignment_method for r in reports if r.window_index > first.window_index]
        assert set(later) == {'shared_views'}


def test_a_mismatch_of_qos_is_named_on_both_sides(ros_domain_id: int) -> None:
    with (
        start_node(ros_domain_id, ['front'], 'image_reliability:=reliable') as node,
        RosRobot(ros_domain_id, []) as robot,
    ):
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        unheard = robot.node.create_publisher(Image, 'front/image_raw', BEST_EFFORT)
        said = r'/front/image_raw .*incompatible QoS: robot publishes best effort'
        node.wait_for_line(f'camera front: no images on {said}')

        def names_it(message: DiagnosticArray) -> bool:
            status = status_of(message, 'camera front')
            return status.level == DiagnosticStatus.ERROR and 'incompatible' in status.message

        send_until(
            robot,
            '/diagnostics',
            names_it,
            lambda: unheard.publish(robot.image('front', robot.next_stamp())),
        )
        assert not [line for line in node.lines if 'the world starts' in line]
        # A reader that asks for more than is offered.
        robot.listen(Image, 'front/depth/image', LATCHED)
        node.wait_for_line(r'front/depth/image.*incompatible QoS.*DURABILITY')
        # Whoever is heard is used, beside the one who is not.
        heard = robot.node.create_publisher(Image, 'front/image_raw', 10)
        robot.listen(WindowReport, 'window')
        send_until(
            robot,
            'window',
            lambda report: True,
            lambda: heard.publish(robot.image('front', robot.next_stamp())),
        )
        assert not robot.messages('front/depth/image')


def test_a_late_tf_static_turns_a_world_of_its_own_unit_into_metres(ros_domain_id: int) -> None:
    cameras = ['front', 'left']
    with (
        start_node(ros_domain_id, cameras) as node,
        RosRobot(ros_domain_id, cameras) as robot,
    ):
        node.wait_for_line('ready')
        robot.wait_for_node()
        robot.listen(WindowReport, 'window')
        robot.listen(Odometry, 'odometry')
        robot.listen(TFMessage, '/tf')
        robot.prime(robot.send)
        node.wait_for_line('cameras sit is not known: front, left')
        before = newest(robot, 'window')
        assert not before.is_metric
        children = {t.child_frame_id for m in robot.messages('/tf') for t in m.transforms}
        assert children == {robot.frame_id(camera) for camera in cameras}
        robot.publish_rig(['front'])
        # One camera alone gives no metre, but the place of the base.
        partly = {'base_link', robot.frame_id('left')}
        send_until(robot, '/tf', lambda m: {t.child_frame_id for t in m.transforms} == partly)
        node.wait_for_line('/tf_static now connects front to the base frame: the world starts')
        robot.publish_rig(cameras)
        report = send_until(robot, 'window', lambda m: m.is_metric)
        node.wait_for_line('/tf_static now connects left to the base frame: the world starts')
        assert (report.alignment_method, report.scale_source) == ('first', 'rig')
        robot.start_ns = ns_from_stamp(report.header.stamp)
        later = send_until(robot, 'window', lambda m: m.window_index > 2)
        assert later.is_metric
        stamp_ns = ns_from_stamp(later.header.stamp)
        check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)
        transforms = robot.wait_stamp('/tf', stamp_ns).transforms
        assert [(t.header.frame_id, t.child_frame_id) for t in transforms] == [
            ('odom', 'base_link')
        ]


def test_a_camera_that_begins_late_joins_the_world_of_the_others(ros_domain_id: int) -> None:
    cameras = ['front', 'left', 'right']
    parameters = ('min_cameras:=1', 'sync_wait_s:=0.05')
    with (
        start_node(ros_domain_id, cameras, *parameters) as node,
        RosRobot(ros_domain_id, cameras[:2]) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(cameras)
        robot.listen(WindowReport, 'window')
        robot.listen(Odometry, 'odometry')
        robot.wait_for_node()
        robot.prime(robot.send)
        send_until(robot, 'window', lambda m: m.is_metric)
        begun = [m for m in robot.messages('window') if m.alignment_method == 'first']
        robot.start_ns = ns_from_stamp(begun[-1].header.stamp)
        driver = RosProcess(FOLLOWER, 'right', 'front', domain_id=ros_domain_id)
        with driver:
            driver.wait_for_line('plugged in')
            whole = send_until(
                robot, 'window', lambda m: {v.camera for v in m.views} == set(cameras)
            )
        node.wait_for_line('right joined the rig')
        assert whole.alignment_method == 'shared_views'
        later = [m for m in robot.messages('window') if m.alignment_method == 'first']
        assert len(later) == len(begun)
        stamp_ns = ns_from_stamp(whole.header.stamp)
        check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)
