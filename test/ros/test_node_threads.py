"""The node computes with a sound number of threads, and says with how many."""

import os
import re
import subprocess
import sys

import pytest

from helpers.ros_process import RosProcess

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from da3_ros.process import node_threads, usable_cores

pytestmark = pytest.mark.ros
NODE = 'da3_ros.ros.node.main'
# What this process has settled or been given is not the node's business.
NOTHING_SET = {'OMP_NUM_THREADS': '', 'OMP_WAIT_POLICY': '', 'DA3_ROS_SETTLED_THREADS': ''}


def threads_of(node: RosProcess) -> int:
    return int(node.wait_for_line(r'ready: .*?(\d+) threads? for the network', 60.0).group(1))


def of_torch(variables: dict[str, str]) -> int:
    """Return how many threads torch itself takes with such variables."""
    code = 'import torch; print(torch.get_num_threads())'
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


USERS = {'OMP_NUM_THREADS': '2'}


@pytest.mark.parametrize('parameter', [0, 3])
@pytest.mark.parametrize('variables', [{}, USERS], ids=['auto', 'user'])
def test_the_ready_line_says_the_number(
    ros_domain_id: int, parameter: int, variables: dict[str, str]
) -> None:
    arguments = ['--ros-args', '-p', 'model:=da3-nano', '-p', f'threads:={parameter}']
    given = NOTHING_SET | variables
    with RosProcess(NODE, *arguments, domain_id=ros_domain_id, variables=given) as node:
        own = of_torch(USERS) if variables else node_threads(usable_cores())
        assert threads_of(node) == (parameter or own)
        (line,) = [line for line in node.lines if 'ready: ' in line]
        assert 'ready: da3-nano (weights of this package) on cpu by torch in fp32, ' in line
        (camera,) = set(re.findall(r'/(\w+)/image_raw', line))
        assert f'camera {camera}; subscribed to /{camera}/image_raw, /{camera}/camera_info' in line
