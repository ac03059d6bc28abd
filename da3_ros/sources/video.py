"""Reading video files as camera frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
import math
from pathlib import Path
from typing import Any

import av
import numpy as np

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_line, reason_of
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.notes import Note
from da3_ros.sources import video_times
from da3_ros.sources.video_display import Pixels, display_of
from da3_ros.sources.video_findings import Findings
from da3_ros.sources.video_times import Length, Timeline
from da3_ros.types import CameraFrame, ColourImage

VIDEO_START_NS = 1_600_000_000_000_000_000
"""Stamp of a video's first frame: videos know durations, not dates. Zero would mean "unset"."""

_NS_PER_S = 1_000_000_000
# Formats that name other files, or addresses, instead of holding pictures.
_PLAYLISTS = ('hls', 'dash', 'concat', 'sdp', 'imf', 'rtsp')
# More pixels than this weigh less than the mark "default" (as ffmpeg chooses).
_DEFAULT_WEIGHT_PX = 5_000_000


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video's header says."""

    size: ImageSize
    """Of the frames that come out: as they are shown, at most `max_side`."""
    rate_hz: float | None
    """Mean frame rate of the file, None when the file does not say."""
    duration_s: float | None
    """None when the file does not say."""


class VideoReader:
    """Reads a video once or many times, from its beginning.

    Frames come as a player shows them: with square pixels, mirrored and rotated as the file asks,
    high dynamic range as on a common screen. What cannot be decoded is left out; `notes` says so.

    Args:
        path: any file that FFmpeg reads; of several videos in it the one marked as default is
            taken, else the largest.
        camera: name of the camera in the frames; the frame id is `<camera>_optical_frame`.
        rate_hz: most frames per second to keep; None for all.
        max_side: images are scaled down so that their longer side is at most this; None keeps.
        horizontal_fov_deg: field of view across the width after rotation; None leaves the frames
            uncalibrated.
        start_ns: stamp of the first frame.

    Raises:
        SourceError: the file is missing, damaged or has no video, or an argument is out of range.
    """

    def __init__(
        self,
        path: Path,
        *,
        camera: str = 'camera',
        rate_hz: float | None = None,
        max_side: int | None = None,
        horizontal_fov_deg: float | None = None,
        start_ns: int = VIDEO_START_NS,
    ) -> None:
        if rate_hz is not None and not 0 < rate_hz < math.inf:
            raise SourceError(f'video rate: expected more than 0 Hz, got {rate_hz}')
        if max_side is not None and max_side < 1:
            raise SourceError(f'video max side: expected at least 1 px, got {max_side}')
        if horizontal_fov_deg is not None and not 0 < horizontal_fov_deg < 180:
            raise SourceError(
                f'video field of view: expected 0 to 180 deg, got {horizontal_fov_deg}'
            )
        self.path = Path(path)
        self._camera = camera
        self._rate_hz = rate_hz
        self._max_side = max_side
        self._fov_deg = horizontal_fov_deg
        self._start_ns = start_ns
        self._findings = Findings()
        self._length: Length | None = None
        self.info = self._read_info()

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a user should know of the file; complete when `frames` came to its end."""
        return self._findings.notes()

    def length(self, *, exact: bool = False) -> Length:
        """Return how many frames there are; nothing is decoded.

        Args:
            exact: go through the file, whatever its header says.

        Raises:
            SourceError: the file cannot be read.
        """
        if self._length is None or exact:
            with self._open() as (container, stream):
                self._length = video_times.counted(container, stream)
        return self._length

    def frames(self) -> Iterator[CameraFrame]:
        """Yield the kept frames; stamps increase strictly.

        Raises:
            SourceError: no frame can be decoded.
        """
        for stamp_ns, image in self._images():
            size = ImageSize(image.shape[0], image.shape[1])
            calibration = None if self._fov_deg is None else _calibration(size, self._fov_deg)
            yield CameraFrame(
                self._camera, stamp_ns, f'{self._camera}_optical_frame', image, calibration
            )

    def _images(self) -> Iterator[tuple[int, ColourImage]]:
        pixels = Pixels()
        kept = 0
        with self._open() as (container, stream):
            findings = self._findings = Findings(streams=len(_videos(container)))
            times = Timeline(video_times.period_s(stream))
            for frame in _decoded(container, stream, findings):
                elapsed_s = times.place(video_times.stamp_s(frame))
                if elapsed_s is None:
                    continue
                elapsed_ns = round(elapsed_s * _NS_PER_S)
                # Half a microsecond of grace, since rates like 29.97 Hz do not divide evenly.
                if self._rate_hz is not None:
                    if elapsed_ns + 500 < kept * _NS_PER_S / self._rate_hz:
                        continue
                    kept = int((elapsed_ns + 500) * self._rate_hz / _NS_PER_S) + 1
                image = self._shown(frame, stream, pixels)
                if image is not None:
                    yield self._start_ns + elapsed_ns, image
            findings.add_times(times, container, stream)
        if not findings.decoded:
            raise SourceError(f'video {self.path}: no frame could be decoded')

    def _shown(self, frame: Any, stream: Any, pixels: Pixels) -> ColourImage | None:
        """Return a frame as it is shown, at the size of the first one; None if it cannot be."""
        findings = self._findings
        stored = ImageSize(frame.height, frame.width)
        display = display_of(frame, _aspect(stream))
        if not findings.looked_at:
            findings.look_at(frame, display, pixels)
        own, wanted = display.shown_size(stored, self._max_side), self.info.size
        if own != wanted:
            if abs(own.width * wanted.height - own.height * wanted.width) > max(
                own.width, own.height
            ):
                findings.leave_out(own, wanted)
                return None
            own = wanted
        target = ImageSize(own.width, own.height) if display.swaps_axes else own
        return pixels.shown(frame, display, target)

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """Yield the file and its video.

        Raises:
            SourceError: there is no such file, or no video in it; also for what FFmpeg says
                while it is read.
        """
        if not self.path.is_file():
            what = 'it is a folder' if self.path.is_dir() else 'there is none'
            raise SourceError(f'video {self.path}: expected a file, {what}')
        try:
            # Without the prefix, a colon would end the name of a protocol; titles come in any
            # encoding.
            container: Any = av.open(f'file:{self.path}', metadata_errors='replace')
            with container:
                if container.format.name.split(',')[0] in _PLAYLISTS:
                    raise SourceError(
                        f'video {self.path}: expected a video, it is a list of other files '
                        f'({container.format.name}); name one of these'
                    )
                stream = self._chosen(container)
                stream.thread_type = 'AUTO'
                yield container, stream
        except av.error.FFmpegError as error:
            reason = plain_line(error.strerror) or reason_of(error)
            raise SourceError(f'video {self.path}: cannot be read: {reason}') from error
        except (OSError, UnicodeError) as error:
            raise SourceError(f'video {self.path}: cannot be read: {reason_of(error)}') from error

    def _chosen(self, container: Any) -> Any:
        videos = _videos(container)
        if not videos:
            cover = ', only a cover picture' if container.streams.video else ''
            raise SourceError(f'video {self.path}: it has no video stream{cover}')
        return max(videos, key=_weight)

    def _read_info(self) -> VideoInfo:
        with self._open() as (container, stream):
            frame = next(_decoded(container, stream, Findings()), None)
            if frame is None:
                is_image = container.format.name.endswith('_pipe')
                hint = '; it is an image, see `da3 image`' if is_image else ''
                raise SourceError(
                    f'video {self.path}: cannot be read: no frame could be decoded{hint}'
                )
            display = display_of(frame, _aspect(stream))
            duration_s = video_times.promised_s(container, stream)
            rate_hz = video_times.rate_hz(stream)
            self._length = video_times.promised(container, stream)
            return VideoInfo(
                size=display.shown_size(ImageSize(frame.height, frame.width), self._max_side),
                rate_hz=float(rate_hz) if rate_hz else None,
                duration_s=float(duration_s) if duration_s else None,
            )


def _videos(container: Any) -> list[Any]:
    """Return the videos of a file that have a decoder, without cover pictures."""
    return [
        s
        for s in container.streams.video
        if s.codec_context is not None and not s.disposition & s.disposition.attached_pic
    ]


def _weight(stream: Any) -> int:
    is_default = bool(stream.disposition & stream.disposition.default)
    return int(stream.width * stream.height + _DEFAULT_WEIGHT_PX * is_default)


def _aspect(stream: Any) -> Fraction | None:
    for aspect in (stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio):
        if aspect:
            return Fraction(aspect)
    return None


def _decoded(container: Any, stream: Any, findings: Findings) -> Iterator[Any]:
    """Yield the frames that can be decoded, whatever is damaged between them."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):
            # Nothing more can be read; what the decoder still holds can.
            findings.damaged += 1
            packet, packets = None, iter(())
        try:
            frames = stream.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            findings.damaged += 1
            frames = []
        for frame in frames:
            if frame.is_corrupt:
                findings.damaged += 1
                continue
            findings.decoded += 1
            findings.last_shown_s = video_times.shown_s(frame)
            yield frame
        if packet is None or not packet.size:
            return


def _calibration(size: ImageSize, fov_deg: float) -> PinholeCamera:
    focal = size.width / 2 / np.tan(np.radians(fov_deg / 2))
    return PinholeCamera.from_focal(
        focal, focal, (size.width - 1) / 2, (size.height - 1) / 2, size
    )
