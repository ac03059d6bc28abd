"""Values of the options of single cameras, from parameters and rig files, checked in one place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import re
from typing import Any

import numpy as np

from da3_ros.errors import ConfigError, GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import rigid_from_xyz_xyzw
from da3_ros.options.camera import ROTATIONS_DEG

# One or more tokens of a topic name: https://design.ros2.org/articles/topic_and_service_names
_TOPIC_PREFIX = re.compile(r'/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')


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


@contextmanager
def prefixed(place: str) -> Iterator[None]:
    """Begin what is said of a value with its place.

    Raises:
        ConfigError: for a ConfigError or a GeometryError.
    """
    try:
        yield
    except (ConfigError, GeometryError) as error:
        raise ConfigError(f'{place}{error}') from error


def check_camera_name(name: object) -> str:
    """Return the name of a camera, with which names of topics begin.

    Raises:
        ConfigError: no topic can begin with it.
    """
    if not isinstance(name, str) or not _TOPIC_PREFIX.fullmatch(name):
        raise ConfigError(
            f'{name!r} cannot begin a topic name; use letters, digits and _, not a digit first, '
            'parts joined by /'
        )
    return name


def quarter_turns_of(rotation_deg: object) -> int:
    """Return an angle as clockwise quarter turns, 0 to 3.

    Raises:
        ConfigError: it is none of ROTATIONS_DEG.
    """
    if isinstance(rotation_deg, bool) or rotation_deg not in ROTATIONS_DEG:
        raise ConfigError(
            f'expected one of {", ".join(map(str, ROTATIONS_DEG))}, got {rotation_deg!r}'
        )
    return ROTATIONS_DEG.index(rotation_deg)


def crop_of(value: object) -> Crop | None:
    """Return a part of an image; None for nothing and for an empty list.

    Args:
        value: left, top, width, height, px.

    Raises:
        ConfigError: they are not four whole numbers, or name no part.
    """
    if value is None or (isinstance(value, Sequence) and not len(value)):
        return None
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    is_whole = len(numbers) == 4 and all(
        isinstance(n, (int, float)) and not isinstance(n, bool) and float(n).is_integer()
        for n in numbers
    )
    if not is_whole or min(numbers) < 0 or min(numbers[2:]) < 1:
        raise ConfigError(
            'expected left, top, width, height in whole pixels, left and top at least 0, the '
            f'others at least 1, got {value!r}'
        )
    left, top, width, height = (int(n) for n in numbers)
    return Crop(left, top, ImageSize(height, width))


def numbers_of(value: Any, *shape: int) -> FloatArray:
    """Return finite float64 numbers of a shape.

    Raises:
        ConfigError: they are others, or none.
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != shape or not np.isfinite(array).all():
        size = ' x '.join(map(str, shape))
        raise ConfigError(f'expected {size} finite numbers, got {value!r}')
    return array


def pose_of(value: Any) -> FloatArray:
    """Return the pose (4, 4) of seven numbers x y z qx qy qz qw.

    Raises:
        ConfigError: they are not seven finite numbers with a quaternion that is not zero.
    """
    try:
        return rigid_from_xyz_xyzw(numbers_of(value, 7))
    except (ConfigError, GeometryError) as error:
        raise ConfigError(
            f'expected seven numbers x y z qx qy qz qw, got {value!r} ({error})'
        ) from error
