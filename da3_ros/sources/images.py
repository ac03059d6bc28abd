"""Image files: which files of a folder are images, and what their headers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from da3_ros.errors import SourceError
from da3_ros.foreign import foreign_file
from da3_ros.geometry.camera import ImageSize
from da3_ros.types import ColourImage

IMAGE_SUFFIXES: tuple[str, ...] = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tiff', '.tif')
"""Suffixes of files that count as images where nothing else is asked for."""

# EXIF orientations that turn the image by a quarter: its sides change places.
_SIDEWAYS = (5, 6, 7, 8)
_UPRIGHT = 1


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says without being decoded."""

    stored_size: ImageSize
    """As the pixels lie in the file."""
    orientation: int
    """EXIF orientation, 1 (upright) when the file names none."""
    format: str
    """Like `JPEG`."""
    mode: str
    """Like `RGB` or `L`, as Pillow names it."""

    @property
    def is_upright(self) -> bool:
        """Whether the pixels lie as they are to be seen."""
        return self.orientation == _UPRIGHT

    @property
    def size(self) -> ImageSize:
        """As it is to be seen, after the EXIF orientation."""
        if self.orientation in _SIDEWAYS:
            return ImageSize(self.stored_size.width, self.stored_size.height)
        return self.stored_size


def read_header(path: Path) -> ImageHeader:
    """Return what an image file says of itself, without decoding it.

    Raises:
        SourceError: the file is missing or no image.
    """
    with foreign_file(path, 'image'), _opened(path) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
        known = isinstance(orientation, int) and 1 <= orientation <= 8
        return ImageHeader(
            ImageSize(image.height, image.width),
            int(orientation) if known else _UPRIGHT,
            image.format or 'unknown',
            image.mode,
        )


def read_stored(path: Path) -> ColourImage:
    """Return the pixels as they lie in the file, without regard to an EXIF orientation.

    That is how calibration tools read images.

    Raises:
        SourceError: the file is missing, damaged or no image.
    """
    with foreign_file(path, 'image'), _opened(path) as image:
        return np.asarray(image.convert('RGB'), dtype=np.uint8)


def parse_suffixes(text: str) -> tuple[str, ...]:
    """Return the suffixes of a comma-separated list such as `png,jpg`, in lower case.

    Raises:
        SourceError: it names none, or one with a folder in it.
    """
    names = [part.strip().lower().lstrip('.') for part in text.split(',')]
    if not any(names) or any('/' in name or '\\' in name for name in names):
        raise SourceError(f'image extensions: expected some like png,jpg,jpeg, got {text!r}')
    return tuple(dict.fromkeys(f'.{name}' for name in names if name))


def list_images(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """Return the image files of a folder, not of its folders, sorted by name.

    Args:
        folder: where to look.
        suffixes: in lower case with dot; files match in any case.

    Raises:
        SourceError: there is no such folder, or no image in it; says which other images it has.
    """
    names = _file_names(folder)
    found = [name for name in names if name.lower().endswith(tuple(suffixes))]
    if found:
        return tuple(folder / name for name in sorted(found))
    others = {Path(name).suffix.lower() for name in names} & set(IMAGE_SUFFIXES)
    hint = f'; it has {", ".join(sorted(others))} files' if others else ''
    raise SourceError(
        f'{folder}: expected images ({", ".join(suffixes)}), there are none among its '
        f'{len(names)} files{hint}'
    )


def has_images(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> bool:
    """Return whether a folder itself holds at least one image file.

    Raises:
        SourceError: it cannot be read.
    """
    return any(name.lower().endswith(tuple(suffixes)) for name in _file_names(folder))


def _file_names(folder: Path) -> list[str]:
    """Return the names of all files in a folder that are not hidden."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if not e.name.startswith('.') and e.is_file()]
    except OSError as error:
        raise SourceError(f'{folder}: cannot be read as a folder: {error.strerror}') from error


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        what = 'it is a folder' if path.is_dir() else 'there is none'
        raise SourceError(f'image {path}: expected a file, {what}')
    return Image.open(path)
