"""The picture of a demo run: colour, depth and confidence per view, and the scene from above."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import textwrap

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.cli.demo_results import DemoResults, DemoTruth, true_poses
from da3_ros.types import ColourImage, FloatImage

Picture = NDArray[np.uint8]

_BACKGROUND = (250, 250, 248)
_INK = (40, 40, 40)
_UNKNOWN = (120, 120, 120)
_ESTIMATE = (214, 48, 49)
_TRUTH = (0, 130, 90)
_CELL_WIDTH = 360
_GAP = 10
_LINE = 22
_WARNING_LETTERS = 95
"""In one line of a warning, so that it fits above the three cells."""


@dataclass(frozen=True, slots=True, eq=False)
class ScenePoints:
    """Points of the exported scene, for the view from above."""

    xyz: NDArray[np.float32]
    """(P, 3), world units, z up."""
    rgb: NDArray[np.uint8]
    """(P, 3)."""


def write_sheet(
    path: Path,
    results: DemoResults,
    truth: DemoTruth,
    points: ScenePoints,
    title: str,
    captions: list[str],
    warning: str = '',
) -> None:
    """Write the sheet as PNG: one row per view, the scene from above, the figures below.

    A warning stands below the title, in red.
    """
    rows = _pick_rows(results)
    width = _CELL_WIDTH * 3 + 2 * _GAP
    blocks = [_text_block([title], width, scale=0.6)]
    if warning:
        lines = textwrap.wrap(warning, _WARNING_LETTERS)
        blocks.append(_text_block(lines, width, scale=0.6, ink=_ESTIMATE))
    if rows:
        depths = np.concatenate([results.cameras[c].depth[s].ravel() for c, s in rows])
        low, high = _bounds(depths)
        heads = ['colour', f'depth {low:.2f} to {high:.2f} {_unit(results)}', 'confidence']
        blocks.append(_side_by_side([_text_block([h], _CELL_WIDTH) for h in heads]))
        blocks += [_view_row(results, camera, stamp, (low, high)) for camera, stamp in rows]
    left = _stack(blocks)
    top = _top_view(results, truth, points, side=max(520, left.shape[0] - 40))
    legend = _text_block(
        ['from above: estimate red' + (', truth green' if truth.poses else '')], top.shape[1]
    )
    sheet = _side_by_side([left, _stack([legend, top])])
    sheet = _stack([sheet, _text_block(captions, sheet.shape[1])])
    framed = cv2.copyMakeBorder(sheet, 16, 16, 16, 16, cv2.BORDER_CONSTANT, value=_BACKGROUND)
    cv2.imwrite(str(path), cv2.cvtColor(framed, cv2.COLOR_RGB2BGR))


def _pick_rows(results: DemoResults) -> list[tuple[str, int]]:
    """Return (camera, stamp) of the rows: all cameras late in the run, or one at four times."""
    seen = {name: sorted(set(c.depth) & set(c.colour)) for name, c in results.cameras.items()}
    seen = {name: stamps for name, stamps in seen.items() if stamps}
    if len(seen) == 1:
        ((name, stamps),) = seen.items()
        chosen = np.unique(np.linspace(0, len(stamps) - 1, 4).round().astype(int))
        return [(name, stamps[i]) for i in chosen]
    return [(name, stamps[len(stamps) * 3 // 4]) for name, stamps in list(seen.items())[:4]]


def _view_row(
    results: DemoResults, camera: str, stamp_ns: int, bounds: tuple[float, float]
) -> Picture:
    data = results.cameras[camera]
    depth = data.depth[stamp_ns]
    colour = data.colour[stamp_ns]
    confidence = data.confidence.get(stamp_ns, np.full_like(depth, np.nan))
    cells: list[Picture] = [
        _scaled(colour),
        _scaled(_coloured(depth, bounds, cv2.COLORMAP_TURBO, is_reversed=True)),
        _scaled(_coloured(confidence, _bounds(confidence), cv2.COLORMAP_VIRIDIS)),
    ]
    first_ns = min(s for c in results.cameras.values() for s in c.depth)
    label = f'{camera}  {(stamp_ns - first_ns) / 1e9:.1f} s'
    (width, _), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    cv2.rectangle(cells[0], (0, 0), (width + 14, 26), _INK, -1)
    cv2.putText(
        cells[0], label, (7, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _BACKGROUND, 1, cv2.LINE_AA
    )
    return _side_by_side(cells)


def _top_view(results: DemoResults, truth: DemoTruth, points: ScenePoints, side: int) -> Picture:
    """Return the points seen from +z with the trajectory on them, x to the right, y up."""
    stamps = sorted(results.poses)
    path = np.array([results.poses[s][:3, 3] for s in stamps]).reshape(-1, 3)
    common = sorted(set(stamps) & set(truth.poses))
    true_path = (
        true_poses(results, truth, common)[:, :3, 3] if common else np.empty((0, 3), np.float64)
    )
    # The ceiling would cover the room: points well above the cameras are left out.
    ceiling = (np.median(path[:, 2]) if len(path) else 0.0) + 1.2
    low_points = points.xyz[:, 2] < ceiling
    xyz, rgb = points.xyz[low_points], points.rgb[low_points]
    shown = np.concatenate([_inner(xyz[:, :2]), path[:, :2], true_path[:, :2]])
    shown = shown[np.isfinite(shown).all(axis=1)]
    if len(shown) == 0:
        return np.full((side, side, 3), _BACKGROUND, np.uint8)
    low, high = shown.min(axis=0), shown.max(axis=0)
    span = float(max(high - low)) * 1.08 or 1.0
    centre = (low + high) / 2

    def pixel(p: NDArray[np.floating]) -> NDArray[np.int64]:
        scaled = (p[:, :2] - centre) / span * side
        return np.stack([side / 2 + scaled[:, 0], side / 2 - scaled[:, 1]], -1).astype(np.int64)

    picture: Picture = np.full((side, side, 3), _BACKGROUND, np.uint8)
    # Painted from below to above, so that the top of a box hides the floor beneath it.
    order = np.argsort(xyz[:, 2])
    at = pixel(xyz[order])
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        corner = at + np.array([right, below])
        inside = ((corner >= 0) & (corner < side)).all(axis=1)
        picture[corner[inside, 1], corner[inside, 0]] = rgb[order][inside]
    # The truth is drawn wider below the estimate, so that it shows where the two agree, too.
    for line, ink, width in ((true_path, _TRUTH, 7), (path, _ESTIMATE, 2)):
        if len(line):
            corners = pixel(line).astype(np.int32).reshape(-1, 1, 2)
            cv2.polylines(picture, [corners], False, ink, width, cv2.LINE_AA)
            cv2.circle(picture, tuple(map(int, corners[0, 0])), 5, ink, -1, cv2.LINE_AA)
    return _with_scale_bar(picture, span, _unit(results))


def _unit(results: DemoResults) -> str:
    return 'm' if results.windows and results.windows[-1].is_metric else 'units'


def _with_scale_bar(picture: Picture, span: float, unit: str) -> Picture:
    side = picture.shape[0]
    length = 10.0 ** np.floor(np.log10(span / 3))
    pixels = int(length / span * side)
    cv2.line(picture, (14, side - 14), (14 + pixels, side - 14), _INK, 3)
    cv2.putText(
        picture,
        f'{length:g} {unit}',
        (14, side - 22),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.5,
        _INK,
        1,
        cv2.LINE_AA,
    )
    return picture


def _inner(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return points but the outermost 0.1 % of each axis: strays shall not set the zoom."""
    if len(xy) == 0:
        return xy
    low, high = np.percentile(xy, [0.1, 99.9], axis=0)
    return np.asarray(xy[((xy >= low) & (xy <= high)).all(axis=1)], dtype=np.float32)


def _bounds(values: FloatImage) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(known, [2, 98])
    return float(low), float(max(high, low + 1e-6))


def _coloured(
    values: FloatImage, bounds: tuple[float, float], colormap: int, *, is_reversed: bool = False
) -> ColourImage:
    """Return values as colours; unknown ones grey. Reversed: the smallest value is the warmest."""
    share = np.clip((values - bounds[0]) / (bounds[1] - bounds[0]), 0, 1)
    share = np.nan_to_num(1 - share if is_reversed else share)
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), colormap)
    rgb = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    rgb[~np.isfinite(values)] = _UNKNOWN
    return np.asarray(rgb, dtype=np.uint8)


def _scaled(image: ColourImage) -> Picture:
    height = round(image.shape[0] * _CELL_WIDTH / image.shape[1])
    return np.asarray(
        cv2.resize(image, (_CELL_WIDTH, height), interpolation=cv2.INTER_AREA), dtype=np.uint8
    )


def _text_block(
    lines: list[str], width: int, scale: float = 0.48, ink: tuple[int, int, int] = _INK
) -> Picture:
    block: Picture = np.full((_LINE * len(lines) + 4, width, 3), _BACKGROUND, np.uint8)
    for index, line in enumerate(lines):
        at = (2, _LINE * index + 17)
        cv2.putText(block, line, at, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    return block


def _padded(picture: Picture, height: int, width: int) -> Picture:
    below, right = height - picture.shape[0], width - picture.shape[1]
    return np.asarray(
        cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=_BACKGROUND),
        dtype=np.uint8,
    )


def _side_by_side(pictures: list[Picture]) -> Picture:
    height = max(p.shape[0] for p in pictures)
    gap = np.full((height, _GAP, 3), _BACKGROUND, np.uint8)
    parts: list[Picture] = []
    for picture in pictures:
        parts += [_padded(picture, height, picture.shape[1]), gap]
    return np.concatenate(parts[:-1], axis=1)


def _stack(pictures: list[Picture]) -> Picture:
    width = max(p.shape[1] for p in pictures)
    gap = np.full((_GAP, width, 3), _BACKGROUND, np.uint8)
    parts: list[Picture] = []
    for picture in pictures:
        parts += [_padded(picture, picture.shape[0], width), gap]
    return np.concatenate(parts[:-1], axis=0)
