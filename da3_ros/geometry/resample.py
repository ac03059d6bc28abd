"""Depth images at another resolution, without values between two surfaces.

Inside a surface the inverse depth is interpolated, which is exact for planes. Where the four
pixels around a place do not belong to one surface, or one of them is unknown, the nearest pixel is
taken as it is: no value appears that is on neither surface, and unknown stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.edges import edges_down, edges_right, inverse_depth

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
_Value = TypeVar('_Value', bound=np.generic)

# Neighbours whose depth differs by more than this share lie on two surfaces.
_EDGE_STEP = 0.05
# Places this far outside of the image's border are still inside: rounding.
_BORDER_PX = 1e-3


@dataclass(frozen=True, slots=True)
class PixelMap:
    """Where the pixels of a target image lie in a source image: u = scale_u * target_u + shift_u.

    Both coordinates have the first pixel's centre at 0.
    """

    scale_u: float
    shift_u: float
    scale_v: float
    shift_v: float

    @staticmethod
    def between(target: PinholeCamera, source: PinholeCamera) -> PixelMap:
        """Return the map between two images of one view that differ by resizing and cropping."""
        scale_u = source.K[0, 0] / target.K[0, 0]
        scale_v = source.K[1, 1] / target.K[1, 1]
        return PixelMap(
            float(scale_u),
            float(source.K[0, 2] - scale_u * target.K[0, 2]),
            float(scale_v),
            float(source.K[1, 2] - scale_v * target.K[1, 2]),
        )

    @staticmethod
    def placed(scale_u: float, scale_v: float, left_px: float, top_px: float) -> PixelMap:
        """Return the map of a target that was resized, then cropped, which gave the source.

        Args:
            scale_u: columns after resizing per column before.
            scale_v: the same of rows.
            left_px: columns cut away at the left after resizing.
            top_px: rows cut away at the top.
        """
        # Resizing keeps borders, at -0.5, on borders.
        return PixelMap(scale_u, (scale_u - 1) / 2 - left_px, scale_v, (scale_v - 1) / 2 - top_px)

    @staticmethod
    def whole(target: ImageSize, source: ImageSize) -> PixelMap:
        """Return the map of a target that as a whole was resized to the source."""
        return PixelMap.placed(source.width / target.width, source.height / target.height, 0, 0)

    def inverse(self) -> PixelMap:
        """Return where the pixels of the source lie in the target."""
        return PixelMap(
            1 / self.scale_u,
            -self.shift_u / self.scale_u,
            1 / self.scale_v,
            -self.shift_v / self.scale_v,
        )

    def rotated(self, quarter_turns: int, target: ImageSize, source: ImageSize) -> PixelMap:
        """Return the map between both images rotated clockwise by so many quarters.

        Args:
            quarter_turns: of both images.
            target: size of the target before the rotation.
            source: size of the source before it.
        """
        found = self
        for _ in range(quarter_turns % 4):
            # A row v of an image becomes the column H - 1 - v.
            shift_u = (source.height - 1) - found.shift_v - found.scale_v * (target.height - 1)
            found = PixelMap(found.scale_v, shift_u, found.scale_u, found.shift_u)
            target = ImageSize(target.width, target.height)
            source = ImageSize(source.width, source.height)
        return found

    def camera(self, source: PinholeCamera, size: ImageSize) -> PinholeCamera:
        """Return the camera of the target image, given that of the source image."""
        fx, fy = source.K[0, 0] / self.scale_u, source.K[1, 1] / self.scale_v
        cx = (source.K[0, 2] - self.shift_u) / self.scale_u
        cy = (source.K[1, 2] - self.shift_v) / self.scale_v
        return PinholeCamera.from_focal(fx, fy, cx, cy, size)


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """Where target pixels lie along one axis of the source."""

    low: Indices
    """First of the two source pixels around each."""
    high: Indices
    """The second one; the same where the source has only one."""
    weight: NDArray[np.float32]
    """Of the second one; below 0 and above 1 in the outer half of a border pixel."""
    nearest: Indices
    inside: Mask
    """Whether the source covers the place."""


def _axis(scale: float, shift: float, target: int, source: int) -> _Axis:
    place = scale * np.arange(target) + shift
    low = np.clip(np.floor(place), 0, max(source - 2, 0)).astype(np.int64)
    return _Axis(
        low=low,
        high=np.minimum(low + 1, source - 1),
        weight=np.clip(place - low, -0.5, 1.5).astype(np.float32),
        nearest=np.clip(np.floor(place + 0.5), 0, source - 1).astype(np.int64),
        inside=(place >= -0.5 - _BORDER_PX) & (place <= source - 0.5 + _BORDER_PX),
    )


class DepthResampler:
    """Brings images that belong to one depth image to another resolution.

    Args:
        depth: (H, W), NaN unknown.
        pixel_map: where the target's pixels lie in it.
        size: of the target.
    """

    def __init__(self, depth: FloatImage, pixel_map: PixelMap, size: ImageSize) -> None:
        height, width = depth.shape
        self._u = _axis(pixel_map.scale_u, pixel_map.shift_u, size.width, width)
        self._v = _axis(pixel_map.scale_v, pixel_map.shift_v, size.height, height)
        self._depth = depth
        self._inverse = inverse_depth(depth)
        self._smooth = self._one_surface()
        self._inside = self._v.inside[:, None] & self._u.inside

    def _one_surface(self) -> Mask:
        """Return for every target pixel whether the four pixels around it are one surface."""
        height, width = self._depth.shape
        across = np.zeros((height, max(width - 1, 1)), bool)
        down = np.zeros((max(height - 1, 1), width), bool)
        if width > 1:
            across = edges_right(self._inverse, _EDGE_STEP)
        if height > 1:
            down = edges_down(self._inverse, _EDGE_STEP)
        u, v = self._u, self._v
        edge = across[v.low] | across[v.high]
        edge = edge[:, u.low]
        edge |= (down[:, u.low] | down[:, u.high])[v.low]
        return ~edge

    def depth(self) -> FloatImage:
        """Return the depth at the new resolution, NaN where unknown or not covered."""
        inverse = _bilinear(self._inverse, self._u, self._v)
        usable = self._smooth & (inverse > 0)
        np.copyto(inverse, np.float32(1), where=~usable)
        found = np.where(usable, np.float32(1) / inverse, self.nearest(self._depth))
        return np.asarray(np.where(self._inside, found, np.float32(np.nan)), dtype=np.float32)

    def along(self, values: FloatImage) -> FloatImage:
        """Return another image (H, W) of the same pixels at the new resolution.

        It is interpolated inside surfaces only, and stays within its own values; NaN where the
        depth image does not cover the place.
        """
        mixed = np.where(
            self._smooth,
            _bilinear(values, _within(self._u), _within(self._v)),
            self.nearest(values),
        )
        return np.asarray(np.where(self._inside, mixed, np.float32(np.nan)), dtype=np.float32)

    def nearest(self, values: NDArray[_Value]) -> NDArray[_Value]:
        """Return the value of the nearest pixel of an image (H, W) at every target pixel."""
        return np.asarray(values[self._v.nearest][:, self._u.nearest])

    def mask(self, values: Mask) -> Mask:
        """Return a mask (H, W) at the new resolution, False where it is not covered."""
        return np.asarray(self.nearest(values) & self._inside)


def resampled_mask(values: Mask, pixel_map: PixelMap, size: ImageSize) -> Mask:
    """Return a mask (H, W) at another resolution, by nearest pixel, False where not covered.

    Args:
        values: the mask.
        pixel_map: where the target's pixels lie in it.
        size: of the target.
    """
    height, width = values.shape
    u = _axis(pixel_map.scale_u, pixel_map.shift_u, size.width, width)
    v = _axis(pixel_map.scale_v, pixel_map.shift_v, size.height, height)
    near = values[v.nearest][:, u.nearest]
    return np.asarray(near & v.inside[:, None] & u.inside)


def _within(axis: _Axis) -> _Axis:
    return _Axis(axis.low, axis.high, np.clip(axis.weight, 0, 1), axis.nearest, axis.inside)


def _bilinear(values: FloatImage, u: _Axis, v: _Axis) -> FloatImage:
    left, right = values[:, u.low], values[:, u.high]
    rows = left + u.weight * (right - left)
    upper, lower = rows[v.low], rows[v.high]
    return np.asarray(upper + v.weight[:, None] * (lower - upper), dtype=np.float32)
