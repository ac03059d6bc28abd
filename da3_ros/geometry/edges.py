"""Where depth images jump from one surface to another, and pixels that hang in between.

A surface seen at a grazing angle changes its depth quickly too. The inverse depth of a plane is an
affine function of the pixel, so equal steps of it in a row are a plane, however large they are.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

# Steps whose ratio is at most this count as equal; noise and curved surfaces need some room.
_EQUAL_RATIO = 1.5
# The step on the far side of a flying pixel, as a share of the one that makes an edge.
_HANGING_SHARE = 0.25
# Nearer than this there is nothing, and 1 / depth would grow without bounds.
_NEAREST = 1e-6
# More than what float32 rounds away where steps are looked for.
_ROUNDING = 1e-5


def inverse_depth(depth: FloatImage) -> FloatImage:
    """Return 1 / depth (H, W); NaN where depth is unknown (NaN, zero or less), 0 for +Inf."""
    with np.errstate(divide='ignore', over='ignore'):
        inverse = np.asarray(np.divide(np.float32(1), depth, dtype=np.float32))
    np.copyto(inverse, np.float32(np.nan), where=~(depth > _NEAREST))
    return inverse


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
    change, edge = _changes(inverse, step)
    rows, columns = _places(edge & np.isfinite(change))
    if len(rows):
        # A single step has nothing to be like.
        edge[rows, columns] = ~_is_plane(change, rows, columns) | (change.shape[1] == 1)
    return edge


def _changes(inverse: FloatImage, step: float) -> tuple[FloatImage, Mask]:
    """Return (H, W - 1) the change to the right neighbour, and where it is large or unknown."""
    left, right = inverse[:, :-1], inverse[:, 1:]
    change = right - left
    limit = np.maximum(left, right)
    limit *= np.float32(step)
    large = np.abs(change) <= limit
    return change, np.logical_not(large, out=large)


def _places(mask: Mask) -> tuple[Indices, Indices]:
    """Return rows and columns of a mask, in the order in which it lies in memory."""
    if mask.flags.c_contiguous:
        rows, columns = np.nonzero(mask)
    else:
        columns, rows = np.nonzero(mask.T)
    return rows, columns


def _is_plane(change: FloatImage, rows: Indices, columns: Indices) -> Mask:
    """Return of single steps whether the two on either side are like them."""
    here = change[rows, columns]
    others: list[FloatImage] = []
    for offset in (-2, -1, 1, 2):
        other = columns + offset
        inside = (other >= 0) & (other < change.shape[1])
        others.append(change[rows, np.where(inside, other, columns)])
    return _are_alike(others, here)


def _are_alike(others: Iterable[FloatImage], here: FloatImage) -> Mask:
    """Return of steps (N,) whether all others beside them, each (N,), are like them."""
    like: Mask = np.ones(len(here), bool)
    for other in others:
        with np.errstate(over='ignore', divide='ignore', invalid='ignore'):
            ratio = other / here
        like &= (ratio <= _EQUAL_RATIO) & (ratio >= 1 / _EQUAL_RATIO)
    return like


def edges_down(inverse: FloatImage, step: float) -> Mask:
    """Return (H - 1, W) the same between every pixel and the one below; see `edges_right`."""
    return np.asarray(edges_right(inverse.T, step).T)


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
    marked = np.zeros(depth.shape, bool)
    # As a share of the nearer one's inverse, a step is 1 - near / far.
    limit = np.multiply(depth, np.float32(1 - step + _ROUNDING), dtype=np.float32)
    _mark_in_rows(marked, depth, limit, step)
    _mark_in_rows(marked.T, depth.T, limit.T, step)
    return marked


def _mark_in_rows(marked: Mask, depth: FloatImage, limit: FloatImage, step: float) -> None:
    """Mark the pixels that hang between their neighbours in a row; edges are few, pixels many.

    Args:
        marked: (H, W), where they are marked.
        depth: (H, W).
        limit: (H, W), below which the depth of a neighbour may be an edge.
        step: as for `flying_pixels`.
    """
    large = depth[:, :-1] < limit[:, 1:]
    large |= depth[:, 1:] < limit[:, :-1]
    rows, columns = _places(large)
    if not len(rows):
        return
    # Of the three pixels on either side of every step.
    places = columns[:, None] + np.arange(-2, 4)
    is_outside = (places < 0) | (places >= depth.shape[1])
    inverse = inverse_depth(depth[rows[:, None], np.clip(places, 0, depth.shape[1] - 1)])
    inverse[is_outside] = np.nan
    change = np.diff(inverse, axis=1)
    here = change[:, 2]
    is_edge = np.abs(here) > np.float32(step) * np.maximum(inverse[:, 2], inverse[:, 3])
    # What is missing beyond the border is taken to be like it.
    change_or_here = np.where(is_outside[:, :-1] | is_outside[:, 1:], here[:, None], change)
    is_edge &= ~_are_alike(change_or_here[:, [0, 1, 3, 4]].T, here)
    for pixel in (2, 3):
        least = np.float32(_HANGING_SHARE * step) * inverse[:, pixel]
        before, after = change[:, pixel - 1], change[:, pixel]
        falls = (before > least) & (after > least)
        rises = (before < -least) & (after < -least)
        hangs = is_edge & (falls | rises)
        marked[rows[hangs], columns[hangs] + (pixel - 2)] = True
