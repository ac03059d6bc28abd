"""Why sets go out without a camera that sends, and when one counts as silent."""

from __future__ import annotations

from collections.abc import Collection

from da3_ros.options import StreamOptions
from da3_ros.reasons import Reason
from da3_ros.stream.sync_report import CameraStatus, SyncReport

SILENT_AFTER_S = 2.0
"""A camera may be silent for so long, whatever its rate."""
_SILENT_PERIODS = 3
_LATE_SETS = 3
# Where neither stamps nor delays are the cause: a few images get lost anywhere.
_LOST_SETS, _LOST_S = 10, 1.0


def silence_limit_s(status: CameraStatus) -> float:
    """Return how long a camera may be silent."""
    return max(SILENT_AFTER_S, _SILENT_PERIODS * status.period_ns / 1e9)


def others_text(sync: SyncReport, silent: Collection[str], options: StreamOptions) -> str:
    """Return what becomes of the other cameras when one is gone.

    Args:
        sync: what became of all.
        silent: cameras that are.
        options: limits.
    """
    if len(sync.cameras) == 1:
        return 'There is no other camera.'
    if options.min_cameras == 0:
        return 'No set goes out without it (min_cameras is 0: all cameras).'
    no_help = {*silent, *(item.camera for item in sync.apart)}
    count = sum(s.is_sending and s.camera not in no_help for s in sync.cameras)
    if count >= options.min_cameras:
        return f'Sets go out without it (min_cameras is {options.min_cameras}).'
    return f'No set goes out: {count} other cameras send, min_cameras is {options.min_cameras}.'


def late_reason(
    status: CameraStatus, sync: SyncReport, options: StreamOptions, *, images: int, unused_s: float
) -> dict[Reason, dict[str, object]]:
    """Return why sets go out without a camera that sends; empty where they do not.

    Args:
        status: of the camera.
        sync: the report that has it.
        options: limits.
        images: of it that could be used.
        unused_s: time since the last of them.
    """
    # Of one whose images are refused that is said instead.
    if not images or unused_s * 1e9 > _SILENT_PERIODS * status.period_ns:
        return {}
    # Where cameras take turns none misses sets in a row, and each is alone in its own.
    missed = max(s.missed_sets for s in sync.cameras)
    count = status.missed_sets if missed >= _LATE_SETS else status.sets_alone
    periods = [s.period_ns for s in sync.cameras if s.is_sending and s.period_ns]
    usual = 2 * max(periods) // min(periods) if periods else 0
    others = any(s.is_sending for s in sync.cameras if s.camera != status.camera)
    why = _why_late(status, options)
    least: float = _LATE_SETS
    if not why:
        least = max(_LOST_SETS, _LOST_S * 1e9 / min(periods)) if periods else _LOST_SETS
    if not others or count < max(least, usual):
        return {}
    problem = why or _why_lost(status, options)
    if not problem:
        return {}
    return {Reason.CAMERA_LATE: {'missed_sets': count, 'problem': problem}}


def _why_late(status: CameraStatus, options: StreamOptions) -> str:
    """Return what is beyond a limit; empty for nothing."""
    delay_s = status.delay_ns / 1e9
    if not status.is_sending:
        return 'its images come, and their stamps stand still or do not go on'
    if delay_s > options.sync_wait_s:
        wait = f'sync_wait_s allows {options.sync_wait_s:g} s'
        return f'its images come {delay_s:.3f} s after those of the others ({wait})'
    distance_s = (status.distance_ns or 0) / 1e9
    if distance_s <= options.sync_tolerance_s:
        return ''
    tolerance = f'sync_tolerance_s allows {options.sync_tolerance_s * 1e3:.1f} ms'
    return (
        f'its stamps are usually {distance_s * 1e3:.1f} ms from those of the others ({tolerance})'
    )


def _why_lost(status: CameraStatus, options: StreamOptions) -> str:
    """Return what is left where nothing is beyond a limit; empty where nothing is known."""
    if status.distance_ns is None:
        # It meets no other camera: whether their clocks differ shows soon.
        return ''
    return (
        f'its stamps, usually {status.distance_ns / 1e6:.1f} ms from those of the others '
        f'(sync_tolerance_s allows {options.sync_tolerance_s * 1e3:.1f} ms), and its delay, '
        f'usually {status.delay_ns / 1e9:.3f} s (sync_wait_s allows {options.sync_wait_s:g} '
        's), are not the cause: images of it are lost, or some come much later than usual'
    )
