"""When the frames of a video are shown, and how many there are, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
import math
import re
from typing import Any

ASSUMED_RATE_HZ = 25
"""Of a file that says nothing of times, as FFmpeg assumes."""

_MOST_RATE_HZ = 10_000
_DURATION_TAG = re.compile(r'(\d+):(\d+):(\d+(?:\.\d+)?)')
# Pictures that are stored out of their order lie closer together than this.
_REORDERED_S = Fraction(1, 10)
# A pause of a day within one file is no pause.
_JUMP_S = 24 * 3600


class Timeline:
    """Seconds since the first frame, also of joined videos, whose stamps start anew.

    Args:
        period_s: from one frame to the next where the file does not say.
    """

    def __init__(self, period_s: Fraction) -> None:
        self._period_s = period_s
        self._offset_s: Fraction | None = None
        self._last_s = -period_s
        self.joints = 0
        """How often stamps started anew."""
        self.unstamped = 0
        """Frames without a stamp."""
        self.out_of_order = 0
        """Frames that were left out because their stamp is not after the one before."""

    @property
    def length_s(self) -> Fraction:
        """From the first frame to the end of the last one."""
        return self._last_s + self._period_s

    def place(self, stamp_s: Fraction | None) -> Fraction | None:
        """Return the time of the next frame; None when it does not follow the one before."""
        following_s = self._last_s + self._period_s
        if stamp_s is None:
            self.unstamped += 1
            self._last_s = following_s
            return following_s
        if self._offset_s is None:
            self._offset_s = following_s - stamp_s
        time_s = stamp_s + self._offset_s
        if not -_REORDERED_S < time_s - self._last_s < _JUMP_S:
            self.joints += 1
            self._offset_s = following_s - stamp_s
            time_s = following_s
        if time_s <= self._last_s:
            self.out_of_order += 1
            return None
        self._last_s = time_s
        return time_s


@dataclass(frozen=True, slots=True)
class Length:
    """How long a video is."""

    frames: int
    length_s: Fraction

    def kept(self, rate_hz: float | None) -> int:
        """Return how many frames there are at most at so many per second; None for all."""
        if rate_hz is None:
            return self.frames
        return min(self.frames, math.ceil(self.length_s * Fraction(rate_hz)))


def stamp_s(item: Any, *, of_decoding: bool = False) -> Fraction | None:
    """Return the stamp of a frame or packet of PyAV, None when it has none."""
    ticks = item.pts
    if of_decoding and item.dts is not None:
        ticks = item.dts
    if ticks is None or not item.time_base:
        return None
    return Fraction(ticks) * Fraction(item.time_base)


def shown_s(frame: Any) -> Fraction:
    """Return how long a frame is shown, 0 when it does not say."""
    if not frame.duration or frame.duration < 0 or not frame.time_base:
        return Fraction(0)
    return Fraction(frame.duration) * Fraction(frame.time_base)


def rate_hz(stream: Any) -> Fraction | None:
    """Return the mean rate that the header says, None when it does not."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < Fraction(rate) <= _MOST_RATE_HZ:
            return Fraction(rate)
    return None


def period_s(stream: Any) -> Fraction:
    """Return the time between frames for those that have no stamp."""
    # Raw streams have an average that is made up; the guess looked at the pictures.
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and 0 < Fraction(rate) <= _MOST_RATE_HZ:
            return 1 / Fraction(rate)
    return Fraction(1, ASSUMED_RATE_HZ)


def own_s(stream: Any) -> Fraction | None:
    """Return the duration that the header says of the pictures themselves."""
    if stream.duration and stream.time_base:
        return Fraction(stream.duration) * Fraction(stream.time_base)
    # Matroska has it as a tag, in nanoseconds.
    match = _DURATION_TAG.fullmatch(stream.metadata.get('DURATION', ''))
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)


def promised_s(container: Any, stream: Any) -> Fraction | None:
    """Return the duration by the header, of the whole file where need be; None without any."""
    own = own_s(stream)
    if own is not None and own > 0:
        return own
    if container.duration and container.duration > 0:
        return Fraction(container.duration, 1_000_000)
    return None


def promised(container: Any, stream: Any) -> Length | None:
    """Return the length by the header, None when it does not say."""
    length_s = promised_s(container, stream)
    if length_s is None:
        return None
    if stream.frames > 0:
        return Length(stream.frames, length_s)
    return Length(math.ceil(length_s * (rate_hz(stream) or 1 / period_s(stream))), length_s)


def counted(container: Any, stream: Any) -> Length:
    """Return the length by going through the whole file; nothing is decoded."""
    times = Timeline(period_s(stream))
    frames = 0
    for packet in container.demux(stream):
        if packet.size:
            frames += 1
            times.place(stamp_s(packet, of_decoding=True))
    return Length(frames, times.length_s)
