"""Where an image that the network sees lies in the one that came in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a processed image lies in its original: resized to `resized`, then cropped."""

    original: ImageSize
    """Size before anything was done."""

    resized: ImageSize
    """Size after resizing."""

    left_px: int
    """First column kept of the resized image."""

    top_px: int
    """First row kept of the resized image."""

    size: ImageSize
    """Final size."""

    def camera(self, original: PinholeCamera) -> PinholeCamera:
        """Return the camera of the processed image, given that of the original."""
        return original.resized(self.resized).cropped(self.left_px, self.top_px, self.size)

    @property
    def pixel_map(self) -> PixelMap:
        """Where the pixels of the original lie in the processed image."""
        return PixelMap.placed(
            self.resized.width / self.original.width,
            self.resized.height / self.original.height,
            self.left_px,
            self.top_px,
        )

    def matrix(self, intrinsics: ArrayLike) -> NDArray[np.float32]:
        """Return K (3, 3) of the processed image, first pixel centre at (0.5, 0.5)."""
        out = np.array(intrinsics, dtype=np.float64)
        out[0] *= self.resized.width / self.original.width
        out[1] *= self.resized.height / self.original.height
        out[0, 2] -= self.left_px
        out[1, 2] -= self.top_px
        return out.astype(np.float32)

    def cropped(self, size: ImageSize) -> Placement:
        """Return the placement after a further centre crop."""
        left = self.left_px + (self.size.width - size.width) // 2
        top = self.top_px + (self.size.height - size.height) // 2
        return Placement(self.original, self.resized, left, top, size)
