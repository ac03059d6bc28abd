"""For every view a picture to look at: colour on the left, coloured depth on the right.

Colours are those of `depth_colours`, each picture with its own range, which a bar below says with
its unit. Pictures of small networks are enlarged. With `depth_vis_plain` they are as the official
exporter makes them: the size of the depth, and nothing below.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from da3_ros.export.caution_strip import stamp_caution
from da3_ros.export.depth_colours import DepthRange, coloured_depth, depth_range
from da3_ros.export.images import enlarged, enlarged_size, write_colour
from da3_ros.export.options import ExportOptions
from da3_ros.export.picture_text import (
    BarScale,
    colour_bar,
    number_text,
    side_by_side,
    stacked,
    text_scale,
    text_strip,
)
from da3_ros.export.scene import ExportScene, known_pixels
from da3_ros.export.spectral import spectral
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.resample import DepthResampler, PixelMap
from da3_ros.types import ColourImage, FloatImage, PosedView

OWNED: tuple[str, ...] = (
    'depth_vis/[0-9][0-9][0-9][0-9]*.jpg',
    'depth_vis/[0-9][0-9][0-9][0-9]*.png',
)

# Narrower pictures have text and bar one below the other.
_MIN_TEXT_WIDTH_PX = 260


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return one file per view, numbered from 0 in the scene's order."""
    suffix = options.depth_vis_suffix
    return tuple(f'depth_vis/{index:04d}.{suffix}' for index in range(len(scene.views)))


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the pictures; there are no points in them, so return 0."""
    names = file_names(scene, options)
    for index, (view, name) in enumerate(zip(scene.views, names, strict=True)):
        sheet = _plain(view) if options.depth_vis_plain else _sheet(view, scene.unit)
        write_colour(folder / name, stamp_caution(sheet, scene.caution), scene.comment)
        progress((index + 1) / len(names))
    return 0


def _plain(view: PosedView) -> ColourImage:
    return np.concatenate([view.image, coloured_depth(_known_depth(view))], axis=1)


def _sheet(view: PosedView, unit: str) -> ColourImage:
    """Return image and depth, large enough to look at, above what the colours mean."""
    depth = _known_depth(view)
    shown = depth_range(depth)
    picture = np.concatenate(
        [enlarged(view.image), coloured_depth(enlarged_depth(depth), shown)], axis=1
    )
    return stacked([picture, depth_legend(shown, unit, picture.shape[1])])


def depth_legend(shown: DepthRange | None, unit: str, width: int) -> ColourImage:
    """Return a strip (H, width, 3) that says which depths the colours of a picture are.

    Args:
        shown: of the picture; None when no depth is known in it.
        unit: of depth, `ExportScene.unit`.
        width: of the picture, px. From some width on the bar stands below its right half.
    """
    scale = text_scale(width)
    if shown is None:
        return text_strip('black: no depth is known in this picture', width, scale)
    text = (
        f'depth along the camera axis: {number_text(shown.near)} (red) to '
        f'{number_text(shown.far)} {unit} (violet), a range of this picture alone; '
        'black: unknown or sky'
    )
    left, right = width // 2, width - width // 2
    if left < _MIN_TEXT_WIDTH_PX:
        bar = colour_bar(depth_bar(shown, unit), width, scale)
        return stacked([bar, text_strip(text, width, scale)])
    bar = colour_bar(depth_bar(shown, unit), right, scale)
    return side_by_side([text_strip(text, left, scale), bar])


def depth_bar(shown: DepthRange, unit: str) -> BarScale:
    """Return what the colour bar of a picture of depth says."""
    return BarScale(spectral, shown.depth_at, unit)


def enlarged_depth(depth: FloatImage) -> FloatImage:
    """Return depth (H, W) at the size of its enlarged image, with no value between surfaces."""
    size = enlarged_size(depth.shape)
    if (size.height, size.width) == depth.shape:
        return depth
    height, width = depth.shape
    return DepthResampler(depth, PixelMap.whole(size, ImageSize(height, width)), size).depth()


def _known_depth(view: PosedView) -> FloatImage:
    known = known_pixels(view) | np.isposinf(view.depth)
    if view.sky is not None:
        known &= ~view.sky
    return np.where(known, view.depth, np.float32(np.nan))
