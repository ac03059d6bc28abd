"""The scene of a demo run from above, with the trajectory on it and a scale below."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.cli.demo_results import DemoResults, DemoTruth, true_poses
from da3_ros.export.picture_text import (
    INK,
    PAPER,
    Rgb,
    draw_text,
    line_height,
    number_text,
    stacked,
    text_strip,
)
from da3_ros.geometry.arrays import FloatArray
from da3_ros.types import ColourImage

ESTIMATE: Rgb = (214, 48, 49)
TRUTH: Rgb = (0, 130, 90)
_TEXT = 0.55
# Points so far above the trajectory would hide the room: its ceiling.
_HEADROOM = 1.2
_MARGIN = 1.08
_BAR_STEPS = (5.0, 2.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class ScenePoints:
    """Points of the exported scene, for the view from above."""

    xyz: NDArray[np.float32]
    """(P, 3), world units, z up."""
    rgb: NDArray[np.uint8]
    """(P, 3)."""


def top_view(
    results: DemoResults, truth: DemoTruth, points: ScenePoints, side: int, unit: str
) -> ColourImage:
    """Return the points seen from +z, x to the right, y up, under words that say what is what.

    Args:
        results: trajectory of the run.
        truth: true trajectory, where there is one.
        points: of the exported scene.
        side: of the square that shows them, px.
        unit: of the world.
    """
    stamps = sorted(results.poses)
    path = np.array([results.poses[s][:3, 3] for s in stamps]).reshape(-1, 3)
    common = sorted(set(stamps) & set(truth.poses))
    true_path = (
        true_poses(results, truth, common)[:, :3, 3] if common else np.empty((0, 3), np.float64)
    )
    # Without this the ceiling would cover the room.
    limit = (np.median(path[:, 2]) if len(path) else 0.0) + _HEADROOM
    is_low = points.xyz[:, 2] < limit
    xyz, rgb = points.xyz[is_low], points.rgb[is_low]
    shown = np.concatenate([_inner(xyz[:, :2]), path[:, :2], true_path[:, :2]])
    shown = shown[np.isfinite(shown).all(axis=1)]
    if len(shown) == 0:
        return text_strip('from above: no point and no pose to show', side, _TEXT)
    low, high = shown.min(axis=0), shown.max(axis=0)
    span = float(max(high - low)) * _MARGIN or 1.0
    place = _Place((low + high) / 2, span, side)
    picture = np.full((side, side, 3), PAPER, np.uint8)
    _draw_points(picture, place, xyz, rgb)
    # The truth is drawn wider below the estimate, so that it shows where the two agree, too.
    for line, ink, width in ((true_path, TRUTH, 7), (path, ESTIMATE, 2)):
        if len(line):
            corners = place.pixels(line).astype(np.int32).reshape(-1, 1, 2)
            cv2.polylines(picture, [corners], False, ink, width, cv2.LINE_AA)
            cv2.circle(picture, tuple(map(int, corners[0, 0])), 5, ink, -1, cv2.LINE_AA)
    words = (
        'the exported scene from above (x right, y up), without what is higher than '
        f'{_HEADROOM:g} {unit} above the cameras; red: estimated trajectory'
    )
    words += ', green: the true one; dots: start' if len(true_path) else '; dot: start'
    return stacked([text_strip(words, side, _TEXT), picture, scale_bar(span, side, unit)])


def scale_bar(span: float, side: int, unit: str) -> ColourImage:
    """Return a strip (H, side, 3) with a bar of a round length of at most a third of the width.

    Args:
        span: what the width stands for, world units.
        side: width, px.
        unit: of the world.
    """
    power = 10.0 ** np.floor(np.log10(span / 3))
    length = next(step * power for step in _BAR_STEPS if step * power <= span / 3)
    pixels = round(length / span * side)
    step = line_height(_TEXT)
    strip = np.full((2 * step, side, 3), PAPER, np.uint8)
    strip[step // 2 - 1 : step // 2 + 2, 14 : 14 + pixels] = INK
    strip[step // 4 : 3 * step // 4, [14, 13 + pixels]] = INK
    draw_text(strip, f'{length:g} {unit}', 14, step * 7 // 8, _TEXT, INK)
    width = f'the picture is {number_text(span)} {unit} wide'
    draw_text(strip, width, 14 + pixels + step, step // 8, _TEXT, INK)
    return strip


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where the world is on the picture."""

    centre: FloatArray
    """(2,) x and y in the middle."""
    span: float
    side: int

    def pixels(self, xyz: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return column and row (P, 2) of points (P, 2 or 3)."""
        scaled = (xyz[:, :2] - self.centre) / self.span * self.side
        middle = self.side / 2
        return np.stack([middle + scaled[:, 0], middle - scaled[:, 1]], -1).astype(np.int64)


def _draw_points(
    picture: ColourImage, place: _Place, xyz: NDArray[np.float32], rgb: NDArray[np.uint8]
) -> None:
    # Painted from below to above, so that the top of a box hides the floor beneath it.
    order = np.argsort(xyz[:, 2])
    at = place.pixels(xyz[order])
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        corner = at + np.array([right, below])
        inside = ((corner >= 0) & (corner < place.side)).all(axis=1)
        picture[corner[inside, 1], corner[inside, 0]] = rgb[order][inside]


def _inner(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return points but the outermost 0.1 % of each axis: strays shall not set the zoom."""
    if len(xy) == 0:
        return xy
    low, high = np.percentile(xy, [0.1, 99.9], axis=0)
    return np.asarray(xy[((xy >= low) & (xy <= high)).all(axis=1)], dtype=np.float32)
