"""Arrays of a scene as one compressed `.npz`.

Keys are those of the official exporter (`image`, `depth`, `conf`, `extrinsics`, `intrinsics`)
plus what a robot needs to use them (`camera`, `frame_id`, `stamp_ns`, `is_metric`). `intrinsics`
follow OpenCV's pixel-centre rule, as `pixel_centre` = 0 says. Views of different size cannot
share an array: then every size has its own keys, with `_HxW` appended.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from da3_ros.export.scene import ExportScene
from da3_ros.geometry.se3 import invert
from da3_ros.types import PosedView

FILE_NAME = 'exports/npz/results.npz'


def write(scene: ExportScene, path: Path, progress: Callable[[float], None]) -> int:
    """Write the scene and return the number of pixels with known depth."""
    by_size: dict[tuple[int, int], list[PosedView]] = {}
    for view in scene.views:
        by_size.setdefault((view.depth.shape[0], view.depth.shape[1]), []).append(view)
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {
        'is_metric': np.array(scene.is_metric),
        'pixel_centre': np.array(0.0),
    }
    for (height, width), views in by_size.items():
        suffix = '' if len(by_size) == 1 else f'_{height}x{width}'
        arrays.update({f'{key}{suffix}': value for key, value in _stack(views).items()})
    progress(0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('wb') as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    progress(1.0)
    return sum(int(np.isfinite(view.depth).sum()) for view in scene.views)


def _stack(views: list[PosedView]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {
        'image': np.stack([v.image for v in views]),
        'depth': np.stack([v.depth for v in views]),
        'extrinsics': np.stack([invert(v.world_from_camera)[:3] for v in views]),
        'intrinsics': np.stack([v.camera.K for v in views]),
        'camera': np.array([v.frame.camera for v in views]),
        'frame_id': np.array([v.frame.frame_id for v in views]),
        'stamp_ns': np.array([v.frame.stamp_ns for v in views], dtype=np.int64),
    }
    if all(v.confidence is not None for v in views):
        arrays['conf'] = np.stack([v.confidence for v in views if v.confidence is not None])
    if all(v.sky is not None for v in views):
        arrays['sky'] = np.stack([v.sky for v in views if v.sky is not None])
    return arrays
