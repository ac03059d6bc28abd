"""Parameters of single cameras: which part of the image is used, and which way is up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.node import Node

from da3_ros.errors import NodeError
from da3_ros.geometry.camera import ImageSize
from da3_ros.options import NodeOptions
from da3_ros.ros.node.params import declared_once

ROTATIONS_DEG = (0, 90, 180, 270)
_ROTATION_HELP = (
    'Clockwise turn, degrees (0, 90, 180, 270), that makes the image of camera {camera} upright '
    'for the network; what is published stays in the orientation of the camera.'
)
_CROP_HELP = (
    'Part of the image of camera {camera} that is used: left, top, width, height, px, counted in '
    'the rectified image with rectify. Not set or empty: all of it.'
)


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of an image."""

    left_px: int
    top_px: int
    size: ImageSize

    def fits(self, size: ImageSize) -> bool:
        """Return whether the part lies inside an image of `size`."""
        return (
            self.left_px + self.size.width <= size.width
            and self.top_px + self.size.height <= size.height
        )


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """What is done to the images of one camera before anything else."""

    crop: Crop | None = None
    """None for the whole image."""
    quarter_turns: int = 0
    """Clockwise, 0 to 3, from the camera's image to an upright one."""


def declare_views(node: Node, options: NodeOptions) -> dict[str, ViewOptions]:
    """Read `input.<camera>.rotation_deg` and `.crop_px` of every camera.

    What is not declared yet is declared.

    Raises:
        NodeError: one is wrong; names it and says what was expected.
    """
    return {camera: _declare_view(node, camera) for camera in options.stream.cameras}


def _declare_view(node: Node, camera: str) -> ViewOptions:
    name = f'input.{camera}.rotation_deg'
    rotation = declared_once(node, name, 0, _ROTATION_HELP.format(camera=camera))
    if isinstance(rotation, bool) or rotation not in ROTATIONS_DEG:
        raise NodeError(
            f'parameter {name}: expected one of {", ".join(map(str, ROTATIONS_DEG))}, '
            f'got {rotation!r}'
        )
    name = f'input.{camera}.crop_px'
    crop = declared_once(node, name, None, _CROP_HELP.format(camera=camera))
    return ViewOptions(_crop(crop, camera), int(rotation) // 90)


def _crop(value: object, camera: str) -> Crop | None:
    if value is None or (isinstance(value, Sequence) and not len(value)):
        return None
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    is_whole = len(numbers) == 4 and all(
        isinstance(n, (int, float)) and not isinstance(n, bool) and float(n).is_integer()
        for n in numbers
    )
    if not is_whole or min(numbers) < 0 or min(numbers[2:]) < 1:
        raise NodeError(
            f'parameter input.{camera}.crop_px: expected left, top, width, height in whole '
            f'pixels, left and top at least 0, the others at least 1, got {value!r}'
        )
    left, top, width, height = (int(n) for n in numbers)
    return Crop(left, top, ImageSize(height, width))
