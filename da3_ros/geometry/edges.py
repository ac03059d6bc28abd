"""Where depth images jump from one surface to another, and pixels that hang in between.

A surface seen at a grazing angle changes its depth quickly too. The inverse depth of a plane is an
affine function of the pixel, so equal steps of it in a row are a plane, however large they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

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
    if mask.flags.f_contiguous and not mask.flags.c_contiguous:
        columns, rows = _places(mask.T)
        return rows, columns
    # Of flat masks NumPy finds them forty times as fast as of those with two axes.
    rows, columns = np.divmod(np.flatnonzero(mask), max(mask.shape[1], 1))
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
    z = np.ascontiguousarray(depth, np.float32)
    marked = np.zeros(z.shape, bool)
    # As a share of the nearer one's inverse, a step is 1 - near / far.
    limit = np.multiply(z, np.float32(1 - step + _ROUNDING), dtype=np.float32)
    for axis in (0, 1):
        steps = _Steps.large(z, limit, axis)
        for hangs, offset in steps.hanging(step):
            marked.reshape(-1)[hangs + offset] = True
    return marked


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Steps from pixels of an image to the next ones in a row or a column; few, of many pixels.

    Images are flat: comparing them needs no regard to where their rows end.
    """

    depth: FloatImage
    """(H * W,)."""
    stride: int
    """From a pixel to the next one."""
    length: int
    """Pixels of a row or column."""
    pixels: Indices
    """(N,), the first pixel of each step."""
    along: Indices
    """(N,), where that is in its row or column."""

    @staticmethod
    def large(depth: FloatImage, limit: FloatImage, axis: int) -> _Steps:
        """Return the steps of an image (H, W) at which one depth is below the limit of the other.

        Args:
            depth: (H, W), C-contiguous.
            limit: (H, W), the same.
            axis: 0 for steps in columns, 1 for those in rows.
        """
        width = depth.shape[1]
        stride = 1 if axis else width
        z, bound = depth.reshape(-1), limit.reshape(-1)
        is_large = z[:-stride] < bound[stride:]
        is_large |= z[stride:] < bound[:-stride]
        pixels = np.flatnonzero(is_large)
        along = pixels % width if axis else pixels // width
        if axis:  # a row's last pixel has none behind it
            is_inner = along < width - 1
            pixels, along = pixels[is_inner], along[is_inner]
        return _Steps(z, stride, depth.shape[axis], pixels, along)

    def hanging(self, step: float) -> Iterator[tuple[Indices, int]]:
        """Yield pixels that begin a step and hang, then those that end one: with their offset."""
        if not len(self.pixels):
            return
        inverse = [self._inverse(offset) for offset in (-1, 0, 1, 2)]
        change = [after - before for before, after in pairwise(inverse)]
        least = [np.float32(_HANGING_SHARE * step) * each for each in inverse]
        hangs = [_is_between(change[i], change[i + 1], least[i + 1]) for i in (0, 1)]
        is_edge = np.abs(change[1]) > np.float32(step) * np.maximum(inverse[1], inverse[2])
        kept = np.flatnonzero(is_edge & (hangs[0] | hangs[1]))
        left = replace(self, pixels=self.pixels[kept], along=self.along[kept])
        is_edge = ~left._is_plane([each[kept] for each in inverse])
        for offset in (0, 1):
            yield left.pixels[is_edge & hangs[offset][kept]], offset * self.stride

    def _is_plane(self, inverse: Sequence[FloatImage]) -> Mask:
        """Return of every step whether the two on either side are like it.

        Args:
            inverse: depth of the four pixels around it.
        """
        wide = [self._inverse(-2), *inverse, self._inverse(3)]
        here = wide[3] - wide[2]
        others: list[FloatImage] = []
        for first in (-2, -1, 1, 2):
            # What is missing beyond the border is taken to be like it.
            is_inside = (self.along + first >= 0) & (self.along + first < self.length - 1)
            others.append(np.where(is_inside, wide[first + 3] - wide[first + 2], here))
        return _are_alike(others, here)

    def _inverse(self, offset: int) -> FloatImage:
        """Return the inverse depth so many pixels behind the first of each step; NaN outside."""
        inverse = inverse_depth(
            np.take(self.depth, self.pixels + offset * self.stride, mode='clip')
        )
        place = self.along + offset
        inverse[(place < 0) | (place >= self.length)] = np.nan
        return inverse


def _is_between(before: FloatImage, after: FloatImage, least: FloatImage) -> Mask:
    """Return where two steps in a row go the same way, each by more than the least."""
    return ((before > least) & (after > least)) | ((before < -least) & (after < -least))
