"""Start the node: `ros2 launch da3_ros da3.launch.py cameras:=front,left`.

An argument that is not given leaves the value of the parameter file, or else of the node.
"""

from launch.actions import OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from da3_ros.ros import launch_actions
from da3_ros.ros.launch_arguments import (
    COMMON,
    INPUTS,
    expected_options,
    parameter_file,
    parameters_of,
)
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (*INPUTS, *COMMON)


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    texts = launch_actions.given(context, ARGUMENTS)
    parameters = parameters_of(texts)
    options = expected_options(parameter_file(texts['params_file']), parameters, texts['name'])
    return [
        *launch_actions.transport(texts),
        launch_actions.da3_node(texts, parameters),
        *launch_actions.rviz(texts, options, parameters.get('use_sim_time', False)),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; set the transport profile, start the node and RViz."""
    declared = launch_actions.declared(ARGUMENTS)
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])
