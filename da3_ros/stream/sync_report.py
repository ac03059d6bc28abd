"""What the synchroniser says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from da3_ros.geometry.stamps import IN_A_ROW
from da3_ros.stream.drops import DropCause, DropCount
from da3_ros.stream.meetings import Apart


class StampFault(Enum):
    """What happened to stamps."""

    OUTLIER = 'outlier'
    """One image did not fit its neighbours, and was left out."""
    JUMP = 'jump'
    """The clock of a camera jumped: several images in a row go on from there."""
    RESTART = 'restart'
    """Sets begin again at older stamps, after jumps back of the cameras."""


@dataclass(frozen=True, slots=True)
class StampEvent:
    """Something that happened to stamps, to be said."""

    fault: StampFault
    camera: str
    """Of a restart: the cameras of the first set, separated by commas."""
    offset_ns: int
    """The new stamp minus the one before; of a restart: of the sets."""


def stamp_text(event: StampEvent) -> str:
    """Return what happened to stamps, in words."""
    offset_s = abs(event.offset_ns) / 1e9
    direction = 'back' if event.offset_ns < 0 else 'forward'
    if event.fault is StampFault.RESTART:
        return (
            f'stamps jumped back by {offset_s:.3f} s (first set: {event.camera}); a bag that '
            'starts again, or a clock that was set'
        )
    if event.fault is StampFault.JUMP:
        return (
            f'camera {event.camera}: its clock jumped {direction} by {offset_s:.3f} s, '
            f'{IN_A_ROW} images in a row'
        )
    return f'camera {event.camera}: the stamp of an image is {offset_s:.3f} s off; it is left out'


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Where one camera stands."""

    camera: str
    newest_stamp_ns: int | None
    """None before its first frame (since the last reset)."""
    lag_ns: int | None
    """How far its newest frame is behind the newest of all cameras that it could meet; None before
    its first, and for a camera that is apart."""
    missed_sets: int
    """Sets that went out without it since the last one with it."""
    sets_alone: int
    """Sets that went out since the last one with it and another camera."""
    has_come: bool
    """Whether it ever sent an image since the synchroniser was opened."""
    is_sending: bool
    """Whether it has sent lately, by the stamps of the others, and with stamps that move."""
    delay_ns: int
    """How much later its images come than those of another camera with the same stamps; 0 where
    there is none to compare with."""
    distance_ns: int | None
    """How far its stamps usually are from those of that camera, while it misses sets; else 0. None
    where it meets no other one."""
    period_ns: int
    """Usual time between two of its images; 0 before the second."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What the synchroniser did since it was made."""

    sets: int
    """Sets that went out, partial ones included."""
    partial_sets: int
    dropped: tuple[DropCount, ...]
    """Only counts above zero; in the order of cameras, unknown cameras last."""
    cameras: tuple[CameraStatus, ...]
    late_cameras: tuple[str, ...]
    """Cameras that miss the last sets, or are further behind than waiting would help."""
    clock_resets: int
    """How often sets began again at older stamps."""
    apart: tuple[Apart, ...] = ()
    """Cameras that send and never meet the others."""
    awaited_ns: int = 0
    """How much longer, in stamps, the first sets wait for cameras that have never come."""

    def dropped_by(self, cause: DropCause) -> int:
        """Return the number of frames dropped for one reason, over all cameras."""
        return sum(drop.count for drop in self.dropped if drop.cause == cause)
