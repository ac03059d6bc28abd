"""The small `.npz`: depth, confidence and cameras, without images.

Keys and rounding (depth to 8 decimals, confidence to 2) are those of the official exporter;
`is_metric`, `pixel_centre` and the keys of views of several sizes are as in `npz`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from da3_ros.export.npz import Columns, geometry_columns, write_arrays
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.types import PosedView

OWNED: tuple[str, ...] = ()


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the one file of this format."""
    return ('exports/mini_npz/results.npz',)


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the scene and return the number of pixels with known depth."""
    path = folder / 'exports' / 'mini_npz' / 'results.npz'
    return write_arrays(scene, path, _rounded_columns, progress)


def _rounded_columns(scene: ExportScene, views: list[PosedView]) -> Columns:
    columns = geometry_columns(scene, views)
    for key, decimals in (('depth', 8), ('conf', 2)):
        if key in columns:
            columns[key] = [np.round(part, decimals) for part in columns[key]]
    return columns
