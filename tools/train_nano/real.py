"""How accurate a network is on real pictures with measured depth and poses, beside not looking.

A set is a folder with `images/`, `depth/` (16-bit PNG, millimetres, 0 unknown) and
`cameras.json`: {"frames": [{"image", "depth" (paths in the folder; depth may be missing), "K",
"size_hw", "world_from_camera" (OpenCV axes, metres)}, ...]} in the order of taking.

All rows of a set and a number of views are measured on the same windows of neighbouring images, at
the size that the network sees. Depth after the one scale per window that brings the median ratio
to one; rotation from view to view as the mean over all pairs of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError, SourceError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.se3 import invert
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.placement import Placement
from da3_ros.metrics.baselines import row_medians
from da3_ros.metrics.depth import depth_error
from da3_ros.types import FloatImage

CAMERAS = 'cameras.json'
VIEWS = (1, 2, 4, 8)
WINDOWS = 16
"""Of one set and number of views, at most."""

_MM_PER_M = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class RealFrame:
    """One picture and its truth."""

    image: Path
    depth: Path | None
    """None where none was measured."""
    world_from_camera: FloatArray
    """(4, 4), metres."""


@dataclass(frozen=True, slots=True)
class RealRow:
    """Means over the windows of one set and number of views."""

    name: str
    """Of the set."""
    views: int
    windows: int
    network: tuple[float, float]
    """AbsRel and delta1, as the next two."""
    constant: tuple[float, float]
    """Of one depth for all pixels."""
    by_row: tuple[float, float]
    """Of the median that the truth itself has in every row of the images of a window."""
    rotation_deg: float
    """NaN for one view, as the next."""
    still_deg: float
    """Of cameras that are said not to turn."""


def sets_in(folders: Sequence[Path]) -> list[Path]:
    """Return the sets that folders are or hold, in the order of their names.

    Raises:
        SourceError: a folder neither is nor holds one.
    """
    found: list[Path] = []
    for folder in folders:
        own = [folder] if (folder / CAMERAS).is_file() else []
        inner = own or sorted(path.parent for path in folder.glob(f'*/{CAMERAS}'))
        if not inner:
            raise SourceError(f'{folder}: expected {CAMERAS}, in it or in a folder in it')
        found += inner
    return found


def read_set(folder: Path) -> list[RealFrame]:
    """Return the frames of a set.

    Raises:
        SourceError: the folder holds no such set.
    """
    path = folder / CAMERAS
    try:
        frames = json.loads(path.read_text(encoding='utf-8'))['frames']
        return [_frame(folder, frame) for frame in frames]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f'{path}: expected {{"frames": [{{"image", "depth", "world_from_camera"}}, ...]}}: '
            f'{type(error).__name__}: {error}'
        ) from error


def _frame(folder: Path, frame: dict[str, Any]) -> RealFrame:
    depth = folder / frame['depth'] if 'depth' in frame else None
    pose = np.array(frame['world_from_camera'], dtype=np.float64).reshape(4, 4)
    return RealFrame(folder / frame['image'], depth, pose)


def windows_of(count: int, views: int, most: int = WINDOWS) -> list[range]:
    """Return runs of neighbouring images, their starts spread evenly over a set of `count`."""
    number = max(0, min(most, count - views + 1))
    starts = np.linspace(0, count - views, number).round().astype(int)
    return [range(start, start + views) for start in starts.tolist()]


def measure_set(
    model: DepthAnything3, folder: Path, views: Sequence[int] = VIEWS, most: int = WINDOWS
) -> list[RealRow]:
    """Measure a network on one set.

    Args:
        model: any-view network.
        folder: of the set.
        views: per window; numbers that the set has not enough images for are left out.
        most: windows measured per number of views.

    Raises:
        SourceError: the folder holds no such set, or a file of it cannot be read.
    """
    frames = read_set(folder)
    rows = []
    for count in views:
        windows = windows_of(len(frames), count, most)
        chosen = [[frames[index] for index in window] for window in windows]
        figures = [
            _measure(model, window)
            for window in chosen
            if any(frame.depth is not None for frame in window)
        ]
        if figures:
            rows.append(_row(folder.name, count, figures))
    return rows


def _measure(model: DepthAnything3, frames: Sequence[RealFrame]) -> list[float]:
    """Return the figures of a window in the order of `RealRow`."""
    prediction = model.inference([str(frame.image) for frame in frames])
    truth = np.stack(
        [
            _true_depth(frame, placement)
            for frame, placement in zip(frames, prediction.placements, strict=True)
        ]
    )
    if prediction.extrinsics is None:
        raise ModelError(f'{model.model_name}: expected a network that predicts poses')
    true_poses = np.stack([frame.world_from_camera for frame in frames])
    turned = turns(invert(true_poses)[:, :3, :3])
    guessed = turns(prediction.extrinsics[:, :3, :3])
    return [
        *_depth(prediction.depth, truth),
        *_depth(np.ones_like(truth), truth),
        *_depth(median_by_row(truth), truth),
        mean_deg(np.swapaxes(guessed, 1, 2) @ turned),
        mean_deg(turned),
    ]


def _row(name: str, views: int, figures: list[list[float]]) -> RealRow:
    a, b, c, d, e, f, rotation_deg, still_deg = np.mean(figures, axis=0).tolist()
    return RealRow(name, views, len(figures), (a, b), (c, d), (e, f), rotation_deg, still_deg)


def _depth(estimate: FloatImage, truth: FloatImage) -> tuple[float, float]:
    figures = depth_error(estimate, truth, align_scale=True).figures
    return figures.abs_rel, figures.delta1


def _true_depth(frame: RealFrame, placement: Placement) -> FloatImage:
    """Return depth (h, w) in metres where the network's pixels have their centres, NaN unknown."""
    rows, columns = np.indices((placement.size.height, placement.size.width))
    if frame.depth is None:
        return np.full(rows.shape, np.nan, np.float32)
    stored = cv2.imread(str(frame.depth), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        raise SourceError(f'{frame.depth}: expected a PNG of 16 bits and one channel')
    height, width = stored.shape
    v = (rows + placement.top_px + 0.5) * height / placement.resized.height
    u = (columns + placement.left_px + 0.5) * width / placement.resized.width
    sampled = stored[v.astype(int), u.astype(int)].astype(np.float32)
    metres: FloatImage = sampled / np.float32(_MM_PER_M)
    metres[metres <= 0] = np.nan
    return metres


def median_by_row(truth: FloatImage) -> FloatImage:
    """Return depth (N, h, w) that is, in every row, the median of the truth in that row."""
    medians = np.nan_to_num(row_medians(truth), nan=1.0)
    return np.broadcast_to(medians[:, None], truth.shape).astype(np.float32)


def turns(camera_from_world: NDArray[np.floating[Any]]) -> FloatArray:
    """Return the rotations from view to view (P, 3, 3) of all pairs of views (N, 3, 3)."""
    first, second = np.triu_indices(len(camera_from_world), 1)
    poses = np.asarray(camera_from_world, dtype=np.float64)
    return np.asarray(poses[second] @ np.swapaxes(poses[first], 1, 2))


def mean_deg(rotations: FloatArray) -> float:
    """Return the mean angle of rotations (P, 3, 3); NaN of none."""
    if len(rotations) == 0:
        return float('nan')
    return float(np.degrees(rotation_angle_rad(rotations)).mean())


def markdown(rows: Sequence[RealRow]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        '| set | views | windows | AbsRel (delta1) | of one constant | of the true median by row '
        '| rotation, deg (of no motion) |',
        '|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        pairs = (row.network, row.constant, row.by_row)
        depths = ' | '.join(f'{absrel:.3f} ({delta1:.2f})' for absrel, delta1 in pairs)
        turned = f'{row.rotation_deg:.1f} ({row.still_deg:.1f})' if row.views > 1 else ''
        lines.append(f'| {row.name} | {row.views} | {row.windows} | {depths} | {turned} |')
    return '\n'.join(lines)
