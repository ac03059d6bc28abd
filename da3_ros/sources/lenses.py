"""Lenses whose images can be made those of a pinhole camera, whoever describes them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from da3_ros.errors import SourceError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.sources.colmap_cameras import MODELS

Distortion = Literal['none', 'radtan', 'equidistant']
"""radtan: k1 k2 p1 p2 and up to four more (k3 k4 k5 k6) of OpenCV's polynomial; equidistant: k1 to
k4 of its fisheye model."""

# COLMAP's models of these names are OpenCV's, coefficients in the same order.
_MODEL = {'radtan': 'FULL_OPENCV', 'equidistant': 'OPENCV_FISHEYE'}
_COUNTS = {'none': (0,), 'radtan': (4, 5, 8), 'equidistant': (4,)}


class Lens(Hashable, Protocol):
    """What a lens does to rays; equal ones are equal as keys."""

    @property
    def described(self) -> str:
        """Which one it is, for messages."""
        ...

    @property
    def size(self) -> ImageSize:
        """Of its images."""
        ...

    @property
    def pinhole(self) -> PinholeCamera:
        """The ideal camera with the same focal lengths and centre."""
        ...

    @property
    def is_distorted(self) -> bool:
        """Whether its images differ from those of a pinhole camera."""
        ...

    def project(self, rays: FloatArray) -> FloatArray:
        """Return where rays (..., 2), as x / z and y / z, meet the image, (..., 2) pixels.

        The first pixel's centre is at (0, 0). NaN where the lens shows no such ray.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenCvLens:
    """A lens by the numbers that OpenCV and ROS name it by.

    Source: OpenCV documentation, calib3d and fisheye, whose first pixel has its centre at (0, 0).

    Raises:
        SourceError: on construction, when the coefficients are not as many as the model has, or
            not finite.
    """

    pinhole: PinholeCamera
    """K and size of the image as it is stored."""
    distortion: Distortion = 'none'
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the coefficients."""
        counts = _COUNTS[self.distortion]
        if len(self.coefficients) not in counts or not np.isfinite(self.coefficients).all():
            raise SourceError(
                f'lens distortion {self.distortion}: expected {" or ".join(map(str, counts))} '
                f'finite numbers, got {list(self.coefficients)}'
            )

    @property
    def described(self) -> str:
        """The model and its coefficients."""
        return f'lens {self.distortion} {list(self.coefficients)}'

    @property
    def size(self) -> ImageSize:
        """Of its images."""
        return self.pinhole.size

    @property
    def is_distorted(self) -> bool:
        """Whether its images differ from those of a pinhole camera."""
        return self.distortion == 'equidistant' or any(self.coefficients)

    def project(self, rays: FloatArray) -> FloatArray:
        """Return where rays meet the image; see `Lens`."""
        x, y = rays[..., 0], rays[..., 1]
        if self.distortion != 'none':
            model = MODELS[_MODEL[self.distortion]]
            filled = self.coefficients + (0.0,) * (model.coefficients - len(self.coefficients))
            with np.errstate(all='ignore'):
                x, y = model.distort(x, y, filled)
        (fx, skew, cx), (_, fy, cy), _ = self.pinhole.K.tolist()
        return np.stack([fx * x + skew * y + cx, fy * y + cy], axis=-1)
