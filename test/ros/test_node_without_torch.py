"""Where torch is not installed the node computes depth by an engine."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from sensor_msgs.msg import Image

from da3_ros.inference.random_weights import random_network
from helpers.ros_process import ROOT, RosProcess
from helpers.ros_rig import RosRobot
from helpers.tiny import ANY_VIEW

pytestmark = pytest.mark.ros
NODE = ROOT / 'test' / 'helpers' / 'torchless_node.py'
AUTO = {'DA3_RUNTIME': 'auto'}


@pytest.mark.slow
def test_depth_comes_from_an_engine(ros_domain_id: int, tmp_path: Path) -> None:
    pytest.importorskip('openvino')
    pytest.importorskip('onnxscript')
    from da3_ros.inference.runtimes.graph_export import export_stages

    export_stages(random_network(ANY_VIEW, seed=0), (42, 56), tmp_path / 'engine')
    values = {'cameras': '[front]', 'model': tmp_path / 'engine', 'process_res': 56, 'window': 2}
    arguments = [part for key, value in values.items() for part in ('-p', f'{key}:={value}')]
    with (
        RosProcess(
            NODE, '--ros-args', *arguments, domain_id=ros_domain_id, variables=AUTO
        ) as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        assert 'on cpu by openvino in fp32, ' in node.wait_for_line('ready.*').group()
        robot.wait_for_node()
        robot.listen(Image, 'front/depth/image')
        stamp = robot.send()
        depth = robot.wait_stamp('front/depth/image', stamp)
        metres = np.frombuffer(depth.data, np.float32)
        assert np.isfinite(metres).any()


def test_a_model_without_engine_ends_the_start_with_what_to_do(ros_domain_id: int) -> None:
    arguments = ['--ros-args', '-p', 'model:=random:da3-small']
    with RosProcess(NODE, *arguments, domain_id=ros_domain_id, variables=AUTO) as node:
        assert node.wait(30.0) == 1
        (line,) = [line for line in node.lines if '[da3_node]' in line]
        assert 'torch is not installed' in line
        assert 'da3 compile' in line
        assert 'Traceback' not in node.output, node.output
