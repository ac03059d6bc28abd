"""Posed views to the points that are drawn: known, clean, evenly thinned, in the world."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.edges import flying_pixels
from da3_ros.geometry.se3 import transform_points
from da3_ros.geometry.unproject import unproject_pixels
from da3_ros.types import ColourImage, Mask, PosedSet, PosedView
from da3_ros.web.settings import ViewSettings


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPoints:
    """Points with what the controls filter by."""

    points: NDArray[np.float32]
    """(P, 3), world."""
    colours: ColourImage
    """(P, 3) uint8 RGB."""
    confidence: NDArray[np.float32]
    """(P,), raw; +Inf where the network gives none."""
    depth: NDArray[np.float32]
    """(P,), along the axis of the camera that saw the point, world units."""
    height: NDArray[np.float32]
    """(P,), above the robot's base, world units."""

    def near_and_sure(self, settings: ViewSettings) -> Mask:
        """Return which points (P,) are near and certain enough for the settings."""
        mask = self.confidence >= settings.min_confidence
        if settings.max_depth > 0:
            mask &= self.depth <= settings.max_depth
        return mask

    def visible(self, settings: ViewSettings) -> Mask:
        """Return which points (P,) the settings leave: `near_and_sure`, and not too high."""
        mask = self.near_and_sure(settings)
        if settings.max_height > 0:
            mask &= self.height <= settings.max_height
        return mask


def points_of_set(posed: PosedSet, settings: ViewSettings) -> DrawnPoints:
    """Return the points of all views of a set, before the filters of `DrawnPoints.visible`."""
    parts = [_points_of_view(view, posed, settings) for view in posed.views]
    return DrawnPoints(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.colours for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.depth for part in parts]),
        np.concatenate([part.height for part in parts]),
    )


def _points_of_view(view: PosedView, posed: PosedSet, settings: ViewSettings) -> DrawnPoints:
    known = np.isfinite(view.depth) & (view.depth > 0)
    if view.sky is not None:
        known &= ~view.sky
    if settings.edge_filter > 0:
        known &= ~flying_pixels(view.depth, settings.edge_filter)
    pixels = evenly_spread(known, settings.points_per_view)
    rows, columns = np.divmod(pixels, view.depth.shape[1])
    depth = view.depth[rows, columns]
    in_camera = unproject_pixels(np.stack([columns, rows], axis=-1), depth, view.camera.K)
    points = transform_points(view.world_from_camera, in_camera)
    if view.confidence is None:
        confidence = np.full(len(pixels), np.inf, np.float32)
    else:
        confidence = view.confidence[rows, columns]
    height = points[:, 2] - posed.world_from_base[2, 3]
    return DrawnPoints(
        points.astype(np.float32),
        view.image[rows, columns],
        confidence,
        depth,
        height.astype(np.float32),
    )


def evenly_spread(mask: Mask, count: int) -> NDArray[np.int64]:
    """Return flat indices of at most `count` set pixels of a mask (H, W), spread evenly.

    Equal masks give equal choices, and a smaller count gives a part of a larger one's.
    """
    order = _dither_order(*mask.shape)
    return order[mask.ravel()[order]][:count]


@lru_cache(maxsize=8)
def _dither_order(height: int, width: int) -> NDArray[np.int64]:
    """Return the flat indices of an image in the order of a Bayer matrix that covers it.

    In that order every next pixel falls into the widest gap, so that any first part of it is
    spread evenly over the image.
    """
    bits = max(height - 1, width - 1, 1).bit_length()
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    mixed = rows ^ columns
    rank = np.zeros((height, width), np.int64)
    for bit in range(bits):
        # The lowest bit of a position decides most: it is the first to part neighbours.
        rank = rank << 2 | (mixed >> bit & 1) << 1 | (rows >> bit & 1)
    order = np.argsort(rank, axis=None)
    order.flags.writeable = False
    return order
