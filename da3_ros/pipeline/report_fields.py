"""What the report of a window says, field by field; whoever makes the message fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.notes import Note, joined
from da3_ros.pipeline.pipeline import Losses
from da3_ros.types import PosedView, ScaleSource, WindowResult

_SCALE_SOURCES: Mapping[ScaleSource, str] = {
    'none': 'none',
    'odometry': 'odometry',
    'camera_info': 'camera_info',
    'estimator': 'metric_model',
    'rig': 'rig',
    'chain': 'chain',
}
"""By the constants of da3_ros/msg/WindowReport."""


@dataclass(frozen=True, slots=True, eq=False)
class ViewFields:
    """One view in da3_ros/msg/ViewReport; its stamp, pose and the rest are messages of others."""

    stamp_ns: int
    world_from_camera: FloatArray
    """(4, 4)."""
    plain: Mapping[str, object]
    """Fields that are numbers, texts or arrays of numbers, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportFields:
    """A window in da3_ros/msg/WindowReport."""

    stamp_ns: int
    """Of the newest set."""
    views: tuple[ViewFields, ...]
    plain: Mapping[str, object]
    """Fields that are numbers or texts, or lists of texts, by name."""


def report_fields(
    result: WindowResult, losses: Losses, notes: tuple[Note, ...] = ()
) -> ReportFields:
    """Return the report of a window that has new sets, but for what a clock says.

    Args:
        result: the window.
        losses: up to now.
        notes: what every report says, whatever the window.
    """
    a = result.alignment
    views = [view for posed in result.new_sets for view in posed.views]
    plain: dict[str, object] = {
        'window_index': result.window_index,
        'sets': result.sets,
        'new_sets': len(result.new_sets),
        'is_metric': a.is_metric,
        'scale': float(a.scale),
        'scale_source': _SCALE_SOURCES[a.scale_source],
        'scale_log_sigma': float(a.scale_log_sigma),
        'alignment_method': a.method,
        'shared_views': a.shared_views,
        'rotation_residual_rad': float(a.rotation_residual_rad),
        'translation_residual': float(a.translation_residual),
        'depth_residual': float(a.depth_residual),
        'conditioning': a.conditioning,
        'window_views': a.views,
        'odometry_views': a.odometry_views,
        'rig_rotation_residual_rad': float(a.rig_rotation_residual_rad),
        'rig_translation_residual': float(a.rig_translation_residual),
        'dropped_sets': losses.dropped_sets,
        'dropped_frames': losses.dropped_frames,
        'late_cameras': list(losses.late_cameras),
        'note': joined((*a.notes, *notes)),
    }
    newest_ns = result.new_sets[-1].stamp_ns
    return ReportFields(newest_ns, tuple(_view_fields(view) for view in views), plain)


def _view_fields(view: PosedView) -> ViewFields:
    known = np.isfinite(view.depth)
    count = int(np.count_nonzero(known))
    return ViewFields(
        view.id.stamp_ns,
        view.world_from_camera,
        {
            'camera': view.id.camera,
            'frame_id': view.id.frame_id,
            'k': view.camera.K.reshape(-1),
            'height': view.camera.size.height,
            'width': view.camera.size.width,
            'k_source': 'calibrated' if view.is_calibrated else 'predicted',
            'valid_fraction': count / known.size,
            'median_depth': float(np.median(view.depth[known])) if count else float('nan'),
        },
    )
