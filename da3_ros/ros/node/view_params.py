"""Parameters of single cameras: which part of the image is used, and which way is up."""

from __future__ import annotations

from rclpy.node import Node

from da3_ros.options import NodeOptions
from da3_ros.options.camera import CROP_PX, ROTATION_DEG
from da3_ros.options.camera_values import ViewOptions, crop_of, quarter_turns_of
from da3_ros.ros.node.params import declared_once, refused_as


def declare_views(node: Node, options: NodeOptions) -> dict[str, ViewOptions]:
    """Read `input.<camera>.rotation_deg` and `.crop_px` of every camera.

    What is not declared yet is declared.

    Raises:
        NodeError: one is wrong; names it and says what was expected.
    """
    return {camera: _declare_view(node, camera) for camera in options.stream.cameras}


def _declare_view(node: Node, camera: str) -> ViewOptions:
    rotation = declared_once(node, ROTATION_DEG, camera)
    crop = declared_once(node, CROP_PX, camera)
    with refused_as(ROTATION_DEG.of(camera)):
        quarter_turns = quarter_turns_of(rotation)
    with refused_as(CROP_PX.of(camera)):
        return ViewOptions(crop_of(crop), quarter_turns)
