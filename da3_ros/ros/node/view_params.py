"""Parameters of single cameras: which part of the image is used, and which way is up."""

from __future__ import annotations

from rclpy.node import Node

from da3_ros.options import NodeOptions
from da3_ros.options.camera import ViewOptions, crop_of, quarter_turns_of
from da3_ros.ros.node.params import declared_once, refused_as

_ROTATION_HELP = (
    'Clockwise turn, degrees (0, 90, 180, 270), that makes the image of camera {camera} upright '
    'for the network; what is published stays in the orientation of the camera.'
)
_CROP_HELP = (
    'Part of the image of camera {camera} that is used: left, top, width, height, px, counted in '
    'the rectified image with rectify. Not set or empty: all of it.'
)


def declare_views(node: Node, options: NodeOptions) -> dict[str, ViewOptions]:
    """Read `input.<camera>.rotation_deg` and `.crop_px` of every camera.

    What is not declared yet is declared.

    Raises:
        NodeError: one is wrong; names it and says what was expected.
    """
    return {camera: _declare_view(node, camera) for camera in options.stream.cameras}


def _declare_view(node: Node, camera: str) -> ViewOptions:
    prefix = f'input.{camera}'
    rotation = declared_once(
        node, f'{prefix}.rotation_deg', 0, _ROTATION_HELP.format(camera=camera)
    )
    crop = declared_once(node, f'{prefix}.crop_px', None, _CROP_HELP.format(camera=camera))
    with refused_as(f'{prefix}.rotation_deg'):
        quarter_turns = quarter_turns_of(rotation)
    with refused_as(f'{prefix}.crop_px'):
        return ViewOptions(crop_of(crop), quarter_turns)
