"""Depth of every view as a 16-bit PNG, in the layout of `16UC1` depth images.

A pixel holds millimetres along the optical axis, thousandths of the world's unit when the scene
is not metric. 0 is unknown: no depth, sky, nearer than half a millimetre, or farther than the
65.535 m that fit. The size is the depth's own.

Source: REP 118, section "Canonical Representation".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.images import write_grey16
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, known_pixels, view_names
from da3_ros.types import PosedView

OWNED: tuple[str, ...] = ('depth_png/*_[0-9]*.png', 'depth_png/[0-9][0-9][0-9][0-9]*.png')

_MAX_MM = np.iinfo(np.uint16).max


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return one file per view, named by camera and stamp in nanoseconds, or by number."""
    return tuple(f'depth_png/{name}.png' for name in view_names(scene))


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the images and return the number of pixels that are not 0.

    Raises:
        ExportError: that number is 0.
    """
    count = 0
    names = file_names(scene, options)
    for index, (view, name) in enumerate(zip(scene.views, names, strict=True)):
        image = depth_in_mm(view)
        count += int(np.count_nonzero(image))
        write_grey16(folder / name, image, scene.comment)
        progress((index + 1) / len(names))
    if count == 0:
        raise ExportError(
            f'depth_png: none of the {len(names)} views has a depth between 0.001 and 65.535; '
            'npz holds every depth'
        )
    return count


def depth_in_mm(view: PosedView) -> NDArray[np.uint16]:
    """Return the view's depth (h, w) rounded to thousandths, 0 where unknown or too far."""
    thousandths = np.rint(np.where(known_pixels(view), view.depth, 0).astype(np.float64) * 1000)
    return np.where(thousandths <= _MAX_MM, thousandths, 0).astype(np.uint16)
