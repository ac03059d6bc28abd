"""The shipped parameter file, a rig given by parameters, a namespace, another QoS."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from rclpy.qos import ReliabilityPolicy
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.msg import WindowReport
from da3_ros.synthetic.family_world import make_family_world
from helpers.ros_process import ROOT, RosProcess, reserved_domain_id
from helpers.ros_rig import LATCHED, RosRobot, matrix_of

pytestmark = pytest.mark.ros
BASE_FROM_FRONT = make_family_world().rig.calibration.base_from_camera['front']


@pytest.fixture(scope='module', name='robot')
def robot_fixture() -> Iterator[RosRobot]:
    quaternion_xyzw = quaternion_xyzw_from_matrix(BASE_FROM_FRONT[:3, :3])
    seven = [float(v) for v in (*BASE_FROM_FRONT[:3, 3], *quaternion_xyzw)]
    parameters = [
        'model:=truth',
        'cameras:=[front]',
        f'rig.front.base_from_camera:={seven}',
        'qos_overrides./front/image_raw.subscription.reliability:=reliable',
    ]
    arguments = ['--ros-args', '--params-file', str(ROOT / 'config' / 'da3.yaml')]
    arguments += [a for p in parameters for a in ('-p', p)]
    # The robot publishes front/...: remapped from the node's namespace.
    arguments += ['-r', '__ns:=/robot']
    arguments += ['-r', 'front/image_raw:=/front/image_raw']
    arguments += ['-r', 'front/camera_info:=/front/camera_info']
    with (
        reserved_domain_id() as domain_id,
        RosProcess('da3_ros.ros.node.main', *arguments, domain_id=domain_id) as node,
    ):
        node.wait_for_line('ready')
        with RosRobot(domain_id, ['front']) as robot:
            robot.listen(WindowReport, 'robot/window')
            robot.listen(TFMessage, '/tf')
            robot.listen(TFMessage, '/tf_static', LATCHED)
            robot.wait_for_node()
            robot.prime(robot.send, path='robot/path')
            yield robot


def test_the_node_places_cameras_that_only_parameters_know(robot: RosRobot) -> None:
    (static,) = robot.wait_for('/tf_static').transforms
    assert (static.header.frame_id, static.child_frame_id) == ('base_link', 'front_optical_frame')
    np.testing.assert_allclose(matrix_of(static.transform), BASE_FROM_FRONT, atol=1e-9)
    stamp_ns = robot.send()
    (moving,) = robot.wait_stamp('/tf', stamp_ns).transforms
    assert (moving.header.frame_id, moving.child_frame_id) == ('odom', 'base_link')


def test_qos_and_names_are_those_asked_for(robot: RosRobot) -> None:
    robot.wait(lambda: ('da3_node', '/robot') in robot.node.get_node_names_and_namespaces(), 'it')
    (image,) = robot.node.get_subscriptions_info_by_topic('/front/image_raw')
    (info,) = robot.node.get_subscriptions_info_by_topic('/front/camera_info')
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert image.qos_profile.reliability == ReliabilityPolicy.RELIABLE
