"""Image files, opened within bounds, and what they say before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike
from pathlib import Path
import threading
from typing import BinaryIO

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from da3_ros.foreign import open_regular
from da3_ros.geometry.camera import ImageSize

MAX_PIXELS = 300_000_000
"""Larger images are refused by their header; at this limit Pillow holds 1.2 GB of colours."""

UPRIGHT = 1
"""The EXIF orientation of an image whose pixels lie as they are to be seen."""

# EXIF orientations that rotate the image by a quarter: its sides change places.
_SIDEWAYS = (5, 6, 7, 8)
_HEIF_BRANDS = (b'heic', b'heix', b'hevc', b'hevx', b'heim', b'heis', b'mif1', b'msf1')
_PNG_TEXTS = ('exif', 'Raw profile type exif', 'xmp', 'XML:com.adobe.xmp')
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257

_one_at_a_time = threading.Lock()


@contextmanager
def opened(path: str | PathLike[str]) -> Iterator[Image.Image]:
    """Open an image file; its pixels are not decoded yet.

    Raises:
        OSError: It cannot be opened, or is no image.
        ValueError: It is no regular file, has more than `MAX_PIXELS`, or is one that only a
            missing package reads. Parsers of the many formats raise other things too.
    """
    with open_regular(Path(path)) as file:
        image = _identified(file)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f'it has {width}x{height} pixels, at most {MAX_PIXELS // 1_000_000} million are '
                'read; make it smaller, the network sees far fewer'
            )
        yield image


def load(image: Image.Image) -> None:
    """Decode the pixels of an image that is within `MAX_PIXELS`."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or image.width * image.height <= limit:
        image.load()
        return
    # Pillow looks at the size of some formats (TIFF) a second time.
    with _without_pillows_limit():
        image.load()


@cache
def reads_heif() -> bool:
    """Return whether pictures in HEIF (`.heic` of phones) can be read."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1..8; 1 where it names none that exists."""
    if _has_no_late_exif(image):
        return UPRIGHT
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # what Pillow's parser raises at damaged EXIF data; the pixels are fine
        return UPRIGHT
    known = isinstance(value, int) and 1 <= value <= 8
    return int(value) if known else UPRIGHT


def stored_size(image: Image.Image) -> ImageSize:
    """Return the size of an image that is not decoded yet, as its pixels lie in the file."""
    if isinstance(image, TiffImageFile):
        # Pillow gives the size of TIFF files as it is to be seen.
        tags = image.tag_v2
        return ImageSize(int(tags[_TIFF_HEIGHT]), int(tags[_TIFF_WIDTH]))
    return ImageSize(image.height, image.width)


def seen_size(stored: ImageSize, orientation: int) -> ImageSize:
    """Return the size of an image as it is to be seen, given how it is stored."""
    return ImageSize(stored.width, stored.height) if orientation in _SIDEWAYS else stored


def _identified(file: BinaryIO) -> Image.Image:
    try:
        with _without_pillows_limit():
            return Image.open(file)
    except UnidentifiedImageError as error:
        file.seek(0)
        if file.read(12)[8:] not in _HEIF_BRANDS:
            raise ValueError('it is no image, or of a kind that is not known') from error
        if not reads_heif():
            raise ValueError(
                'it is a HEIF image; pip install pillow-heif, and it is read'
            ) from error
        file.seek(0)
        with _without_pillows_limit():
            return Image.open(file)


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Let Pillow take an image of any size: the limit here is ours, not the whole process's."""
    with _one_at_a_time:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _has_no_late_exif(image: Image.Image) -> bool:
    """Return whether an image is a PNG without EXIF data in front of its pixels or behind them.

    Pillow decodes the whole file to look behind them; names of chunks tell it as well.
    """
    if not isinstance(image, PngImageFile) or any(key in image.info for key in _PNG_TEXTS):
        return False
    file = image.fp
    if file is None:
        return False
    before = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b'IEND':
            if head[4:] in (b'eXIf', b'iTXt', b'zTXt', b'tEXt'):
                return False
            file.seek(int.from_bytes(head[:4], 'big') + 4, 1)
    finally:
        file.seek(before)
    return True
