"""Intrinsics that a dataset states once, at the size that its images have."""

from __future__ import annotations

from collections.abc import Sequence

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.sources.lenses import Distortion, OpenCvLens

# Sides of a resized image are whole pixels: the aspect ratio changes by that much.
_ASPECT_PX = 1.5


def has_aspect(size: ImageSize, original: ImageSize) -> bool:
    """Return whether an image of a size may be one of another size, resized."""
    return abs(size.width * original.height / original.width - size.height) <= _ASPECT_PX


def lens_of(
    given: Sequence[float],
    stated: ImageSize,
    seen: ImageSize,
    distortion: Distortion = 'none',
    coefficients: Sequence[float] = (),
) -> OpenCvLens:
    """Return the lens of images that may be resized ones of those that were calibrated.

    Args:
        given: fx fy cx cy, the first pixel's centre at (0, 0).
        stated: the size that they are for.
        seen: the size of the images.
        distortion: of the coefficients; all of them 0 are none.
        coefficients: as `OpenCvLens` has them.

    Raises:
        SourceError: not four numbers, or the aspect ratios differ.
        GeometryError: they are no intrinsics.
    """
    if len(given) != 4:
        raise SourceError(f'expected fx fy cx cy, got {len(given)} numbers')
    if not has_aspect(seen, stated):
        raise SourceError(
            f'intrinsics are of {stated.width}x{stated.height}, images of '
            f'{seen.width}x{seen.height} are no resized ones'
        )
    fx, fy, cx, cy = given
    camera = PinholeCamera.from_focal(fx, fy, cx, cy, stated)
    if seen != stated:
        camera = camera.resized(seen)
    if distortion != 'equidistant' and not any(coefficients):
        return OpenCvLens(camera)
    return OpenCvLens(camera, distortion, tuple(coefficients))
