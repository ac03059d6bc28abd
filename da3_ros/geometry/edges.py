"""Where depth images jump from one surface to another, and pixels that hang in between.

A surface seen at a grazing angle changes its depth quickly too. The inverse depth of a plane is an
affine function of the pixel, so equal steps of it in a row are a plane, however large they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Steps whose ratio is at most this count as equal; noise and curved surfaces need some room.
_EQUAL_RATIO = 1.5
# The step on the far side of a flying pixel, as a share of the one that makes an edge.
_HANGING_SHARE = 0.25
# Nearer than this there is nothing, and 1 / depth would grow without bounds.
_NEAREST = 1e-6


def inverse_depth(depth: FloatImage) -> FloatImage:
    """Return 1 / depth (H, W); NaN where depth is unknown (NaN, zero or less), 0 for +Inf."""
    unknown = ~(depth > _NEAREST)
    safe = np.where(unknown, np.float32(1), depth)
    inverse = np.where(unknown, np.float32(np.nan), np.float32(1) / safe)
    return np.asarray(inverse, dtype=np.float32)


def edges_right(inverse: FloatImage, step: float) -> Mask:
    """Return (H, W - 1) whether there is an edge between every pixel and its right neighbour.

    An edge is a change of the inverse depth by more than the share `step` of the larger one,
    unless the two steps on either side of it are like it, as on a plane. At the image's border
    what is missing is taken to be like it. Where one of the two pixels is unknown there is an
    edge.

    Args:
        inverse: (H, W) as `inverse_depth` gives it.
        step: relative, > 0.
    """
    change = np.diff(inverse, axis=1)
    limit = np.float32(step) * np.maximum(inverse[:, 1:], inverse[:, :-1])
    edge: Mask = ~(np.abs(change) <= limit)
    if edge.any():
        # Few rows have one; only their candidates are looked at more closely.
        rows, columns = np.nonzero(edge & np.isfinite(change))
        here = change[rows, columns]
        like = np.ones(len(here), bool)
        for offset in (-2, -1, 1, 2):
            other = columns + offset
            inside = (other >= 0) & (other < change.shape[1])
            with np.errstate(over='ignore'):
                ratio = change[rows, np.where(inside, other, columns)] / here
            like &= (ratio <= _EQUAL_RATIO) & (ratio >= 1 / _EQUAL_RATIO)
        # A single step has nothing to be like.
        edge[rows, columns] = ~like | (change.shape[1] == 1)
    return edge


def edges_down(inverse: FloatImage, step: float) -> Mask:
    """Return (H - 1, W) the same between every pixel and the one below; see `edges_right`."""
    return np.ascontiguousarray(edges_right(np.ascontiguousarray(inverse.T), step).T)


def flying_pixels(depth: FloatImage, step: float) -> Mask:
    """Return (H, W) which pixels hang between a nearer and a farther surface.

    Networks blur the edges of depth, which makes points in the empty space behind every edge.
    Such a pixel is nearer than its neighbour on one side and farther than the one on the other,
    in a row or in a column, and one of the two is across an edge. Pixels next to a clean edge, and
    thin things in front of a background, are none.

    Args:
        depth: (H, W); what is not finite is never marked.
        step: smallest change of the inverse depth between neighbours that is an edge, as a share
            of the larger one.
    """
    inverse = inverse_depth(depth)
    marked = _hanging_in_rows(inverse, step)
    marked |= _hanging_in_rows(np.ascontiguousarray(inverse.T), step).T
    return np.asarray(marked & np.isfinite(depth))


def _hanging_in_rows(inverse: FloatImage, step: float) -> Mask:
    marked = np.zeros(inverse.shape, bool)
    if inverse.shape[1] < 3:
        return marked
    edge = edges_right(inverse, step)
    change = np.diff(inverse, axis=1)
    least = np.float32(_HANGING_SHARE * step) * inverse[:, 1:-1]
    before, after = change[:, :-1], change[:, 1:]
    falls = (before > least) & (after > least)
    rises = (before < -least) & (after < -least)
    marked[:, 1:-1] = (falls | rises) & (edge[:, :-1] | edge[:, 1:])
    return marked
