"""Options of the stream: how images become one world."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.options.choices import SCALE_SOURCES, ScaleChoice
from da3_ros.options.table import Entrance, Variant, option

_BOTH = (Entrance.NODE, Entrance.BAG)
_STREAM = Entrance.STREAM


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How images become sets, sets become windows and windows become one world."""

    cameras: tuple[str, ...] = option(
        ('camera',),
        'Names of the cameras; each is a topic prefix and a key of the rig.',
        entrances=(Entrance.NODE, Entrance.LAUNCH),
    )
    sync_tolerance_s: float = option(
        0.02,
        'Largest difference of stamps within one set.',
        entrances=_BOTH,
        unit='s',
        minimum=0.0,
        maximum=10.0,
    )
    min_cameras: int = option(
        1,
        'Smallest number of cameras that makes a set when the others are late or gone; 0 for all.',
        entrances=_BOTH,
        details='While a camera has never come, the first sets wait 2 s for it. Cameras that send '
        'and never meet within sync_tolerance_s are an error: only the largest group of cameras '
        'that meet gives sets.',
        minimum=0,
        maximum=64,
    )
    sync_wait_s: float = option(
        0.1,
        'How much newer than a pending set any image may be before the set goes out without its '
        'late cameras (time of stamps).',
        entrances=_BOTH,
        unit='s',
        minimum=0.0,
        maximum=60.0,
    )
    window: int = option(
        3,
        'Frame sets that one forward pass sees.',
        entrances=(*_BOTH, _STREAM, Entrance.DEMO),
        minimum=1,
        maximum=256,
        variants={
            _STREAM: Variant(0, 'Frames per window; 0: as many as memory takes, at most 60.', 0),
            Entrance.DEMO: Variant(0, 'Frame sets per window; 0: 3 for da3-nano, else 2.', 0),
        },
    )
    stride: int = option(
        1,
        'New sets per window; window minus stride sets are shared with the window before.',
        entrances=(*_BOTH, _STREAM),
        minimum=1,
        maximum=256,
        variants={
            _STREAM: Variant(
                0, 'New frames per window, the others are of the one before; 0: half of it.', 0
            )
        },
    )
    scale_source: ScaleChoice = option(
        'auto',
        'What gives the metre.',
        entrances=(*_BOTH, _STREAM),
        details='odometry (poses in prior_frame), rig (distances between cameras of one instant), '
        'metric_model (da3nested-giant-large), camera_info (da3metric-large with its focal '
        'length). auto takes the first that there is, in this order; a name takes that one or '
        'else those after it; none keeps the unit of the first window and ignores the rig.',
        choices=SCALE_SOURCES,
    )
    scene_sets: int = option(
        100,
        'Newest sets kept for export and for the path.',
        entrances=(Entrance.NODE,),
        details='0 for none; windows are then estimated only while a topic has a subscriber or '
        'TF is published.',
        minimum=0,
        maximum=100000,
    )


STREAM = StreamOptions()
"""The defaults, for signatures that need one."""
