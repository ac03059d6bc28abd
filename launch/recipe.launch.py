"""Start a consumer of the node's topics: `ros2 launch da3_ros recipe.launch.py recipe:=rtabmap`.

The node itself is started apart, with the parameters that docs/recipes.md names.
"""

from launch.actions import OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import Node

from da3_ros.errors import ConfigError
from da3_ros.ros.launch import actions
from da3_ros.ros.launch.launch_arguments import RECIPE, named_file, parameters_of
from da3_ros.ros.launch.recipes import read_recipe
from launch import LaunchContext, LaunchDescription


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    texts = actions.given(context, RECIPE)
    path = named_file('recipe', texts['recipe'], actions.share() / 'config' / 'recipes')
    recipe = read_recipe(path, texts['camera'], texts['camera_frame'], texts['namespace'])
    if not recipe.consumer:
        raise ConfigError(f'recipe {path}: its parameters belong into a file of the consumer')
    return [
        Node(
            **recipe.consumer,
            parameters=[actions.typed({**recipe.parameters, **parameters_of(texts)})],
            remappings=recipe.remappings(),
            output='screen',
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; start the consumer."""
    declared = actions.declared(RECIPE)
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])
