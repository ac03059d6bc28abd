"""For every view a picture to look at: colour on the left, coloured depth on the right.

Near is red, far is violet, black is unknown or sky. As in the official exporter, colours are
linear in 1 / depth between its 2nd and 98th percentile, for each view by itself, so that equal
colours in two pictures are not equal depths.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from da3_ros.export.images import write_colour
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, known_pixels
from da3_ros.export.spectral import spectral
from da3_ros.types import ColourImage, PosedView

OWNED: tuple[str, ...] = (
    'depth_vis/[0-9][0-9][0-9][0-9]*.jpg',
    'depth_vis/[0-9][0-9][0-9][0-9]*.png',
)

_PERCENTILES = (2.0, 98.0)


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
        sheet = np.concatenate([view.image, coloured_depth(view)], axis=1)
        write_colour(folder / name, sheet)
        progress((index + 1) / len(names))
    return 0


def coloured_depth(view: PosedView) -> ColourImage:
    """Return the view's depth in colours, (h, w, 3)."""
    known = known_pixels(view)
    colours = np.zeros((*known.shape, 3), np.uint8)
    if not known.any():
        return colours
    nearness = 1.0 / view.depth[known].astype(np.float64)
    low, high = np.percentile(nearness, _PERCENTILES)
    share = (nearness - low) / (high - low) if high > low else np.full_like(nearness, 0.5)
    colours[known] = spectral(1.0 - share)
    return colours
