"""Options of the stream: how images become one world."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.options.table import option

SCALE_SOURCES = ('auto', 'odometry', 'rig', 'metric_model', 'camera_info', 'none')


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How images become sets, sets become windows and windows become one world."""

    cameras: tuple[str, ...] = option(
        ('camera',), 'Names of the cameras; each is a topic prefix and a key of the rig.'
    )
    sync_tolerance_s: float = option(
        0.02, 'Largest difference of stamps within one set, s.', minimum=0.0, maximum=10.0
    )
    min_cameras: int = option(
        0,
        'Smallest number of cameras that makes a set when the others are late; 0 for all.',
        minimum=0,
        maximum=64,
    )
    sync_wait_s: float = option(
        0.1,
        'How much newer than a pending set any image may be before the set goes out without its '
        'late cameras, s (time of stamps).',
        minimum=0.0,
        maximum=60.0,
    )
    window: int = option(3, 'Frame sets that one forward pass sees.', minimum=1, maximum=256)
    stride: int = option(
        1,
        'New sets per window; window minus stride sets are shared with the window before.',
        minimum=1,
        maximum=256,
    )
    scale_source: str = option(
        'auto',
        'What tells the metre: odometry (ways in prior_frame), rig (distances between cameras of '
        'one instant), metric_model (da3nested-giant-large), camera_info (da3metric-large with '
        'its focal length). auto takes the first that there is, in this order; a name takes that '
        'one or else those after it; none keeps the unit of the first window and ignores the rig.',
        choices=SCALE_SOURCES,
    )
    scene_sets: int = option(
        100,
        'Newest sets kept for export and for the path. 0 for none; windows are then estimated '
        'only while a topic has a subscriber or TF is published.',
        minimum=0,
        maximum=100000,
    )
