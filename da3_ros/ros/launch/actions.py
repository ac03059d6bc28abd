"""What the launch files have in common: arguments, the transport profile, the node, RViz.

The only module that imports the `launch` packages; `launch_arguments` says what it all means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import tempfile
from typing import Any

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch.actions import DeclareLaunchArgument, ExecuteProcess, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from da3_ros.options import NodeOptions
from da3_ros.ros.launch.launch_arguments import Argument, boolean, parameter_file
from da3_ros.ros.launch.rviz_config import for_cameras
from launch import LaunchContext

_PACKAGE = 'da3_ros'
# Fast DDS 2 reads the first variable; Fast DDS 3 the second, and warns of the first.
_PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
_FAST_DDS_2 = ('humble', 'iron', 'jazzy')


def share() -> Path:
    """Return the folder that holds config, launch and rviz."""
    return Path(get_package_share_directory(_PACKAGE))


def declared(arguments: Sequence[Argument]) -> list[DeclareLaunchArgument]:
    """Return the declarations of arguments."""
    return [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.help,
            choices=list(argument.choices) or None,
        )
        for argument in arguments
    ]


def given(context: LaunchContext, arguments: Sequence[Argument]) -> dict[str, str]:
    """Return argument to text, the namespace with that of the group which includes the file."""
    texts = {a.name: LaunchConfiguration(a.name).perform(context) for a in arguments}
    pushed = str(context.launch_configurations.get('ros_namespace', ''))
    if pushed.strip('/') and not texts['namespace'].startswith('/'):
        texts['namespace'] = '/'.join(filter(None, (pushed.rstrip('/'), texts['namespace'])))
    return texts


def transport(texts: Mapping[str, str]) -> list[SetEnvironmentVariable]:
    """Return what sets the transport profile, if it is wanted and none is set."""
    if not boolean('tuned_dds', texts['tuned_dds']) or any(os.environ.get(v) for v in _PROFILES):
        return []
    variable = _PROFILES[0 if os.environ.get('ROS_DISTRO') in _FAST_DDS_2 else 1]
    return [SetEnvironmentVariable(variable, str(share() / 'config' / 'fastdds.xml'))]


def da3_node(
    texts: Mapping[str, str],
    parameters: Mapping[str, Any],
    remappings: Sequence[tuple[str, str]] = (),
    **node_arguments: Any,
) -> Node:
    """Return the node.

    Args:
        texts: the common arguments.
        parameters: win over those of the parameter file.
        remappings: (own name, other name) of topics.
        node_arguments: passed on, for example on_exit.
    """
    file = parameter_file(texts['params_file'])
    return Node(
        package=_PACKAGE,
        executable='da3_node',
        name=texts['name'],
        namespace=texts['namespace'],
        parameters=[*([str(file)] if file else []), typed(parameters)],
        remappings=list(remappings),
        ros_arguments=['--log-level', texts['log_level']],
        output='screen',
        emulate_tty=True,
        **node_arguments,
    )


def typed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters that keep their types through launch_ros."""
    return {name: _typed(value) for name, value in parameters.items()}


def _typed(value: Any) -> Any:
    """Return a value that launch_ros does not take apart: to it a text is YAML."""
    if isinstance(value, str):
        return ParameterValue(value, value_type=str)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return ParameterValue(list(value), value_type=list[str])
    return list(value) if isinstance(value, tuple) else value


def rviz(texts: Mapping[str, str], options: NodeOptions, use_sim_time: bool) -> list[Node]:
    """Return RViz with displays for these cameras, if it is wanted."""
    if not boolean('rviz', texts['rviz']):
        return []
    template = (share() / 'rviz' / 'da3.rviz').read_text(encoding='utf-8')
    text = for_cameras(
        template, options.stream.cameras, texts['namespace'], options.output.odom_frame
    )
    handle, path = tempfile.mkstemp(prefix='da3_', suffix='.rviz')
    with os.fdopen(handle, 'w', encoding='utf-8') as file:
        file.write(text)
    return [
        Node(
            package='rviz2',
            executable='rviz2',
            name='rviz',
            arguments=['-d', path],
            parameters=[{'use_sim_time': use_sim_time}],
            output='screen',
        )
    ]


def da3_command(*words: str, **process_arguments: Any) -> ExecuteProcess:
    """Return the process of a `da3` command."""
    program = Path(get_package_prefix(_PACKAGE)) / 'lib' / _PACKAGE / 'da3'
    return ExecuteProcess(cmd=[str(program), *words], output='screen', **process_arguments)
