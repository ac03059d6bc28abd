"""How accurate a network is on real pictures with measured depth and poses, beside not looking.

A set is a folder with `cameras.json`, see `sources/datasets/cameras_json.py`, in which every frame
has a pose; depth may be missing.

All rows of a set and a number of views are measured on the same windows of neighbouring images, at
the size that the network sees. Depth after the one scale per window that brings the median ratio
to one; rotation from view to view as the mean over all pairs of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from da3_ros.sources.datasets.cameras_json import KIND
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame
from da3_ros.sources.datasets.opening import open_dataset
from da3_ros.types import FloatImage

VIEWS = (1, 2, 4, 8)
WINDOWS = 16
"""Of one set and number of views, at most."""

_NOT_ALL = ('dataset_files_missing', 'dataset_lines_left_out', 'dataset_poses_left_out')


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
        own = [folder] if KIND.is_it(folder) else []
        inner = own or sorted(path for path in folder.glob('*/') if KIND.is_it(path))
        if not inner:
            raise SourceError(f'{folder}: expected {KIND.layout}, in it or in a folder in it')
        found += inner
    return found


def read_set(folder: Path) -> tuple[Dataset, FloatArray]:
    """Return a set and the poses (N, 4, 4) world_from_camera of its frames.

    Raises:
        SourceError: the folder holds no such set, or not all of it can be used.
    """
    found = open_dataset(folder, KIND.name)
    for note in found.notes:
        if note.code in _NOT_ALL:
            raise SourceError(f'{folder}: expected images that all have a pose: {note.text}')
    return found, np.stack([pose.world_from_base for pose in found.truth])


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
    found, poses = read_set(folder)
    rows = []
    for count in views:
        places = [slice(w.start, w.stop) for w in windows_of(len(found), count, most)]
        figures = [
            _measure(model, found, found.frames[place], poses[place])
            for place in places
            if any(frame.depth is not None for frame in found.frames[place])
        ]
        if figures:
            rows.append(_row(folder.name, count, figures))
    return rows


def _measure(
    model: DepthAnything3, found: Dataset, frames: Sequence[DatasetFrame], poses: FloatArray
) -> list[float]:
    """Return the figures of a window in the order of `RealRow`."""
    prediction = model.inference([str(frame.image) for frame in frames])
    truth = np.stack(
        [
            _true_depth(found, frame, placement)
            for frame, placement in zip(frames, prediction.placements, strict=True)
        ]
    )
    if prediction.extrinsics is None:
        raise ModelError(f'{model.model_name}: expected a network that predicts poses')
    turned = turns(invert(poses)[:, :3, :3])
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


def _true_depth(found: Dataset, frame: DatasetFrame, placement: Placement) -> FloatImage:
    """Return depth (h, w) in metres where the network's pixels have their centres, NaN unknown."""
    rows, columns = np.indices((placement.size.height, placement.size.width))
    if frame.depth is None:
        return np.full(rows.shape, np.nan, np.float32)
    depth = found.read_depth(frame)
    height, width = depth.shape
    v = (rows + placement.top_px + 0.5) * height / placement.resized.height
    u = (columns + placement.left_px + 0.5) * width / placement.resized.width
    sampled: FloatImage = depth[v.astype(int), u.astype(int)]
    return sampled


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
