"""What exporters read: posed views of one world, as a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.se3 import transform_points
from da3_ros.geometry.unproject import unproject
from da3_ros.types import PosedSet, PosedView


@dataclass(frozen=True, slots=True, eq=False)
class ScenePoints:
    """Coloured points of a view in the world frame."""

    xyz: NDArray[np.float32]
    """(P, 3), world units."""
    rgb: NDArray[np.uint8]
    """(P, 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class ExportScene:
    """A set of posed views; world z up, metres when `is_metric`, else scene units."""

    views: tuple[PosedView, ...]
    """Oldest first, cameras in the rig's order."""
    is_metric: bool

    @staticmethod
    def from_sets(sets: Sequence[PosedSet], *, is_metric: bool) -> ExportScene:
        """Return the scene of all views of the given sets."""
        return ExportScene(tuple(view for s in sets for view in s.views), is_metric)


def confidence_threshold(scene: ExportScene, percentile: float) -> float:
    """Return the confidence that `percentile` per cent of all known depth stays below.

    Views without confidence do not take part; 0 when no view has any.
    """
    known = [
        v.confidence[np.isfinite(v.depth)].ravel() for v in scene.views if v.confidence is not None
    ]
    values = np.concatenate(known) if known else np.empty(0, np.float32)
    return float(np.percentile(values, percentile)) if values.size else 0.0


def world_points(view: PosedView, min_confidence: float) -> ScenePoints:
    """Return the view's points with known depth, no sky and at least that confidence."""
    keep = np.isfinite(view.depth) & (view.depth > 0)
    if view.sky is not None:
        keep &= ~view.sky
    if view.confidence is not None:
        keep &= view.confidence >= min_confidence
    points = unproject(view.depth, view.camera)[keep]
    world = transform_points(view.world_from_camera, points)
    return ScenePoints(world.astype(np.float32), view.image[keep])
