"""What Pillow's modes become: RGB of 8 bits, and which pixels can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from da3_ros.images.bits import eight_bits

Colours = NDArray[np.uint8]
Mask = NDArray[np.bool_]

UNSEEN_COLOUR = (124, 116, 104)
"""What transparent pixels become: the mean of the images that networks are trained with, which
is 0 for them. What a file stores there is arbitrary, often black."""

# So many unused bits make an image almost black; as for messages.
_DARK_BITS = 2
_TIFF_BITS, _TIFF_MEANING = 258, 262
_WHITE_IS_ZERO = 0
_LARGEST_16 = 65535


@dataclass(frozen=True, slots=True)
class Values:
    """How the values of an image of one channel with more than 8 bits are to be read."""

    bits: int = 16
    """That integers use."""
    factor: float = 1.0
    """To 0..255, of floats."""
    is_inverted: bool = False
    """Whether 0 is white."""
    unseen: int | None = None
    """The value that is transparent; None when there is none."""
    remark: str = ''
    """What a user should know of the choice; empty when there was none."""


def has_alpha(image: Image.Image) -> bool:
    """Return whether an image may have transparent pixels."""
    return image.mode in ('LA', 'PA', 'RGBA', 'La', 'RGBa') or 'transparency' in image.info


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has one channel of more than 8 bits."""
    return image.mode in ('I', 'F') or image.mode.startswith('I;')


def values_of(image: Image.Image) -> Values:
    """Return how the values of a deep image are to be read, by all of them.

    Raises:
        ValueError: they are below 0 or beyond 16 bits, so that nobody knows what is white.
    """
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    is_inverted = tags.get(_TIFF_MEANING) == _WHITE_IS_ZERO
    if image.mode == 'F':
        return _float_values(image, is_inverted)
    low, high = (int(value) for value in _extrema(image))
    if low < 0 or high > _LARGEST_16:
        raise ValueError(
            f'expected grey values of 0 to 65535, got {low} to {high}; scale them to 16 bits'
        )
    bits = min(int(np.max(tags.get(_TIFF_BITS, 16))), 16)
    used = high.bit_length()
    remark = ''
    if 0 < used <= bits - _DARK_BITS:
        remark = (
            f'values up to {high} of {2**bits - 1} are almost black for the network; multiply '
            f'them by {2 ** (bits - used)}'
        )
    unseen = image.info.get('transparency')
    is_value = isinstance(unseen, int)
    return Values(bits, 1.0, is_inverted, unseen if is_value else None, remark)


def colours_of(image: Image.Image, values: Values | None) -> tuple[Colours, Mask | None]:
    """Return an image, or a part of one, as RGB (H, W, 3), and which pixels can be seen.

    Args:
        image: decoded.
        values: how a deep image is read; None for other ones.

    Returns:
        The colours as they are stored, also of pixels that are half transparent, and
        `UNSEEN_COLOUR` where they are fully transparent; a mask (H, W), None when every pixel can
        be seen.
    """
    if values is not None:
        return _grey(np.asarray(image), values)
    if not has_alpha(image):
        return np.asarray(image if image.mode == 'RGB' else image.convert('RGB')), None
    if image.mode == 'La':
        image = image.convert('LA')
    return with_alpha(np.asarray(image.convert('RGBA')))


def with_alpha(rgba: Colours) -> tuple[Colours, Mask | None]:
    """Return the colours of (H, W, 4), and which pixels can be seen; see `colours_of`."""
    colours = np.ascontiguousarray(rgba[..., :3])
    return _covered(colours, rgba[..., 3] > 0)


def _covered(colours: Colours, visible: Mask) -> tuple[Colours, Mask | None]:
    if visible.all():
        return colours, None
    colours[~visible] = UNSEEN_COLOUR
    return colours, visible


def _grey(stored: NDArray[Any], values: Values) -> tuple[Colours, Mask | None]:
    if stored.dtype.kind == 'f':
        grey = np.clip(stored * np.float32(values.factor) + 0.5, 0, 255).astype(np.uint8)
    else:
        grey = eight_bits(np.ascontiguousarray(stored, dtype=np.uint16), values.bits)
    if values.is_inverted:
        grey = 255 - grey
    colours = np.repeat(grey[..., None], 3, axis=2)
    if values.unseen is None:
        return colours, None
    return _covered(colours, np.asarray(stored != values.unseen))


def _float_values(image: Image.Image, is_inverted: bool) -> Values:
    low, high = _extrema(image)
    if not (np.isfinite((low, high)).all() and low >= 0 and high <= _LARGEST_16):
        raise ValueError(
            f'expected grey values of 0 to 1, got {low:g} to {high:g}; no infinite ones or NaN'
        )
    white = next(white for white in (1, 255, _LARGEST_16) if high <= white)
    remark = '' if white == 1 else f'float values up to {high:g}: {white} is taken for white'
    return Values(32, 255 / white, is_inverted, None, remark)


def _extrema(image: Image.Image) -> tuple[float, float]:
    stored = np.asarray(image)
    return float(stored.min()), float(stored.max())
