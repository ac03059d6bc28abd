"""The pinhole camera: K and the image size it belongs to, always together.

Pixel-centre rule, stated here once: the integer coordinate (0, 0) is the centre of the first
pixel, so an image of width W spans u from -0.5 to W - 0.5 (OpenCV, sensor_msgs/CameraInfo).
The network's K puts that centre at (0.5, 0.5) instead; `from_corner_origin` and
`to_corner_origin` convert at that boundary (and at COLMAP's, which uses the same rule).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray, as_float


@dataclass(frozen=True, slots=True, order=True)
class ImageSize:
    """Height and width of an image in pixels, both at least 1."""

    height: int
    width: int

    def __post_init__(self) -> None:
        """Check that both sides are positive."""
        if self.height < 1 or self.width < 1:
            raise GeometryError(f'image size: expected sides >= 1, got {self.height}x{self.width}')


@dataclass(frozen=True, slots=True, eq=False)
class PinholeCamera:
    """Intrinsics of an ideal camera for one image size.

    Raises:
        GeometryError: on construction, when K is no upper-triangular matrix with positive focal
            lengths and last row 0 0 1.
    """

    K: FloatArray
    """(3, 3) in pixels of `size`, pixel-centre rule of this module."""
    size: ImageSize
    """The image that K belongs to."""

    def __post_init__(self) -> None:
        """Check and freeze K."""
        matrix = as_float('K', self.K, (3, 3)).copy()
        if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
            raise GeometryError(
                f'K: expected positive focal lengths, got fx={matrix[0, 0]}, fy={matrix[1, 1]}'
            )
        if matrix[1, 0] != 0 or np.abs(matrix[2] - (0.0, 0.0, 1.0)).max() > 1e-9:
            raise GeometryError(f'K: expected [fx s cx; 0 fy cy; 0 0 1], got {matrix.tolist()}')
        matrix.flags.writeable = False
        object.__setattr__(self, 'K', matrix)

    @staticmethod
    def from_focal(fx: float, fy: float, cx: float, cy: float, size: ImageSize) -> PinholeCamera:
        """Return the camera without skew of the four usual numbers, in pixels."""
        return PinholeCamera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), size)

    @staticmethod
    def from_corner_origin(matrix: ArrayLike, size: ImageSize) -> PinholeCamera:
        """Return the camera of a K whose first pixel has its centre at (0.5, 0.5)."""
        shifted = as_float('K', matrix, (3, 3)).copy()
        shifted[:2, 2] -= 0.5
        return PinholeCamera(shifted, size)

    def to_corner_origin(self) -> FloatArray:
        """Return K (3, 3) for the rule that the first pixel's centre is (0.5, 0.5)."""
        shifted: FloatArray = self.K.copy()
        shifted[:2, 2] += 0.5
        return shifted

    def resized(self, size: ImageSize) -> PinholeCamera:
        """Return the camera of the same view resampled to `size`, borders on borders."""
        scaled = self.K.copy()
        # Of the distances from the image's corner, half a pixel before the first centre.
        scaled[:2, 2] += 0.5
        scaled[0] *= size.width / self.size.width
        scaled[1] *= size.height / self.size.height
        scaled[:2, 2] -= 0.5
        return PinholeCamera(scaled, size)

    def cropped(self, left_px: int, top_px: int, size: ImageSize) -> PinholeCamera:
        """Return the camera of the part of `size` whose first pixel is (left_px, top_px)."""
        shifted = self.K.copy()
        shifted[0, 2] -= left_px
        shifted[1, 2] -= top_px
        return PinholeCamera(shifted, size)

    def rotated(self, quarter_turns: int) -> PinholeCamera:
        """Return the camera of the image rotated clockwise by so many quarters.

        Its optical frame is rotated with the image: `rotated_from_camera` says how.

        Raises:
            GeometryError: a camera with skew and an odd number of quarters, for which no K of
                the usual form exists.
        """
        turns = quarter_turns % 4
        (fx, skew, cx), (_, fy, cy), _ = self.K.tolist()
        right, bottom = self.size.width - 1, self.size.height - 1
        if turns == 0:
            return self
        if turns == 2:
            K = np.array([[fx, skew, right - cx], [0, fy, bottom - cy], [0, 0, 1]])
            return PinholeCamera(K, self.size)
        if skew != 0:
            raise GeometryError(f'K: an image with skew {skew} cannot be rotated by a quarter')
        size = ImageSize(self.size.width, self.size.height)
        if turns == 1:
            return PinholeCamera.from_focal(fy, fx, bottom - cy, cx, size)
        return PinholeCamera.from_focal(fy, fx, cy, right - cx, size)

    def rays(self) -> FloatArray:
        """Return K^-1 [u v 1] of every pixel centre, (H, W, 3), with z = 1."""
        u, v = np.meshgrid(np.arange(self.size.width), np.arange(self.size.height))
        pixels = np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float64)
        return np.asarray(pixels @ np.linalg.inv(self.K).T)

    def project(self, points: ArrayLike) -> FloatArray:
        """Return pixel coordinates (..., 2) of camera-frame points (..., 3).

        Points with z <= 0 have no image: their coordinates are NaN.
        """
        p = np.asarray(points, dtype=np.float64)
        z = np.where(p[..., 2:] > 0, p[..., 2:], np.nan)
        return np.asarray(((p / z) @ self.K.T)[..., :2], dtype=np.float64)

    def contains(self, pixels: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Return for pixel coordinates (..., 2) whether they lie inside the image's borders."""
        uv = np.asarray(pixels, dtype=np.float64)
        inside_u = (uv[..., 0] >= -0.5) & (uv[..., 0] <= self.size.width - 0.5)
        inside_v = (uv[..., 1] >= -0.5) & (uv[..., 1] <= self.size.height - 0.5)
        return np.asarray(inside_u & inside_v)


def rotated_from_camera(quarter_turns: int) -> FloatArray:
    """Return the pose (4, 4) of a camera's optical frame in that of its image rotated clockwise.

    Both look along the same axis. After one quarter, what pointed right (x) points down (y), and
    what pointed down points left.
    """
    quarter = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return np.linalg.matrix_power(quarter, quarter_turns % 4)
