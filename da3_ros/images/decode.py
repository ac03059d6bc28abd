"""Images of any kind to pixels; see the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
import math
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from da3_ros.geometry.camera import ImageSize
from da3_ros.images.bits import eight_bits
from da3_ros.images.modes import (
    Colours,
    Mask,
    Values,
    colours_of,
    is_deep,
    values_of,
    with_alpha,
)
from da3_ros.images.opening import load, opened, orientation_of, seen_size, stored_size
from da3_ros.notes import Note

# What is converted at once of an image that is made smaller on the way.
_PART_PIXELS = 8_000_000
# Formats whose further pictures are frames or pages; in other ones they are previews and maps.
_OF_PAGES = ('GIF', 'WEBP', 'TIFF', 'PNG')
# Pixels are not square when their sides differ by more than this share.
_SQUARE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An image as pixels."""

    pixels: Colours
    """(H, W, 3) uint8 RGB; `modes.UNSEEN_COLOUR` where nothing can be seen."""

    visible: Mask | None
    """(H, W) False where the image is fully transparent; None when all of it can be seen."""

    size: ImageSize
    """Of the image as it was given; `pixels` are fewer when it was reduced."""

    remarks: tuple[Note, ...] = ()
    """What a user should know of how it was read."""

    name: str = ''
    """Of the file, without its folder; empty when there is none."""


def read_image(
    path: str | PathLike[str], *, most_pixels: int | None = None, upright: bool = True
) -> DecodedImage:
    """Return the pixels of a file.

    Args:
        path: of the file; its content says what format it has, not its name.
        most_pixels: An image of more is reduced by a whole number on the way, so that it is not
            in memory as a whole more than once; None never reduces.
        upright: Whether an EXIF orientation is applied.

    Raises:
        OSError: It cannot be opened, is damaged, or no image.
        ValueError: As `opening.opened`, or its values have no meaning as colours. Parsers of the
            many formats raise other things too.
    """
    with opened(path) as image:
        factor = _factor(image.size, most_pixels)
        whole = None
        if factor > 1 and image.format in ('JPEG', 'MPO'):
            # The decoder of JPEG leaves out what a smaller picture does not need.
            whole = ImageSize(image.height, image.width)
            image.draft(None, (whole.width // factor, whole.height // factor))
        found = _decoded(image, most_pixels, upright, whole)
    return replace(found, name=Path(path).name)


def decode(
    image: Image.Image, *, most_pixels: int | None = None, upright: bool = True
) -> DecodedImage:
    """Return the pixels of an image of Pillow; arguments and errors as of `read_image`."""
    return _decoded(image, most_pixels, upright, None)


def size_of(item: NDArray[Any] | Image.Image | str | PathLike[str] | DecodedImage) -> ImageSize:
    """Return the size of an image as it is seen; of files and PIL images nothing is decoded.

    Raises:
        OSError: As `read_image`.
        ValueError: As `read_image`.
    """
    if isinstance(item, (str, PathLike)):
        with opened(item) as image:
            return seen_size(stored_size(image), orientation_of(image))
    if isinstance(item, Image.Image):
        return seen_size(stored_size(item), orientation_of(item))
    return item.size if isinstance(item, DecodedImage) else ImageSize(*item.shape[:2])


def from_array(array: NDArray[Any]) -> DecodedImage:
    """Return an array as an image.

    Args:
        array: uint8 or uint16, (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA.

    Raises:
        ValueError: It is none of them, or empty.
    """
    is_known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype not in (np.uint8, np.uint16) or array.size == 0 or not is_known:
        raise ValueError(f'expected a uint8 array (H, W, 3), got {array.dtype} {array.shape}')
    if array.dtype == np.uint16:
        array = eight_bits(np.ascontiguousarray(array), 16)
    size = ImageSize(int(array.shape[0]), int(array.shape[1]))
    if array.ndim == 2:
        return DecodedImage(np.repeat(array[..., None], 3, axis=2), None, size)
    if array.shape[2] == 3:
        return DecodedImage(np.ascontiguousarray(array), None, size)
    pixels, visible = with_alpha(array)
    return DecodedImage(pixels, visible, size, _transparent(visible))


def _decoded(
    image: Image.Image, most_pixels: int | None, upright: bool, drafted_from: ImageSize | None
) -> DecodedImage:
    before = orientation_of(image) if not upright else 1
    remarks = _remarks(image)
    load(image)
    left = orientation_of(image)
    size = drafted_from or ImageSize(image.height, image.width)
    values = values_of(image) if is_deep(image) else None
    factor = _factor(image.size, most_pixels)
    if factor == 1:
        pixels, visible = colours_of(image, values)
    else:
        pixels, visible = _reduced(image, values, factor)
    applied = left if upright else _undone(before if left != before else 1)
    pixels, visible = (
        _transposed(pixels, applied),
        None if visible is None else _transposed(visible, applied),
    )
    if values is not None and values.remark:
        remarks = (*remarks, Note('image_values', values.remark))
    return DecodedImage(
        pixels, visible, seen_size(size, applied), (*remarks, *_transparent(visible))
    )


def _factor(size: tuple[int, int], most_pixels: int | None) -> int:
    """Return the whole number by which an image is made smaller."""
    if most_pixels is None:
        return 1
    return math.ceil(math.sqrt(max(size[0] * size[1] / most_pixels, 1)))


def _reduced(
    image: Image.Image, values: Values | None, factor: int
) -> tuple[Colours, Mask | None]:
    """Return an image made smaller by a whole number, converted part by part."""
    height, width = -(-image.height // factor), -(-image.width // factor)
    colours = np.empty((height, width, 3), np.uint8)
    visible = np.ones((height, width), bool)
    for top, bottom in _parts(height, width * factor * factor):
        box = (0, top * factor, image.width, min(bottom * factor, image.height))
        part, part_visible = colours_of(image.crop(box), values)
        whole = _padded(part, (bottom - top) * factor, width * factor)
        target = (width, bottom - top)
        colours[top:bottom] = cv2.resize(whole, target, interpolation=cv2.INTER_AREA)
        if part_visible is not None:
            whole = _padded(part_visible.astype(np.uint8), (bottom - top) * factor, width * factor)
            blocks = whole.reshape(bottom - top, factor, width, factor)
            visible[top:bottom] = blocks.all(axis=(1, 3))
    return colours, None if visible.all() else visible


def _parts(rows: int, pixels_a_row: int) -> Iterator[tuple[int, int]]:
    step = max(_PART_PIXELS // pixels_a_row, 1)
    for top in range(0, rows, step):
        yield top, min(top + step, rows)


def _padded(part: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return an image whose last row and column are repeated up to a size."""
    missing = (height - part.shape[0], width - part.shape[1])
    if missing == (0, 0):
        return part
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], border), np.uint8)


def _undone(orientation: int) -> int:
    """Return the orientation that undoes another one."""
    return {6: 8, 8: 6}.get(orientation, orientation)


def _transposed(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an array (H, W) or (H, W, 3) of a given orientation upright."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(pixels[rows, columns])


def _remarks(image: Image.Image) -> tuple[Note, ...]:
    """Return what the header says that is not followed."""
    remarks = []
    if image.format in _OF_PAGES and getattr(image, 'is_animated', False):
        text = 'the file holds several pictures, the first one is used'
        remarks.append(Note('image_first_of_several', text))
    across, down = _density(image)
    if min(across, down) > 0 and max(across, down) / min(across, down) > 1 + _SQUARE:
        remarks.append(
            Note(
                'image_pixels_not_square',
                f'the header says that pixels are not square ({across:g} x {down:g} to a length); '
                'they are taken as square, stretch the image if they are not',
            )
        )
    return tuple(remarks)


def _density(image: Image.Image) -> tuple[float, float]:
    """Return how many pixels a file has to a length, across and down; zeros when it is silent."""
    for key in ('jfif_density', 'dpi', 'aspect'):
        found = image.info.get(key)
        if isinstance(found, tuple) and len(found) == 2:
            try:
                across, down = (float(value) for value in found)
            except (TypeError, ValueError, ZeroDivisionError):
                continue
            if math.isfinite(across) and math.isfinite(down):
                return across, down
    return 0.0, 0.0


def _transparent(visible: Mask | None) -> tuple[Note, ...]:
    """Return the remark about what cannot be seen.

    Raises:
        ValueError: nothing can be seen.
    """
    if visible is None:
        return ()
    share = 1 - float(visible.mean())
    if share == 1:
        raise ValueError(
            'every pixel is transparent (alpha 0); leave alpha out if its colours are meant'
        )
    text = 'transparent pixels have no depth and give no points'
    return (Note('image_transparent', text, {'share': share}),)
