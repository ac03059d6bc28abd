"""Depth of every view as an 8-bit grey PNG to look at: near is black, far is white.

Grey is linear in depth between its 2nd and 98th percentile over the whole scene, so that equal
greys in two pictures are equal depths. Known depth takes 1 to 255; 0 is unknown, as in
`depth_png`. Sky, and what lies beyond the range (+Inf), is white: it is farther than all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from da3_ros.export.caution_strip import stamp_caution
from da3_ros.export.images import write_grey8
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, known_pixels, view_names
from da3_ros.types import PosedView

OWNED: tuple[str, ...] = ('depth_image/*_[0-9]*.png', 'depth_image/[0-9][0-9][0-9][0-9]*.png')

_PERCENTILES = (2.0, 98.0)
_NEAREST, _FARTHEST = 1, 255


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return one file per view, named by camera and stamp in nanoseconds, or by number."""
    return tuple(f'depth_image/{name}.png' for name in view_names(scene))


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the pictures; there are no points in them, so return 0."""
    names = file_names(scene, options)
    bounds = depth_bounds(scene)
    for index, (view, name) in enumerate(zip(scene.views, names, strict=True)):
        grey = stamp_caution(grey_depth(view, bounds), scene.caution)
        write_grey8(folder / name, grey, scene.comment)
        progress((index + 1) / len(names))
    return 0


def depth_bounds(scene: ExportScene) -> tuple[float, float]:
    """Return the 2nd and the 98th percentile of all known depth; (0, 0) when none is known."""
    known = np.concatenate([view.depth[known_pixels(view)] for view in scene.views])
    if not known.size:
        return 0.0, 0.0
    near, far = np.percentile(known, _PERCENTILES)
    return float(near), float(far)


def grey_depth(view: PosedView, bounds: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the view's depth (h, w) in grey; bounds that are one depth make it middle grey."""
    near, far = bounds
    known = known_pixels(view)
    depth = np.where(known, view.depth, near).astype(np.float64)
    share = (depth - near) / (far - near) if far > near else np.full_like(depth, 0.5)
    grey = np.rint(_NEAREST + np.clip(share, 0, 1) * (_FARTHEST - _NEAREST)).astype(np.uint8)
    grey[~known] = 0
    grey[np.isposinf(view.depth)] = _FARTHEST
    if view.sky is not None:
        grey[view.sky] = _FARTHEST
    return grey
