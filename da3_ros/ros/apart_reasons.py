"""Why cameras that send never come together: they are out of phase, or have another time."""

from __future__ import annotations

import math

from da3_ros.options import StreamOptions
from da3_ros.reasons import Reason
from da3_ros.stream.meetings import Apart
from da3_ros.stream.sync_report import SyncReport

APART = (Reason.CAMERAS_OUT_OF_PHASE, Reason.CLOCKS_APART)
"""The reasons of `apart_reason`."""

BEHIND_LIMIT_S, AHEAD_LIMIT_S = 2.0, 0.5
"""How far stamps may be from the clock by which images arrive."""
OFF_TIMES = 2
"""How often a clock has to be off: what is seen once may be an image that waited."""

# Above this nobody waits for an image.
_LONGEST_WAIT_S = 10.0
_HOUR_S = 3600.0
_ZONE_STEP_S = 900.0
_LARGEST_ZONE_S = 14 * _HOUR_S
_ZONE_SLACK_S = 2.0
_TAI_MINUS_UTC_S, _TAI_SLACK_S = 37.0, 0.2
# No robot is up for so long, and no clock that was set says so little.
_LONGEST_UPTIME_S = 10 * 365 * 24 * _HOUR_S


def apart_reason(
    item: Apart, sync: SyncReport, options: StreamOptions
) -> tuple[Reason, dict[str, object]]:
    """Return why a camera never meets the others, and what the text of the reason names.

    Args:
        item: what the synchroniser knows of it.
        sync: the report that has it.
        options: limits.
    """
    limit_s = options.sync_tolerance_s + options.sync_wait_s
    offset_s = item.clock_ns / 1e9
    if abs(offset_s) <= limit_s:
        return Reason.CAMERAS_OUT_OF_PHASE, {
            'other': item.other,
            'offset_ms': item.distance_ns / 1e6,
            'limit_ms': options.sync_tolerance_s * 1e3,
            'needed_s': math.ceil(item.largest_ns / 1e6) / 1e3,
        }
    or_wait = ''
    if abs(offset_s) <= _LONGEST_WAIT_S:
        late = item.camera if offset_s < 0 else item.other
        wait_s = math.ceil(abs(offset_s) * 10 + 1) / 10
        or_wait = f', or set sync_wait_s to {wait_s:g} where the images of {late} are only late'
    newest_ns = {status.camera: status.newest_stamp_ns for status in sync.cameras}
    return Reason.CLOCKS_APART, {
        'other': item.other,
        'offset_s': offset_s,
        'limit_s': limit_s,
        'guess': guess_of_clocks(offset_s, newest_ns[item.camera], newest_ns[item.other]),
        'or_wait': or_wait,
    }


def guess_of_clocks(offset_s: float, own_ns: int | None, other_ns: int | None) -> str:
    """Return what may be behind an offset of two clocks, in parentheses; empty where unknown.

    Args:
        offset_s: of the first to the second.
        own_ns: a stamp of the first; None where there is none.
        other_ns: a stamp of the second.
    """
    uptimes = [ns is not None and 0 <= ns < _LONGEST_UPTIME_S * 1e9 for ns in (own_ns, other_ns)]
    if uptimes == [True, False]:
        return ' (its stamps count since boot, as it seems)'
    if uptimes == [False, True]:
        return ' (the stamps of the other one count since boot, as it seems)'
    size_s = abs(offset_s)
    if abs(size_s - _TAI_MINUS_UTC_S) < _TAI_SLACK_S:
        return ' (37 s: one is TAI, as PTP has it, and one is UTC, as it seems)'
    steps = round(size_s / _ZONE_STEP_S)
    is_zone = steps and size_s <= _LARGEST_ZONE_S + _ZONE_SLACK_S
    if is_zone and abs(size_s - steps * _ZONE_STEP_S) < _ZONE_SLACK_S:
        hours = steps * _ZONE_STEP_S / _HOUR_S
        return f' (a time zone: {hours:g} hours, as it seems)'
    return ''
