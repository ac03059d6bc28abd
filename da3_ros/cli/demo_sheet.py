"""The picture of a demo run: colour, depth and confidence per view, and the scene from above.

Every picture of depth has colours of its own range, which the bar below it says.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.cli.demo_results import DemoResults, DemoTruth
from da3_ros.cli.demo_top_view import ESTIMATE, ScenePoints, top_view
from da3_ros.export.depth_colours import UNKNOWN_RGB, coloured_depth, depth_range
from da3_ros.export.images import write_colour
from da3_ros.export.picture_text import (
    PAPER,
    BarScale,
    colour_bar,
    side_by_side,
    stacked,
    text_strip,
)
from da3_ros.export.spectral import spectral
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.resample import DepthResampler, PixelMap
from da3_ros.types import METRES_FROM, ColourImage, FloatImage

_CELL_WIDTH = 360
_GAP = 10
_TEXT, _HEAD = 0.55, 0.6
_FRAME = 16
_MIN_SIDE = 520


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
    width = _CELL_WIDTH * 3 + 2 * _GAP
    unit = _unit(results)
    blocks = [text_strip(title, width, _HEAD)]
    if warning:
        blocks.append(text_strip(warning, width, _HEAD, ink=ESTIMATE))
    blocks += [_view_row(results, camera, stamp, unit) for camera, stamp in _pick_rows(results)]
    left = stacked(blocks, _GAP)
    # The words above and the scale below the view take the rest of the height.
    top = top_view(results, truth, points, max(_MIN_SIDE, left.shape[0] - 80), unit)
    sheet = side_by_side([left, top], 2 * _GAP)
    sheet = stacked([sheet, text_strip('\n'.join(captions), sheet.shape[1], _TEXT)], _GAP)
    border = [(_FRAME, _FRAME), (_FRAME, _FRAME)]
    planes = [np.pad(sheet[..., i], border, constant_values=PAPER[i]) for i in range(3)]
    write_colour(path, np.stack(planes, axis=-1))


def _pick_rows(results: DemoResults) -> list[tuple[str, int]]:
    """Return (camera, stamp) of the rows: all cameras late in the run, or one at four times."""
    seen = {name: sorted(set(c.depth) & set(c.colour)) for name, c in results.cameras.items()}
    seen = {name: stamps for name, stamps in seen.items() if stamps}
    if len(seen) == 1:
        ((name, stamps),) = seen.items()
        chosen = np.unique(np.linspace(0, len(stamps) - 1, 4).round().astype(int))
        return [(name, stamps[i]) for i in chosen]
    return [(name, stamps[len(stamps) * 3 // 4]) for name, stamps in list(seen.items())[:4]]


def _view_row(results: DemoResults, camera: str, stamp_ns: int, unit: str) -> ColourImage:
    data = results.cameras[camera]
    depth = _scaled_depth(data.depth[stamp_ns])
    first_ns = min(s for c in results.cameras.values() for s in c.depth)
    seconds = (stamp_ns - first_ns) / 1e9
    colour = [
        _scaled(data.colour[stamp_ns]),
        text_strip(f'camera {camera}, {seconds:.1f} s after the start', _CELL_WIDTH, _TEXT),
    ]
    cells = [colour, _depth_cell(depth, unit)]
    if stamp_ns in data.confidence:
        cells.append(_confidence_cell(data.confidence[stamp_ns]))
    return side_by_side([stacked(cell) for cell in cells], _GAP)


def _depth_cell(depth: FloatImage, unit: str) -> list[ColourImage]:
    shown = depth_range(depth)
    if shown is None:
        return [coloured_depth(depth), text_strip('depth: none is known', _CELL_WIDTH, _TEXT)]
    bar = colour_bar(BarScale(spectral, shown.depth_at, unit), _CELL_WIDTH, _TEXT)
    words = text_strip('depth along the camera axis; black: unknown', _CELL_WIDTH, _TEXT)
    return [coloured_depth(depth, shown), bar, words]


def _confidence_cell(confidence: FloatImage) -> list[ColourImage]:
    """Return confidence in colours other than those of depth, linear between its own bounds."""
    known = np.isfinite(confidence)
    low, high = np.percentile(confidence[known], [2, 98]) if known.any() else (1.0, 1.0)
    extent = max(float(high - low), 1e-6)
    colours = _viridis(np.nan_to_num((confidence - low) / extent))
    colours[~known] = UNKNOWN_RGB
    bar = BarScale(_viridis, lambda share: float(low + share * (high - low)), '')
    words = text_strip('confidence: 1 or more, larger is surer', _CELL_WIDTH, _TEXT)
    return [_scaled(colours), colour_bar(bar, _CELL_WIDTH, _TEXT), words]


def _viridis(shares: NDArray[np.floating]) -> ColourImage:
    levels = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    row = cv2.applyColorMap(levels.reshape(1, -1), cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.cvtColor(row, cv2.COLOR_BGR2RGB), np.uint8).reshape(*shares.shape, 3)


def _unit(results: DemoResults) -> str:
    return 'm' if results.windows and results.windows[-1].is_metric else 'scene units'


def unit_text(results: DemoResults) -> str:
    """Return what says how long a metre is in this run."""
    if not results.windows:
        return 'no window'
    last = results.windows[-1]
    if not last.is_metric:
        return 'scene units: nothing says how long a metre is'
    named = [w.scale_source for w in results.windows if w.is_metric and w.scale_source != 'chain']
    source = named[-1] if named else last.scale_source
    return f'metres {METRES_FROM[source]}' if source in METRES_FROM else 'metres'


def _scaled(image: ColourImage) -> ColourImage:
    size = _cell_size(image.shape)
    filtering = cv2.INTER_AREA if size.width < image.shape[1] else cv2.INTER_CUBIC
    resized = cv2.resize(image, (size.width, size.height), interpolation=filtering)
    return np.asarray(resized, dtype=np.uint8)


def _scaled_depth(depth: FloatImage) -> FloatImage:
    size = _cell_size(depth.shape)
    height, width = depth.shape
    return DepthResampler(depth, PixelMap.whole(size, ImageSize(height, width)), size).depth()


def _cell_size(shape: tuple[int, ...]) -> ImageSize:
    return ImageSize(max(1, round(shape[0] * _CELL_WIDTH / shape[1])), _CELL_WIDTH)
