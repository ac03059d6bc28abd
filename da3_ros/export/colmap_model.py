"""A sparse COLMAP model as values, before anybody decides how to encode it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize

PINHOLE = 'PINHOLE'
PINHOLE_ID = 1

PARTS = ('rigs', 'cameras', 'frames', 'images', 'points3D')
"""File names of a model without suffix."""


@dataclass(frozen=True, slots=True)
class ColmapCamera:
    """A camera of the model PINHOLE; also the only sensor of the rig with its number."""

    camera_id: int
    size: ImageSize
    params: tuple[float, float, float, float]
    """fx fy cx cy in pixels, the first pixel's centre at (0.5, 0.5)."""


@dataclass(frozen=True, slots=True, eq=False)
class ColmapImage:
    """A posed image with its key points, each of which sees one 3D point of its own.

    It is also the only image of the frame with its number.
    """

    image_id: int
    camera_id: int
    name: str
    """Relative to the folder of images."""
    pose: tuple[float, ...]
    """camera_from_world: qw qx qy qz tx ty tz."""
    pixels: FloatArray
    """(P, 2), the first pixel's centre at (0.5, 0.5)."""
    first_point_id: int
    """Key point i sees the 3D point with this number + i."""
    xyz: FloatArray
    """(P, 3) of those points, world units."""
    rgb: NDArray[np.uint8]
    """(P, 3)."""

    @property
    def point_ids(self) -> NDArray[np.int64]:
        """The numbers of the 3D points, (P,)."""
        return np.arange(self.first_point_id, self.first_point_id + len(self.xyz), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ColmapModel:
    """Cameras and images; rigs, frames and 3D points follow from them."""

    cameras: tuple[ColmapCamera, ...]
    images: tuple[ColmapImage, ...]
    comment: str = ''
    """What a reader of its text files has to know; one line, empty for nothing."""

    @property
    def point_count(self) -> int:
        """Number of 3D points."""
        return sum(len(image.xyz) for image in self.images)
