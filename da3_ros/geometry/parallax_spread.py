"""How well a unit of depth that images agree about is known, by how much parts of them disagree.

Many thousand pixels share few causes of error: a camera pose that is a little wrong, a shutter
that rolls, depth of a wrong shape. Their noise says nothing about these. What does:

- Parts of the images look for the unit by themselves. Where depth has the wrong shape, or images
  were taken at other moments than the poses, near parts want another unit than far ones.
- Across the direction of parallax nothing should be displaced at all. How far parts are displaced
  there tells how far the given poses are off; along the direction it is as far, and looks like
  another unit.

Their weights are fitted to pictures with measured depth (stereo, Kinect, HoloLens) and to rendered
rooms with exact poses, where two sigma of the sum cover 95 % of errors.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.robust import MAD_TO_SIGMA

Float32Array = NDArray[np.float32]

GRID = np.linspace(-0.5, 0.5, 41)
"""Logarithms around the unit that was found, at which parts are looked at."""
SHIFTS_PX = np.linspace(-4.0, 4.0, 17)
"""Across the direction of parallax."""
PARTS = (3, 4)
"""Rows and columns of parts of an image."""

_LEAST_POINTS = 25
_LEAST_PARTS = 6
# A part counts where its best place is better than usual by this share.
_LEAST_CONTRAST = 0.1
_EDGE = 0.45
# Beyond these depth has another shape than what the images show.
_MOST_CONTRADICTION = 0.45
# Of the spread: least where poses are exact, since the rest is noise of parts, which their number
# averages; most where poses are off by so much, since then all parts are.
_LEAST_SHARE = 0.2
_MOST_SHARE = 0.53
_OFF_PX = 0.25
_OFFSET_SHARE = 0.22
_FLOOR = 0.002
# Two views have one pose between them, whose errors nothing averages.
_FEW_VIEWS = {2: 1.5, 3: 1.15}


@dataclass(frozen=True, slots=True, eq=False)
class PartCosts:
    """Differences between two views, of points that are seen at every place."""

    along: FloatArray
    """(G, P) for every unit of `GRID`."""
    across: FloatArray
    """(S, P) for every shift of `SHIFTS_PX`."""
    parallax_px: FloatArray
    """(P,) how far a point moves while the unit becomes e times as large."""
    part: NDArray[np.intp]
    """(P,) the part of the image that a point lies in."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What parts of images say about a unit."""

    parts: int
    """How many say anything."""
    spread: float
    """Robust standard deviation of the logarithms that they find."""
    at_edge: float
    """Share of them that find nothing within `GRID`."""
    offset_px: float
    """Robust standard deviation of the displacement across the direction of parallax."""
    parallax_px: float
    """Median over the parts; see `PartCosts`."""

    def sigma(self, views: int) -> float | None:
        """Return the standard deviation of the logarithm of the unit.

        Args:
            views: whose poses are known.

        Returns:
            None where the parts contradict one another, or hardly any says something.
        """
        if self.parts < _LEAST_PARTS or self.parallax_px <= 0:
            return None
        if self.spread + self.at_edge > _MOST_CONTRADICTION:
            return None
        pose = _OFFSET_SHARE * self.offset_px / self.parallax_px
        share = _LEAST_SHARE + (_MOST_SHARE - _LEAST_SHARE) * min(1.0, self.offset_px / _OFF_PX)
        total = math.sqrt((share * self.spread) ** 2 + pose**2 + _FLOOR**2)
        return total * _FEW_VIEWS.get(views, 1.0)


def part_costs(
    other: Float32Array,
    value: Float32Array,
    places: Float32Array,
    inside: NDArray[np.bool_],
    most_difference: float,
) -> PartCosts | None:
    """Return the differences of one view to another.

    Args:
        other: (H, W) the other view.
        value: (P,) what the view shows.
        places: (2, G, P) pixels in the other view for every unit of `GRID`.
        inside: (G, P) which of them are in the image.
        most_difference: larger differences count as much.

    Returns:
        None when too few points stay in the image.
    """
    common = inside.all(axis=0)
    if common.sum() < _LEAST_POINTS:
        return None
    pixels = np.ascontiguousarray(places[:, :, common])
    shown = value[common]
    middle = len(GRID) // 2
    step = (pixels[:, middle + 1] - pixels[:, middle - 1]) / (GRID[middle + 1] - GRID[middle - 1])
    parallax = np.linalg.norm(step, axis=0)
    across = np.stack([-step[1], step[0]]) / np.maximum(parallax, 1e-6)
    shifted = pixels[:, middle, None] + SHIFTS_PX[None, :, None] * across[:, None]
    height, width = other.shape
    u, v = pixels[:, middle]
    rows, columns = PARTS
    part = np.minimum(v * rows // height, rows - 1) * columns
    part = part + np.minimum(u * columns // width, columns - 1)
    return PartCosts(
        _differences(other, pixels, shown, most_difference),
        _differences(other, shifted.astype(np.float32), shown, most_difference),
        np.asarray(parallax, np.float64),
        part.astype(np.intp),
    )


def agreement(costs: list[PartCosts]) -> Agreement | None:
    """Return what the parts of all pairs of views say; None where none says anything."""
    logs: list[float] = []
    offsets: list[float] = []
    parallax: list[float] = []
    for pair in costs:
        for part in range(PARTS[0] * PARTS[1]):
            points = pair.part == part
            if points.sum() < _LEAST_POINTS:
                continue
            parallax.append(float(np.median(pair.parallax_px[points])))
            _add(logs, GRID, pair.along[:, points].sum(axis=1))
            _add(offsets, SHIFTS_PX, pair.across[:, points].sum(axis=1))
    if not (logs and offsets):
        return None
    found = np.array(logs)
    return Agreement(
        parts=len(logs),
        spread=MAD_TO_SIGMA * float(np.median(np.abs(found - np.median(found)))),
        at_edge=float((np.abs(found) > _EDGE).mean()),
        offset_px=MAD_TO_SIGMA * float(np.median(np.abs(offsets))),
        parallax_px=float(np.median(parallax)),
    )


def lowest(places: FloatArray, costs: FloatArray) -> float:
    """Return where the parabola through the lowest of equally spaced costs is lowest."""
    index = int(np.clip(np.argmin(costs), 1, len(costs) - 2))
    left, middle, right = (float(cost) for cost in costs[index - 1 : index + 2])
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature > 0 else 0.0
    return float(places[index] + np.clip(shift, -1.0, 1.0) * (places[1] - places[0]))


def _add(found: list[float], places: FloatArray, curve: FloatArray) -> None:
    if curve.min() < (1 - _LEAST_CONTRAST) * float(np.median(curve)):
        found.append(lowest(places, curve))


def _differences(
    other: Float32Array, pixels: Float32Array, shown: Float32Array, most: float
) -> FloatArray:
    seen = cv2.remap(
        other, np.ascontiguousarray(pixels[0]), np.ascontiguousarray(pixels[1]), cv2.INTER_LINEAR
    )
    return np.asarray(np.minimum(np.abs(seen - shown), most), np.float64)
