"""Image files: which files of a folder are images, and what their headers say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import re

import numpy as np
from PIL import features

from da3_ros.errors import SourceError
from da3_ros.foreign import foreign_file, plain_path
from da3_ros.geometry.camera import ImageSize
from da3_ros.images.decode import read_image
from da3_ros.images.opening import (
    UPRIGHT,
    opened,
    orientation_of,
    reads_heif,
    seen_size,
    stored_size,
)
from da3_ros.types import ColourImage

HEIF_SUFFIXES: tuple[str, ...] = ('.heic', '.heif', '.hif')
"""Suffixes of files that only pillow-heif reads."""

IMAGE_SUFFIXES: tuple[str, ...] = (
    '.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tiff', '.tif', '.avif', *HEIF_SUFFIXES,
)  # fmt: skip
"""Suffixes of files that count as images where nothing else is asked for."""

# Files that are pictures to their owner, though they are not read unless asked for, or at all.
_OTHER_SUFFIXES = (
    '.gif', '.jp2', '.j2k', '.jfif', '.jpe', '.jxl', '.pbm', '.pgm', '.ppm', '.pnm', '.tga',
    '.exr', '.hdr', '.psd', '.arw', '.cr2', '.cr3', '.dng', '.nef', '.orf', '.raf', '.rw2',
)  # fmt: skip
PICTURE_SUFFIXES: tuple[str, ...] = (
    '.jp2', '.j2k', '.ico', '.pbm', '.pgm', '.ppm', '.pnm', '.tga',
)  # fmt: skip
"""Suffixes of further single pictures; none of them is a video."""
_RAW_SUFFIXES = ('.arw', '.cr2', '.cr3', '.dng', '.nef', '.orf', '.raf', '.rw2')
_DIGITS = re.compile(r'(\d+)')


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
        return self.orientation == UPRIGHT

    @property
    def size(self) -> ImageSize:
        """As it is to be seen, after the EXIF orientation."""
        return seen_size(self.stored_size, self.orientation)


@dataclass(frozen=True, slots=True)
class FoundImages:
    """The images of a folder."""

    files: tuple[Path, ...]
    """In the order of their names, numbers as numbers; at least one."""
    notes: tuple[str, ...] = ()
    """Which other images the folder has, and what would take them."""


def read_header(path: Path) -> ImageHeader:
    """Return what an image file says of itself, without decoding it.

    Raises:
        SourceError: the file is missing, no image, or one of too many pixels.
    """
    _check_is_file(path)
    with foreign_file(path, 'image'), opened(path) as image:
        return ImageHeader(
            stored_size(image), orientation_of(image), image.format or 'unknown', image.mode
        )


def read_stored(path: Path) -> ColourImage:
    """Return the pixels as they lie in the file, without regard to an EXIF orientation.

    That is how calibration tools read images.

    Returns:
        (H, W, 3) RGB, or where some of it is transparent (H, W, 4) with an alpha of 0 or 255.

    Raises:
        SourceError: the file is missing, damaged or no image.
    """
    _check_is_file(path)
    with foreign_file(path, 'image'):
        found = read_image(path, upright=False)
    if found.visible is None:
        return found.pixels
    alpha = np.where(found.visible, np.uint8(255), np.uint8(0))
    return np.concatenate([found.pixels, alpha[..., None]], axis=2)


def parse_suffixes(text: str) -> tuple[str, ...]:
    """Return the suffixes of a comma-separated list such as `png,jpg`, in lower case.

    Raises:
        SourceError: it names none, or one with a folder in it.
    """
    names = [part.strip().lower().lstrip('.') for part in text.split(',')]
    if not any(names) or any('/' in name or '\\' in name for name in names):
        raise SourceError(f'image extensions: expected some like png,jpg,jpeg, got {text!r}')
    return tuple(dict.fromkeys(f'.{name}' for name in names if name))


def natural_order(name: str) -> tuple[object, ...]:
    """Return a key that sorts names as people do: 2.png before 10.png, in any case of letters.

    Numbers are those of any script; names that differ in zeros or case only are in the order of
    their characters.
    """
    file = Path(name.casefold())
    # Text and numbers alternate, text first, so that only like is compared with like.
    parts = tuple(int(p) if n % 2 else p for n, p in enumerate(_DIGITS.split(file.stem)))
    return parts, file.suffix, name


def find_images(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> FoundImages:
    """Return the image files of a folder, not of its folders, and a note about images left out.

    Args:
        folder: where to look.
        suffixes: in lower case with dot; files match in any case. Those of HEIF count where
            pillow-heif is installed.

    Raises:
        SourceError: there is no such folder, or no image in it; says which other images it has.
    """
    names = _file_names(folder)
    readable = _readable(suffixes)
    found = sorted((n for n in names if n.lower().endswith(readable)), key=natural_order)
    others = [name for name in names if not name.lower().endswith(readable)]
    left_out = Counter(Path(name).suffix.lower() for name in others)
    left_out = Counter(
        {s: n for s, n in left_out.items() if s in IMAGE_SUFFIXES + _OTHER_SUFFIXES}
    )
    advice = _advice(tuple(left_out), suffixes)
    counted = ', '.join(f'{number} {suffix}' for suffix, number in sorted(left_out.items()))
    if found:
        files = tuple(folder / name for name in found)
        text = f'{counted} files of the folder were left out; {advice}'
        return FoundImages(files, (text,) if counted else ())
    hint = f'; it has {", ".join(sorted(left_out))} files: {advice}' if counted else ''
    raise SourceError(
        f'{plain_path(folder)}: expected images ({", ".join(suffixes)}), there are none among its '
        f'{len(names)} files{hint}'
    )


def list_images(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> tuple[Path, ...]:
    """Return the image files of a folder; arguments and errors as of `find_images`."""
    return find_images(folder, suffixes).files


def _readable(suffixes: Sequence[str]) -> tuple[str, ...]:
    """Return those of some suffixes whose files can be read here."""
    return tuple(suffix for suffix in suffixes if not _needs(suffix))


def _needs(suffix: str) -> str:
    """Return what has to be installed before files with a suffix are read; empty for nothing."""
    if suffix in HEIF_SUFFIXES and not reads_heif():
        return 'pillow-heif'
    if suffix == '.avif' and not features.check('avif'):
        return '"pillow>=11.3"'
    return ''


def _advice(left_out: Sequence[str], asked: Sequence[str]) -> str:
    """Return what to do so that files with these suffixes are read."""
    installs = sorted({_needs(suffix) for suffix in left_out} - {''})
    parts = [f'pip install {" ".join(installs)} to read them'] if installs else []
    known = [suffix for suffix in left_out if suffix not in _RAW_SUFFIXES]
    new = [suffix for suffix in known if suffix not in asked]
    if new:
        names = ','.join(suffix.lstrip('.') for suffix in (*asked, *new))
        parts.append(f'--image-extensions {names} asks for them')
    if any(suffix in _RAW_SUFFIXES for suffix in left_out):
        parts.append('raw images of cameras have to be developed to PNG or JPEG')
    return ', '.join(parts)


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


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        what = 'there is none'
        if path.exists():
            what = 'it is a folder' if path.is_dir() else 'it is a device, pipe or socket'
        raise SourceError(f'image {plain_path(path)}: expected a file, {what}')
