"""Videos as the field has them: mirrored, of oblong pixels, joined, cut, without stamps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from da3_ros.types import ColourImage

RATE_HZ = 10


def picture(size: tuple[int, int], level: int = 0) -> ColourImage:
    """Return a picture (W, H) that no mirror or rotation leaves as it is."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 40)
    image[height // 2 :, : width // 2] = (40, 200, 40)
    image[height // 4 :, 3 * width // 4 :] = (40, 40, 200)
    image[:, width // 2 : 3 * width // 4] = level
    return image


def write_video(
    path: Path,
    sizes: Sequence[tuple[int, int]] = ((64, 48),),
    count: int = 10,
    *,
    codec: str = 'mpeg4',
    pix_fmt: str = 'yuv420p',
    aspect: Fraction | None = None,
    title: str = '',
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    container_format: str | None = None,
) -> Path:
    """Write a file with a video for every (width, height); its middle grows brighter by 10."""
    with av.open(f'file:{path}', 'w', format=container_format, options=options or {}) as container:
        if title:
            container.metadata['title'] = title
        streams = []
        for width, height in sizes:
            stream: Any = container.add_stream(codec, rate=RATE_HZ, options=codec_options)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            streams.append(stream)
        for index in range(count):
            for stream, size in zip(streams, sizes, strict=True):
                frame = av.VideoFrame.from_ndarray(picture(size, 10 * index), format='rgb24')
                frame.pts = index
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def set_matrix(path: Path, matrix: NDArray[np.float64]) -> Path:
    """Set the display matrix of the first track to a b c d (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    start = data.index(b'tkhd') + 4
    place = start + (52 if data[start] == 1 else 40)
    (a, b), (c, d) = (np.rint(matrix * (1 << 16)).astype(int)).tolist()
    numbers = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
    data[place : place + 36] = b''.join(n.to_bytes(4, 'big', signed=True) for n in numbers)
    path.write_bytes(data)
    return path


def write_pq(path: Path, nits: NDArray[np.float64], trc: int = 16) -> Path:
    """Write grey stripes of 16 pixels of these luminances, stored by PQ (ITU-R BT.2100)."""
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    power = (nits / 10_000) ** m1
    signal = ((c1 + c2 * power) / (1 + c3 * power)) ** m2
    luma = np.rint(64 + 876 * signal).astype(np.uint16)
    width, height = 16 * len(nits), 16
    chroma = np.full((height // 2, width // 2), 512, np.uint16)
    planes = [np.tile(np.repeat(luma, 16), (height, 1)), chroma, chroma]
    frame: Any = av.VideoFrame(width, height, 'yuv420p10le')
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    with av.open(str(path), 'w') as container:
        stream: Any = container.add_stream('ffv1', rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p10le'
        context = stream.codec_context
        context.color_trc, context.color_primaries = trc, 9
        context.colorspace, context.color_range = 9, 1
        frame.color_trc, frame.color_primaries = trc, 9
        frame.colorspace, frame.color_range = 9, 1
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
