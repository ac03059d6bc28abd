"""Pictures to an H.264 video in an MP4 file, without any program but this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.stream import VideoStream
import numpy as np

from da3_ros.errors import ExportError
from da3_ros.types import ColourImage

_ENCODER = 'libx264'
_THREADS = 4


@dataclass(frozen=True, slots=True)
class VideoCoding:
    """How a video is encoded."""

    crf: int
    """Constant rate factor of x264: 0 is lossless, 51 is worst."""
    preset: str
    """Name of a speed of x264: slower ones make smaller files of the same quality."""


class VideoFile:
    """A video being written: all pictures have the size of the first."""

    def __init__(self, container: OutputContainer, fps: int, coding: VideoCoding) -> None:
        self._container = container
        self._fps = fps
        self._coding = coding
        self._stream: VideoStream | None = None
        self._shape: tuple[int, ...] = ()

    def add(self, image: ColourImage) -> None:
        """Append an RGB picture (H, W, 3).

        Colour is stored for blocks of 2 x 2 pixels, so that the last row and the last column of
        a picture of odd size are repeated.

        Raises:
            ExportError: it has another size than the first, or cannot be encoded.
        """
        if self._stream is None:
            self._shape = image.shape
            self._stream = self._begin(image)
        if image.shape != self._shape:
            raise ExportError(f'video: expected pictures of {self._shape}, got {image.shape}')
        bottom, right = image.shape[0] % 2, image.shape[1] % 2
        even = np.pad(image, [(0, bottom), (0, right), (0, 0)], mode='edge')
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format='rgb24')
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds.

        Raises:
            ExportError: no picture was added.
        """
        if self._stream is None:
            raise ExportError('video: expected at least one picture, got none')
        self._container.mux(self._stream.encode())

    def _begin(self, image: ColourImage) -> VideoStream:
        # Macroblock trees read memory that nobody wrote where the processor has AVX-512: with
        # them the same pictures give other bytes every time.
        options = {'crf': str(self._coding.crf), 'preset': self._coding.preset, 'mbtree': '0'}
        stream = cast(
            VideoStream, self._container.add_stream(_ENCODER, rate=self._fps, options=options)
        )
        stream.height = image.shape[0] + image.shape[0] % 2
        stream.width = image.shape[1] + image.shape[1] % 2
        stream.pix_fmt = 'yuv420p'
        # The bytes depend on the number of threads, which must not be that of the machine.
        stream.codec_context.thread_count = _THREADS
        return stream


@contextmanager
def video_file(
    path: Path, fps: int, coding: VideoCoding, comment: str = ''
) -> Iterator[VideoFile]:
    """Yield a video to add pictures to; the file is complete when the body ends well.

    Args:
        path: of the file.
        fps: pictures per second.
        coding: how it is encoded.
        comment: what players show about the file; empty for nothing.

    Raises:
        ExportError: no H.264 encoder, no pictures, or some that cannot be encoded.
        OSError: the file cannot be written.
    """
    _require_encoder()
    try:
        # Players start before the whole file has arrived.
        container = av.open(str(path), 'w', format='mp4', options={'movflags': 'faststart'})
        if comment:
            container.metadata['comment'] = comment
        try:
            video = VideoFile(container, fps, coding)
            yield video
            video.finish()
        except BaseException:
            with suppress(av.error.FFmpegError, OSError):
                container.close()
            raise
        container.close()
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ExportError(f'{path.name}: cannot be encoded: {error}') from error


def _require_encoder() -> None:
    try:
        av.codec.Codec(_ENCODER, 'w')
    except UnknownCodecError as error:
        raise ExportError(
            f'this build of PyAV {av.__version__} has no encoder {_ENCODER}, which videos need; '
            'the wheels of PyPI have it: pip install --force-reinstall av'
        ) from error
