"""Depth images of 16 bits: values along the optical axis in a unit that the kind says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import SourceError
from da3_ros.foreign import foreign_file, plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import transform_points
from da3_ros.images.opening import load, opened
from da3_ros.sources.datasets.intrinsics import has_aspect
from da3_ros.sources.images import read_header
from da3_ros.sources.lenses import Lens
from da3_ros.sources.rectification import rectification_of
from da3_ros.types import FloatImage

METRES_FROM_MM = 0.001


def read_steps(path: Path) -> NDArray[np.integer[Any]]:
    """Return the values (H, W) of an image of one channel of 16 bits, as they are stored.

    Raises:
        SourceError: it is none.
    """
    with foreign_file(path, 'depth image'), opened(path) as image:
        if not image.mode.startswith('I'):
            raise ValueError(f'expected one channel of 16 bits, got {image.mode}')
        load(image)
        return np.asarray(image)


@dataclass(frozen=True, slots=True, eq=False)
class DepthView:
    """The depth camera, where it is another one than that of the image."""

    camera: PinholeCamera
    depth_from_color: FloatArray
    """(4, 4) pose of the image's camera in the frame of the depth camera, metres."""


@dataclass(frozen=True, slots=True)
class DepthFiles:
    """How the values of a dataset's depth images are read."""

    unit_m: float
    """Metres of a step."""
    unknown: tuple[int, ...] = (0,)
    """Values that say that nothing was measured."""

    def read(
        self, path: Path, image: Path, lens: Lens | None, view: DepthView | None = None
    ) -> FloatImage:
        """Return depth (H, W) of an image as `Dataset.read_image` returns it; NaN unknown.

        Args:
            path: of the depth image.
            image: of the image that it belongs to, whose size it gets.
            lens: of that image; its distortion is undone.
            view: the depth camera, where it is another one.

        Raises:
            SourceError: a file is damaged, the depth image has not one channel of 16 bits, or
                another aspect ratio than the image.
        """
        depth = self._stored(path)
        size = read_header(image).stored_size
        if view is not None and lens is not None:
            depth = _seen_from_color(depth, view, lens.pinhole.resized(size))
        depth = _picked(depth, size, path)
        if lens is not None and lens.is_distorted:
            depth = rectification_of(lens).pick(depth)
        return depth

    def _stored(self, path: Path) -> FloatImage:
        steps = read_steps(path).astype(np.int64)
        known = (steps > 0) & ~np.isin(steps, self.unknown)
        return np.where(known, steps * self.unit_m, np.nan).astype(np.float32)


IN_MM = DepthFiles(METRES_FROM_MM)
"""Millimetres, 0 unknown."""


def _picked(depth: FloatImage, size: ImageSize, path: Path) -> FloatImage:
    """Return depth at the size of its image, each pixel the nearest one's."""
    height, width = depth.shape
    if (height, width) == (size.height, size.width):
        return depth
    if not has_aspect(size, ImageSize(height, width)):
        raise SourceError(
            f'depth image {plain_path(path)}: expected the aspect ratio of its image '
            f'{size.width}x{size.height}, got {width}x{height}'
        )
    rows = ((np.arange(size.height) + 0.5) * height / size.height).astype(int)
    columns = ((np.arange(size.width) + 0.5) * width / size.width).astype(int)
    return np.ascontiguousarray(depth[rows[:, None], columns])


def _seen_from_color(depth: FloatImage, view: DepthView, color: PinholeCamera) -> FloatImage:
    """Return depth of a depth camera as the colour camera sees it, the nearest where two meet."""
    camera = view.camera.resized(ImageSize(*depth.shape))
    known = np.isfinite(depth)
    points = (camera.rays() * depth[..., None])[known]
    seen = transform_points(np.linalg.inv(view.depth_from_color), points)
    seen = seen[seen[:, 2] > 0]
    pixels = np.rint(color.project(seen)).astype(int)
    inside = (pixels >= 0).all(axis=1) & (pixels < (color.size.width, color.size.height)).all(
        axis=1
    )
    found = np.full((color.size.height, color.size.width), np.inf)
    np.minimum.at(found, (pixels[inside, 1], pixels[inside, 0]), seen[inside, 2])
    return np.where(np.isfinite(found), found, np.nan).astype(np.float32)
