"""Start the node: `ros2 launch da3_ros da3.launch.py cameras:=front,left`.

An argument that is not given leaves the value of the parameter file, or else of the node.
"""

from launch.actions import OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from da3_ros.ros.launch import actions
from da3_ros.ros.launch.launch_arguments import (
    COMMON,
    INPUTS,
    expected_options,
    parameter_file,
    parameters_of,
)
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (*INPUTS, *COMMON)


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    texts = actions.given(context, ARGUMENTS)
    parameters = parameters_of(texts)
    options = expected_options(parameter_file(texts['params_file']), parameters, texts['name'])
    return [
        *actions.transport(texts),
        actions.da3_node(texts, parameters),
        *actions.rviz(texts, options, parameters.get('use_sim_time', False)),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; set the transport profile, start the node and RViz."""
    declared = actions.declared(ARGUMENTS)
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])
