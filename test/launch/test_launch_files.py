"""The launch files, run by the real launch packages where those are installed.

They are not on PyPI, so that most machines skip these tests; what the files are made of
(`launch_arguments`, `rig_file`, `recipes`) is tested everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
import os
from pathlib import Path
import re
import signal
import struct

import numpy as np
import pytest
import yaml

from da3_ros.ros.launch.launch_arguments import COMMON, INPUTS, RECIPE, REPLAY, RIG
from da3_ros.synthetic.world import make_world
from helpers.ros_process import ROOT, RosProcess

FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
RUNNER = ROOT / 'test' / 'helpers' / 'launch_runner.py'
needs_launch = pytest.mark.ros_install('launch_ros')


def test_the_launch_files_are_those_that_are_documented() -> None:
    documented = (ROOT / 'docs' / 'launch.md').read_text()
    names = {file.name for file in FILES}
    assert names == {f'{n}.launch.py' for n in ('da3', 'rig', 'replay', 'recipe')}
    assert names <= set(re.findall(r'\w+\.launch\.py', documented))


def test_every_argument_is_documented() -> None:
    documented = set(re.findall(r'`(\w+)`', (ROOT / 'docs' / 'launch.md').read_text()))
    arguments = {a.name for a in (*INPUTS, *COMMON, RIG, *REPLAY, *RECIPE)}
    assert arguments <= documented


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_launch_files_are_python_that_says_what_it_does(file: Path) -> None:
    code = compile(file.read_text(), str(file), 'exec')
    assert 'ros2 launch da3_ros' in code.co_consts[0]


def test_everything_that_launch_files_read_is_installed() -> None:
    cmake = (ROOT / 'CMakeLists.txt').read_text()
    folders = re.search(r'foreach\(folder IN ITEMS ([\w ]+)\)', cmake)
    assert folders is not None
    assert {'config', 'launch', 'rviz'} <= set(folders.group(1).split())


@needs_launch
@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_launch_files_declare_described_arguments(file: Path) -> None:
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    declared = get_launch_description_from_python_launch_file(str(file)).get_launch_arguments()

    assert len(declared) > 3
    assert all(len(argument.description) > 10 for argument in declared)
    assert all(argument.default_value is not None for argument in declared)


_FLEET = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace

ARGUMENTS = dict(cameras='left', namespace='robot', rviz='true', autostart='false')


def generate_launch_description():
    source = PythonLaunchDescriptionSource('{file}')
    node = IncludeLaunchDescription(source, launch_arguments=ARGUMENTS.items())
    return LaunchDescription([GroupAction([PushRosNamespace('fleet'), node])])
"""
"""Somebody's launch file that includes ours in a group with a namespace."""


def launched(name: str, *arguments: str, domain_id: int, prefix: Path | None = None) -> RosProcess:
    """Run a launch file by path or by name; `prefix` is where the package is installed."""
    found = os.environ['AMENT_PREFIX_PATH']
    variables = {
        # The launch file is to set the one and to find the package through the other.
        'FASTRTPS_DEFAULT_PROFILES_FILE': '',
        'FASTDDS_DEFAULT_PROFILES_FILE': '',
        'AMENT_PREFIX_PATH': f'{prefix}{os.pathsep}{found}' if prefix else found,
    }
    file = Path(name) if '/' in name else ROOT / 'launch' / f'{name}.launch.py'
    return RosProcess(RUNNER, file, *arguments, domain_id=domain_id, variables=variables)


@pytest.fixture(name='prefix')
def prefix_fixture(tmp_path: Path) -> Path:
    """Give an install folder whose path has a space."""
    from ament_index_python.packages import get_package_prefix

    link = tmp_path / 'a place' / 'install'
    link.parent.mkdir()
    link.symlink_to(get_package_prefix('da3_ros'))
    return link


def stand_in(folder: Path, package: str, executable: str) -> Path:
    """Install a program that prints its words and the files among them, and return its prefix."""
    prefix = folder / 'elsewhere'
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    program = prefix / 'lib' / package / executable
    for place in (index, program.parent, prefix / 'share' / package):
        place.mkdir(parents=True)
    (index / package).touch()
    program.write_text(
        '#!/bin/sh\nfor word in "$@"; do echo "word $word"; '
        'if [ -f "$word" ]; then cat "$word"; fi; done; echo end\n'
    )
    program.chmod(0o755)
    return prefix


@needs_launch
@pytest.mark.ros
def test_a_rig_in_a_namespace_gives_depth_and_ends_with_sigint(
    prefix: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    from sensor_msgs.msg import Image
    from tf2_msgs.msg import TFMessage

    from helpers.ros_rig import LATCHED, RosRobot, matrix_of

    pose = make_world().rig.calibration.base_from_camera['front']
    front = {
        'image': '/front/image_raw',
        'camera_info': '/front/camera_info',
        'base_from_camera': pose.tolist(),
    }
    rig = tmp_path / 'my rig.yaml'
    rig.write_text(yaml.safe_dump({'cameras': {'front': front}, 'parameters': {'window': 1}}))
    arguments = (f'rig:={rig}', 'model:=truth', 'namespace:=robot', 'name:=eyes')
    with launched('rig', *arguments, domain_id=ros_domain_id, prefix=prefix) as process:
        process.wait_for_line(r'robot\.eyes.*ready', 60.0)
        with RosRobot(ros_domain_id, ['front']) as robot:
            robot.wait_for_node()
            key = robot.listen(Image, '/robot/front/depth/image')
            robot.prime(robot.send, path='/robot/path')
            stamp_ns = robot.send()
            assert robot.wait_stamp(key, stamp_ns).encoding == '32FC1'
            (joint,) = robot.wait_for(robot.listen(TFMessage, '/tf_static', LATCHED)).transforms
            assert joint.header.frame_id == 'base_link'
            assert joint.child_frame_id == robot.frame_id('front')
            np.testing.assert_allclose(matrix_of(joint.transform), pose, atol=1e-9)
        process.send(signal.SIGINT)
        assert process.wait(20.0) == 0, process.output
        process.wait_for_line(r'da3_node-1\]: process has finished cleanly')


@needs_launch
@pytest.mark.ros
def test_rviz_is_started_with_displays_for_the_cameras(
    prefix: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    from ament_index_python.packages import get_package_prefix

    rviz = stand_in(tmp_path, 'rviz2', 'rviz2')
    both = Path(f'{rviz}{os.pathsep}{get_package_prefix("da3_ros")}')
    fleet = tmp_path / 'fleet.launch.py'
    fleet.write_text(_FLEET.format(file=ROOT / 'launch' / 'da3.launch.py'))
    with launched(str(fleet), domain_id=ros_domain_id, prefix=both) as process:
        process.wait_for_line(r'fleet\.robot\.da3_node.*unconfigured', 60.0)
        process.wait_for_line('end$')
        process.wait_for_line('Value: /fleet/robot/left/color/image')
        process.send(signal.SIGINT)
        assert process.wait(20.0) == 0, process.output


@needs_launch
@pytest.mark.ros
def test_a_recipe_starts_its_consumer_with_remappings_and_parameters(
    prefix: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    from ament_index_python.packages import get_package_prefix

    consumer = stand_in(tmp_path, 'rtabmap_slam', 'rtabmap')
    both = Path(f'{consumer}{os.pathsep}{get_package_prefix("da3_ros")}')
    arguments = ('recipe:=rtabmap', 'camera:=left', 'namespace:=robot', 'use_sim_time:=True')
    with launched('recipe', *arguments, domain_id=ros_domain_id, prefix=both) as process:
        assert process.wait(30.0) == 0, process.output
    for text in (
        'word rgb/image:=/robot/left/color/image',
        'word odom:=/robot/odometry',
        'frame_id: base_link',
        'approx_sync: false',
        'use_sim_time: true',
    ):
        assert text in process.output


@needs_launch
@pytest.mark.ros
def test_arguments_that_are_not_given_leave_the_parameter_file(
    prefix: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    from helpers.ros_rig import RosRobot

    file = tmp_path / 'my parameters.yaml'
    file.write_text('/**:\n  ros__parameters: {model: truth, cameras: [front, left]}\n')
    with launched('da3', f'params_file:={file}', domain_id=ros_domain_id, prefix=prefix) as node:
        node.wait_for_line('ready', 60.0)
        with RosRobot(ros_domain_id, ['front', 'left']) as robot:
            robot.wait_for_node()
        node.send(signal.SIGINT)
        assert node.wait(20.0) == 0, node.output


@needs_launch
@pytest.mark.ros
@pytest.mark.timeout(240)
def test_a_bag_is_replayed_recorded_and_ends_by_itself(
    prefix: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    bag, out = tmp_path / 'a drive.mcap', tmp_path / 'an answer.mcap'
    words = ('--seconds', '1.6', '--rate', '5', '--size', '160x120', '--cameras', 'front,left')
    with RosProcess(
        'da3_ros.cli.main', 'synthesize', bag, *words, '--no-truth', domain_id=ros_domain_id
    ) as synthesis:
        assert synthesis.wait(60.0) == 0, synthesis.output
    arguments = (f'bag:={bag}', f'record:={out}', 'cameras:=front,left', 'model:=truth')
    slowly = ('rate:=0.5', 'linger:=5')
    with launched(
        'replay', *arguments, *slowly, domain_id=ros_domain_id, prefix=prefix
    ) as process:
        assert process.wait(100.0) == 0, process.output
    sent, made = stamps_in(bag), stamps_in(out)
    assert len(sent['/front/image_raw']) == 8
    # A live pipeline leaves out what a busy machine cannot keep up with, never the newest.
    done = made['/odometry']
    assert done <= sent['/front/image_raw']
    assert max(done) == max(sent['/front/image_raw'])
    for camera in ('front', 'left'):
        for topic in ('depth/image', 'depth/camera_info', 'color/image', 'color/camera_info'):
            assert made[f'/{camera}/{topic}'] == done, topic
    assert made['/window'] == done
    # Log times are the bag's, so that both play together: no answer before its images.
    first_ns, last_ns = min(sent['/front/image_raw']), max(sent['/front/image_raw'])
    logged = list(log_times(out))
    assert logged
    assert all(first_ns <= log_ns <= last_ns for log_ns, _ in logged)
    assert all(log_ns >= stamp_ns for log_ns, stamp_ns in logged)


def log_times(path: Path) -> Iterator[tuple[int, int]]:
    """Yield when odometry was recorded, and the stamp of its header, ns."""
    from da3_ros.sources.bag import BagReader

    with BagReader(path) as bag:
        for message in bag.messages({'/odometry'}):
            sec, nanosec = struct.unpack_from('<iI', message.data, 4)
            yield message.stamp_ns, sec * 10**9 + nanosec


def stamps_in(path: Path) -> dict[str, set[int]]:
    """Return topic to the stamps of its messages, ns: the first fields of every header."""
    from da3_ros.sources.bag import BagReader

    found: dict[str, set[int]] = defaultdict(set)
    with BagReader(path) as bag:
        for message in bag.messages():
            # After four bytes that tell the encoding: int32 sec, uint32 nanosec.
            sec, nanosec = struct.unpack_from('<iI', message.data, 4)
            found[message.topic].add(sec * 10**9 + nanosec)
    return found


@needs_launch
@pytest.mark.ros
@pytest.mark.parametrize(
    ('name', 'argument', 'says'),
    [
        ('da3', 'params_file:=/no/such/file.yaml', 'params_file: there is no file'),
        ('rig', 'rig:=no_such_rig', 'rig: there is no file'),
        ('replay', 'rate:=fast', 'bag: expected a bag'),
        ('recipe', 'recipe:=nav2_voxel_layer', 'belong into a file of the consumer'),
    ],
)
def test_what_cannot_work_is_said_and_ends_at_once(
    name: str, argument: str, says: str, prefix: Path, ros_domain_id: int
) -> None:
    with launched(name, argument, domain_id=ros_domain_id, prefix=prefix) as process:
        process.wait_for_line(re.escape(says))
        assert process.wait(20.0) == 1, process.output
