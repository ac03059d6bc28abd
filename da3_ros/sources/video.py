"""Reading video files as camera frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
import logging
from pathlib import Path
from typing import Any

import av
import numpy as np

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.types import CameraFrame, ColourImage

VIDEO_START_NS = 1_600_000_000_000_000_000
"""Stamp of a video's first frame: videos know durations, not dates. Zero would mean "unset"."""

_LOG = logging.getLogger(__name__)
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video's header says."""

    size: ImageSize
    """Of the frames that come out: after rotation and `max_side`."""
    rate_hz: float | None
    """Mean frame rate of the file, None when the file does not say."""
    duration_s: float | None
    """None when the file does not say."""


class VideoReader:
    """Reads a video once or many times, from its beginning.

    Args:
        path: any file that FFmpeg reads.
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
        if rate_hz is not None and rate_hz <= 0:
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
        self.info = self._read_info()

    def frames(self) -> Iterator[CameraFrame]:
        """Yield the kept frames; stamps increase strictly.

        Raises:
            SourceError: the stream is damaged.
        """
        for stamp_ns, image in self._images():
            size = ImageSize(image.shape[0], image.shape[1])
            calibration = None if self._fov_deg is None else _calibration(size, self._fov_deg)
            yield CameraFrame(
                self._camera, stamp_ns, f'{self._camera}_optical_frame', image, calibration
            )

    def _images(self) -> Iterator[tuple[int, ColourImage]]:
        first: Fraction | None = None
        last_ns = -1
        kept = 0
        try:
            with self._open() as container:
                for frame in container.decode(video=0):
                    time = _time_s(frame)
                    if first is None:
                        first = time
                    elapsed_ns = round((time - first) * _NS_PER_S)
                    if elapsed_ns <= last_ns:
                        _LOG.warning('%s: a frame does not follow its predecessor', self.path)
                        continue
                    # Half a microsecond of grace, since rates like 29.97 Hz do not divide evenly.
                    due = self._rate_hz is None or (
                        elapsed_ns + 500 >= kept * _NS_PER_S / self._rate_hz
                    )
                    if not due:
                        continue
                    if self._rate_hz is not None:
                        kept = int((elapsed_ns + 500) * self._rate_hz / _NS_PER_S) + 1
                    last_ns = elapsed_ns
                    yield self._start_ns + elapsed_ns, self._pixels(frame)
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f'video {self.path}: damaged: {error}') from error
        if first is None:
            raise SourceError(f'video {self.path}: no frame could be decoded')

    def _pixels(self, frame: Any) -> ColourImage:
        size = self._scaled(ImageSize(frame.height, frame.width))
        if size == ImageSize(frame.height, frame.width):
            rgb = frame.to_ndarray(format='rgb24')
        else:
            rgb = frame.reformat(
                width=size.width, height=size.height, interpolation='AREA'
            ).to_ndarray(format='rgb24')
        return np.ascontiguousarray(np.rot90(rgb, _quarter_turns(frame)))

    def _scaled(self, size: ImageSize) -> ImageSize:
        longest = max(size.height, size.width)
        if self._max_side is None or longest <= self._max_side:
            return size
        factor = self._max_side / longest
        return ImageSize(max(1, round(size.height * factor)), max(1, round(size.width * factor)))

    def _open(self) -> Any:
        if not self.path.is_file():
            raise SourceError(f'video {self.path}: expected a file, there is none')
        container: Any = av.open(str(self.path))
        for stream in container.streams.video:
            stream.thread_type = 'AUTO'
        return container

    def _read_info(self) -> VideoInfo:
        try:
            with self._open() as container:
                if not container.streams.video:
                    raise SourceError(f'video {self.path}: it has no video stream')
                stream = container.streams.video[0]
                frame = next(container.decode(video=0), None)
                if frame is None:
                    raise SourceError(f'video {self.path}: no frame could be decoded')
                size = self._scaled(ImageSize(frame.height, frame.width))
                if _quarter_turns(frame) % 2:
                    size = ImageSize(size.width, size.height)
                rate = stream.average_rate
                return VideoInfo(
                    size=size,
                    rate_hz=float(rate) if rate else None,
                    duration_s=container.duration / av.time_base if container.duration else None,
                )
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f'video {self.path}: cannot be read: {error}') from error


def _time_s(frame: Any) -> Fraction:
    """Return the presentation time, exactly.

    Raises:
        SourceError: the frame has none.
    """
    if frame.pts is None or frame.time_base is None:
        raise SourceError('video: a frame has no time stamp; remux the file with ffmpeg -i IN OUT')
    return Fraction(frame.pts) * Fraction(frame.time_base)


def _quarter_turns(frame: Any) -> int:
    """Return the counter-clockwise quarter turns that the display matrix asks for."""
    return round(getattr(frame, 'rotation', 0) / 90) % 4


def _calibration(size: ImageSize, fov_deg: float) -> PinholeCamera:
    focal = size.width / 2 / np.tan(np.radians(fov_deg / 2))
    return PinholeCamera.from_focal(
        focal, focal, (size.width - 1) / 2, (size.height - 1) / 2, size
    )
