"""Start the node for a rig: `ros2 launch da3_ros rig.launch.py rig:=my_robot.yaml`.

The rig file says which topics the cameras publish and where they sit; see docs/launch.md.
"""

from launch.actions import OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity

from da3_ros.ros.launch import actions
from da3_ros.ros.launch.launch_arguments import (
    COMMON,
    RIG,
    expected_options,
    named_file,
    parameter_file,
    parameters_of,
)
from da3_ros.ros.launch.rig_file import read_rig
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (RIG, *COMMON)


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    texts = actions.given(context, ARGUMENTS)
    rig = read_rig(named_file('rig', texts['rig'], actions.share() / 'config' / 'rigs'))
    parameters = {**rig.node_parameters(), **parameters_of(texts)}
    options = expected_options(parameter_file(texts['params_file']), parameters, texts['name'])
    return [
        *actions.transport(texts),
        actions.da3_node(texts, parameters, rig.remappings()),
        *actions.rviz(texts, options, parameters.get('use_sim_time', False)),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; set the transport profile, start the node and RViz."""
    declared = actions.declared(ARGUMENTS)
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])
