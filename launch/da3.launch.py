"""Start the da3_ros node: `ros2 launch da3_ros da3.launch.py cameras:=front,left`."""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription

_ARGUMENTS = (
    ('params_file', '', 'YAML file of node parameters; empty: the defaults of the node'),
    ('namespace', '', 'namespace of the node; every topic is relative to it'),
    ('name', 'da3_node', 'name of the node'),
    ('use_sim_time', 'false', 'take the time from /clock, as when a bag is played'),
    ('log_level', 'info', 'debug, info, warn, error or fatal'),
    ('model', '', 'checkpoint: a short name (da3-small), a hub repository or a folder'),
    ('cameras', '', 'names of the cameras, joined by commas: front,left,right'),
    ('tuned_dds', 'true', 'use config/fastdds.xml, without which large images are lost'),
)

# Fast DDS 2 reads one variable, Fast DDS 3 another and warns of the first.
_FAST_DDS_2 = ('humble', 'iron', 'jazzy')
_PROFILE_VARIABLE = (
    'FASTRTPS_DEFAULT_PROFILES_FILE'
    if os.environ.get('ROS_DISTRO') in _FAST_DDS_2
    else 'FASTDDS_DEFAULT_PROFILES_FILE'
)


def _node(context: LaunchContext) -> list[Node]:
    """Build the node from the arguments that were given; the others keep the node's defaults."""
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in _ARGUMENTS}
    overrides: dict[str, object] = {'use_sim_time': given['use_sim_time'].lower() == 'true'}
    if given['model']:
        overrides['model'] = given['model']
    if given['cameras']:
        overrides['cameras'] = [name.strip() for name in given['cameras'].split(',')]
    files = [given['params_file']] if given['params_file'] else []
    return [
        Node(
            package='da3_ros',
            executable='da3_node',
            name=given['name'],
            namespace=given['namespace'],
            parameters=[*files, overrides],
            arguments=['--ros-args', '--log-level', given['log_level']],
            output='screen',
            emulate_tty=True,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, set the transport profile and start the node."""
    profile = Path(get_package_share_directory('da3_ros')) / 'config' / 'fastdds.xml'
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in _ARGUMENTS
            ),
            SetEnvironmentVariable(
                _PROFILE_VARIABLE,
                str(profile),
                condition=IfCondition(LaunchConfiguration('tuned_dds')),
            ),
            OpaqueFunction(function=_node),
        ]
    )
