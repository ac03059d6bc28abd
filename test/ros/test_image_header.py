"""Headers of image files against two other libraries, and against bytes that are none."""

from __future__ import annotations

import io
import struct
from typing import Any
import zlib

import cv2
import numpy as np
from PIL import Image
import pytest

pytest.importorskip('sensor_msgs')
from da3_ros.ros.image_header import FILE_KINDS, file_end, read_header

PICTURE = np.random.default_rng(2).integers(0, 256, (37, 53, 3), dtype=np.uint8)


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


COLOUR = Image.fromarray(PICTURE)
EXIF = Image.Exif()
EXIF[0x0112] = 6
FILES = {
    'jpeg': (written(COLOUR, 'JPEG'), 3, 8),
    'progressive': (written(COLOUR, 'JPEG', progressive=True), 3, 8),
    'jpeg with exif': (written(COLOUR, 'JPEG', exif=EXIF, comment=b'\xff\xc0' * 20), 3, 8),
    'grey jpeg': (written(COLOUR.convert('L'), 'JPEG'), 1, 8),
    'cmyk': (written(COLOUR.convert('CMYK'), 'JPEG'), 4, 8),
    'png': (written(COLOUR, 'PNG'), 3, 8),
    'rgba': (written(COLOUR.convert('RGBA'), 'PNG'), 4, 8),
    'grey alpha': (written(COLOUR.convert('LA'), 'PNG'), 2, 8),
    'palette': (written(COLOUR.convert('P'), 'PNG'), 3, 8),
    'bit': (written(COLOUR.convert('1'), 'PNG'), 1, 1),
    'png16': (written(Image.fromarray(PICTURE[..., 0].astype(np.uint16)), 'PNG'), 1, 16),
    'tiff': (written(COLOUR, 'TIFF'), 3, 8),
    'tiff big endian': (written(COLOUR, 'TIFF', big_endian=True), 3, 8),
    'tiff16': (written(Image.fromarray(PICTURE[..., 0].astype(np.uint16)), 'TIFF'), 1, 16),
    'bmp': (written(COLOUR, 'BMP'), 3, 8),
    'webp': (written(COLOUR, 'WEBP'), 3, 8),
    'webp lossless': (written(COLOUR, 'WEBP', lossless=True), 3, 8),
    'webp with exif': (written(COLOUR, 'WEBP', exif=EXIF), 3, 8),
}


@pytest.mark.parametrize('name', FILES)
def test_sizes_are_those_that_were_written(name: str) -> None:
    content, channels, bits = FILES[name]
    header = read_header(content)
    assert header is not None
    assert header.kind in FILE_KINDS
    assert (header.height, header.width) == PICTURE.shape[:2]
    if header.kind in ('JPEG', 'PNG', 'TIFF'):
        assert (header.channels, header.bits) == (channels, bits)


@pytest.mark.parametrize('name', FILES)
def test_a_file_ends_where_its_writer_ended_whatever_follows(name: str) -> None:
    content, _, _ = FILES[name]
    header = read_header(content)
    assert header is not None
    assert file_end(content, header.kind) == len(content)
    if header.kind not in ('JPEG', 'PNG'):
        return
    for more in (b'\0' * 3000, b'garbage' * 100, b'\xff\xda\xff\xd8', content[:-5]):
        assert file_end(content + more, header.kind) == len(content)
    for share in (0.2, 0.5, 0.9):
        assert file_end(content[: int(len(content) * share)], header.kind) is None
    assert file_end(content[:-2], header.kind) is None


def test_a_thumbnail_is_not_the_image() -> None:
    small = written(COLOUR.resize((8, 8)), 'JPEG')
    segment = b'\xff\xe1' + struct.pack('>H', len(small) + 2) + small
    content = b'\xff\xd8' + segment + FILES['jpeg'][0][2:]
    header = read_header(content)
    assert header is not None
    assert (header.height, header.width) == PICTURE.shape[:2]
    assert file_end(content, 'JPEG') == len(content)
    assert file_end(content[:-40], 'JPEG') is None


def test_a_claimed_size_is_read_from_a_small_file() -> None:
    content = bytearray(FILES['png'][0])
    content[16:24] = struct.pack('>II', 32000, 32000)
    content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    header = read_header(bytes(content))
    assert header is not None
    assert header.height * header.width == 1_024_000_000


@pytest.mark.parametrize(
    'content', [b'', b'\xff\xd8', b'GIF89a', b'P6 5 5 255 ', b'\x89PNG\r\n\x1a\n']
)
def test_bytes_without_a_header_have_none(content: bytes) -> None:
    assert read_header(content) is None


def test_no_bytes_do_more_than_have_no_header() -> None:
    rng = np.random.default_rng(7)
    files = [content for content, _, _ in FILES.values()]
    for index in range(6000):
        content = bytearray(files[index % len(files)])
        front = min(len(content), 200 if index % 3 else len(content))
        for place in rng.integers(0, front, int(rng.integers(1, 12))):
            content[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, *rng.integers(0, 256, 2)]))
        if index % 4 == 0:
            del content[int(rng.integers(0, len(content))) :]
        header = read_header(bytes(content))
        if header is not None:
            assert min(header.height, header.width) >= 0
            file_end(bytes(content), header.kind)


def test_sizes_agree_with_the_decoder() -> None:
    """What the header says is what memory is taken for."""
    rng = np.random.default_rng(8)
    for name, (content, _, _) in FILES.items():
        for _ in range(60):
            changed = bytearray(content)
            for place in rng.integers(0, min(len(content), 120), 2):
                changed[place] = int(rng.integers(0, 256))
            header = read_header(bytes(changed))
            if header is None or header.height * header.width > 1_000_000:
                continue
            if file_end(bytes(changed), header.kind) is None:
                continue
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            decoded = cv2.imdecode(np.frombuffer(changed, np.uint8), flags)
            if decoded is None:
                continue
            assert decoded.shape[:2] == (header.height, header.width), name
