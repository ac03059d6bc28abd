"""What turned up while a video was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from da3_ros.geometry.camera import ImageSize
from da3_ros.notes import Note
from da3_ros.sources import video_times
from da3_ros.sources.video_display import Display, Pixels
from da3_ros.sources.video_times import Timeline

# Durations in headers are rounded, and the last frame's own duration is a guess.
_SLACK_FRAMES = 3
_SLACK = Fraction(1, 50)
# Where only the whole file has a duration, it may be that of its sound.
_SLACK_OF_FILE = Fraction(1, 5)


@dataclass(slots=True)
class Findings:
    """Collects what a user should know of one reading of a file."""

    streams: int = 1
    """Videos in the file."""
    decoded: int = 0
    """Frames that came out."""
    last_shown_s: Fraction = Fraction(0)
    """How long the last of them is shown."""
    damaged: int = 0
    """Places that could not be read or decoded."""
    looked_at: bool = False
    """Whether a frame was looked at for what holds for all of them."""
    _of_file: list[Note] = field(default_factory=list)
    _of_times: list[Note] = field(default_factory=list)
    _left_out: dict[ImageSize, int] = field(default_factory=dict)
    _wanted: ImageSize | None = None

    def look_at(self, frame: Any, display: Display, pixels: Pixels) -> None:
        """Find out what one frame tells of all."""
        self.looked_at = True
        if display.is_askew:
            self._say('the file asks for an angle between quarter turns; the nearest was taken')
        if frame.interlaced_frame:
            self._say('the video is interlaced: what moves looks like a comb')
        if pixels.is_hdr(frame):
            self._say('high dynamic range was brought to that of a common screen')
        if pixels.has_alpha(frame):
            self._say('transparent pixels were taken with the colour that they hold')

    def leave_out(self, size: ImageSize, wanted: ImageSize) -> None:
        """Count a frame that has another shape than the first one."""
        self._left_out[size] = self._left_out.get(size, 0) + 1
        self._wanted = wanted

    def add_times(self, times: Timeline, container: Any, stream: Any) -> None:
        """Compare what was read to its end with what the header promised."""
        if times.joints:
            self._of_times.append(
                Note(
                    'video_times',
                    f'the time stamps start anew in {counted(times.joints, "place")}, as where '
                    'videos were joined; the parts follow each other',
                    {'joints': times.joints},
                )
            )
        if times.unstamped:
            rate = float(1 / video_times.period_s(stream))
            self._of_times.append(
                Note(
                    'video_times',
                    f'no time stamp at {counted(times.unstamped, "frame")}; {rate:g} per second '
                    'were assumed',
                    {'frames': times.unstamped, 'rate_hz': rate},
                )
            )
        if times.out_of_order:
            self._of_times.append(
                Note(
                    'video_times',
                    f'left out: {counted(times.out_of_order, "frame")} whose time stamp is not '
                    'after that of the frame before',
                    {'frames': times.out_of_order},
                )
            )
        self._compare(times, container, stream)

    def notes(self) -> tuple[Note, ...]:
        """Return everything as notes."""
        notes = []
        if self.streams > 1:
            text = f'the file holds {self.streams} videos; one was taken'
            notes.append(Note('video_file', text, {'videos': self.streams}))
        notes += self._of_file
        notes += self._of_times
        for size, count in self._left_out.items():
            assert self._wanted is not None
            text = (
                f'left out: {counted(count, "frame")} of {size.width}x{size.height}; the video '
                f'began with {self._wanted.width}x{self._wanted.height}'
            )
            notes.append(Note('video_file', text, {'frames': count}))
        if self.damaged and not any(note.code == 'video_damaged' for note in notes):
            text = (
                f'left out: {counted(self.damaged, "place")} of the video that cannot be decoded'
            )
            notes.append(Note('video_damaged', text, {'places': self.damaged}))
        return tuple(notes)

    def _say(self, text: str) -> None:
        self._of_file.append(Note('video_file', text))

    def _compare(self, times: Timeline, container: Any, stream: Any) -> None:
        promised = video_times.promised(container, stream)
        if promised is None or times.joints or times.unstamped:
            return
        if 0 < stream.frames <= self.decoded:
            return
        is_own = len(container.streams) == 1 or video_times.own_s(stream) is not None
        slack = _SLACK if is_own else _SLACK_OF_FILE
        slack_s = max(_SLACK_FRAMES * video_times.period_s(stream), promised.length_s * slack)
        read_s = times.length_s
        if read_s + max(slack_s, self.last_shown_s) >= promised.length_s:
            return
        self._of_times.append(
            Note(
                'video_damaged',
                f'the video is cut short or damaged: its header promises {promised.frames} frames '
                f'({float(promised.length_s):.1f} s), {self.decoded} ({float(read_s):.1f} s) '
                'could be read',
                {
                    'promised_frames': promised.frames,
                    'promised_s': float(promised.length_s),
                    'read_frames': self.decoded,
                    'read_s': float(read_s),
                },
            )
        )


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f'{count} {noun}' if count == 1 else f'{count} {noun}s'
