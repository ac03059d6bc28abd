"""The node computes with a sound number of threads, and says with how many."""

import pytest

from helpers.ros_process import RosProcess

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from da3_ros.process import node_threads, usable_cores

pytestmark = pytest.mark.ros
NODE = 'da3_ros.ros.main'
# What this process has settled or been given is not the node's business.
NOTHING_SET = {'OMP_NUM_THREADS': '', 'OMP_WAIT_POLICY': '', 'DA3_ROS_SETTLED_THREADS': ''}


def threads_of(node: RosProcess) -> int:
    return int(node.wait_for_line(r'ready: (\d+) threads? for the network', 60.0).group(1))


@pytest.mark.parametrize(
    ('parameter', 'variables', 'expected'),
    [
        (0, {}, node_threads(usable_cores())),
        (0, {'OMP_NUM_THREADS': '3'}, 3),
        (2, {'OMP_NUM_THREADS': '3'}, 2),
    ],
)
def test_the_ready_line_says_the_number(
    ros_domain_id: int, parameter: int, variables: dict[str, str], expected: int
) -> None:
    arguments = ['--ros-args', '-p', 'model:=da3-nano', '-p', f'threads:={parameter}']
    with RosProcess(
        NODE, *arguments, domain_id=ros_domain_id, variables=NOTHING_SET | variables
    ) as node:
        assert threads_of(node) == expected
