"""Start the node for a rig: `ros2 launch da3_ros rig.launch.py rig:=my_robot.yaml`.

The rig file says which topics the cameras publish and where they sit; see docs/launch.md.
"""

from launch.actions import OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from da3_ros.ros import launch_actions
from da3_ros.ros.launch_arguments import (
    COMMON,
    RIG,
    expected_options,
    named_file,
    parameter_file,
    parameters_of,
)
from da3_ros.ros.rig_file import read_rig
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (RIG, *COMMON)


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    texts = launch_actions.given(context, ARGUMENTS)
    rig = read_rig(named_file('rig', texts['rig'], launch_actions.share() / 'examples'))
    parameters = {**rig.node_parameters(), **parameters_of(texts)}
    options = expected_options(parameter_file(texts['params_file']), parameters, texts['name'])
    return [
        *launch_actions.transport(texts),
        launch_actions.da3_node(texts, parameters, rig.remappings()),
        *launch_actions.rviz(texts, options, parameters.get('use_sim_time', False)),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; set the transport profile, start the node and RViz."""
    declared = launch_actions.declared(ARGUMENTS)
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])
