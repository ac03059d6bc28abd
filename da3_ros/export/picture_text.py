"""Text and colour bars for pictures, each a strip of its own that is joined to a picture.

Nothing is drawn over pixels of a picture. The letters are those that OpenCV brings, so that no
font has to be installed; they are ASCII.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.types import ColourImage

Rgb = tuple[int, int, int]

PAPER: Rgb = (250, 250, 248)
INK: Rgb = (30, 30, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE_OF_WIDTH = 0.5 / 1000
_MIN_SCALE = 0.42
_BOLD_FROM = 1.0


def text_scale(width: int) -> float:
    """Return the size of letters that can be read on a picture so many pixels wide."""
    return max(_MIN_SCALE, _SCALE_OF_WIDTH * width)


def text_width(text: str, scale: float) -> int:
    """Return how wide a line is, px."""
    return int(cv2.getTextSize(text, _FONT, scale, _thickness(scale))[0][0])


def line_height(scale: float) -> int:
    """Return the distance of two lines, px."""
    return max(8, round(38 * scale))


def draw_text(image: ColourImage, text: str, left: int, top: int, scale: float, ink: Rgb) -> None:
    """Draw a line into an image; `top` is the upper edge of the line, px."""
    at = (left, top + round(0.72 * line_height(scale)))
    cv2.putText(image, _ascii(text), at, _FONT, scale, ink, _thickness(scale), cv2.LINE_AA)


def text_strip(
    text: str,
    width: int,
    scale: float | None = None,
    *,
    ink: Rgb = INK,
    paper: Rgb = PAPER,
) -> ColourImage:
    """Return text as a strip (H, width, 3) that is as high as its lines.

    Args:
        text: breaks where its lines end, and where they would be too long.
        width: of the strip, px.
        scale: of the letters; None for one that suits the width.
        ink: colour of the letters.
        paper: colour behind them.
    """
    scale = text_scale(width) if scale is None else scale
    margin = margin_px(width, scale)
    lines = [
        part
        for line in _ascii(text).splitlines()
        for part in _wrapped(line, max(1, width - 2 * margin), scale)
    ]
    step = line_height(scale)
    strip = np.full((step * len(lines) + step // 3, width, 3), paper, np.uint8)
    for index, line in enumerate(lines):
        draw_text(strip, line, margin, step // 6 + index * step, scale, ink)
    return strip


def margin_px(width: int, scale: float) -> int:
    """Return the space left and right of the text of a strip, px."""
    return min(round(16 * scale), width // 16)


@dataclass(frozen=True, slots=True)
class BarScale:
    """What a colour bar shows."""

    colours: Callable[[NDArray[np.float64]], ColourImage]
    """Colours (..., 3) of shares (...): 0 at the left end, 1 at the right one."""
    value_at: Callable[[float], float]
    """The value at a share."""
    unit: str
    """Behind the numbers of both ends; empty for none."""


def bar_ticks(scale: BarScale, count: int) -> list[tuple[float, str]]:
    """Return share and text of ticks spread evenly over a bar, both ends among them."""
    ticks = []
    for share in np.linspace(0.0, 1.0, count):
        text = number_text(scale.value_at(float(share)))
        is_end = share in (0.0, 1.0)
        ticks.append((float(share), f'{text} {scale.unit}'.strip() if is_end else text))
    return ticks


def colour_bar(shown: BarScale, width: int, scale: float | None = None) -> ColourImage:
    """Return a bar with the numbers of its ends, and as many between them as there is room for.

    Args:
        shown: what it says.
        width: of the strip (H, width, 3), px.
        scale: of the numbers; None for one that suits the width.
    """
    scale = text_scale(width) if scale is None else scale
    margin = margin_px(width, scale)
    length = max(1, width - 2 * margin)
    thick, step = round(34 * scale), line_height(scale)
    placed = next((p for n in (5, 3, 2) if (p := _placed(bar_ticks(shown, n), length, scale))), ())
    if placed:
        texts = np.full((step + step // 3, width, 3), PAPER, np.uint8)
    else:
        texts = text_strip('\n'.join(text for _, text in bar_ticks(shown, 2)), width, scale)
    for tick in placed:
        texts[: step // 5, margin + tick.at] = INK
        draw_text(texts, tick.text, margin + tick.left, step // 4, scale, INK)
    bar = np.full((thick + step // 3, width, 3), PAPER, np.uint8)
    shares = np.arange(length) / max(length - 1, 1)
    bar[step // 3 :, margin : margin + length] = shown.colours(shares)
    return np.concatenate([bar, texts])


def number_text(value: float) -> str:
    """Return a number with three significant digits, in plain digits where that is short."""
    if value and not 1e-3 <= abs(value) < 1e6:
        return f'{value:.2e}'
    digits = 3 - 1 - int(np.floor(np.log10(abs(value)))) if value else 2
    return f'{round(value, digits):.{min(max(digits, 0), 5)}f}'


def stacked(pictures: Sequence[ColourImage], gap: int = 0) -> ColourImage:
    """Return pictures one below the other, to the left, on paper."""
    width = max(picture.shape[1] for picture in pictures)
    space = np.full((gap, width, 3), PAPER, np.uint8)
    parts = [part for p in pictures for part in (padded(p, p.shape[0], width), space)]
    return np.concatenate(parts[:-1])


def side_by_side(pictures: Sequence[ColourImage], gap: int = 0) -> ColourImage:
    """Return pictures beside one another, at the top, on paper."""
    height = max(picture.shape[0] for picture in pictures)
    space = np.full((height, gap, 3), PAPER, np.uint8)
    parts = [part for p in pictures for part in (padded(p, height, p.shape[1]), space)]
    return np.concatenate(parts[:-1], axis=1)


def padded(picture: ColourImage, height: int, width: int) -> ColourImage:
    """Return a picture with paper below and right of it, up to a size."""
    page = np.full((height, width, 3), PAPER, np.uint8)
    page[: picture.shape[0], : picture.shape[1]] = picture
    return page


@dataclass(frozen=True, slots=True)
class _Tick:
    at: int
    """Column of the bar that the number is of."""
    left: int
    """First column of the text."""
    text: str


def _placed(
    ticks: Sequence[tuple[float, str]], length: int, scale: float
) -> tuple[_Tick, ...] | None:
    """Return ticks with the places of their texts on a bar, None where these would touch."""
    placed: list[_Tick] = []
    gap, end = text_width('0', scale), -length
    for share, text in ticks:
        at, wide = round(share * (length - 1)), text_width(text, scale)
        left = min(max(at - wide // 2, 0), length - wide)
        if left < max(end + gap, 0):
            return None
        placed.append(_Tick(at, left, text))
        end = left + wide
    return tuple(placed)


def _wrapped(line: str, length: int, scale: float) -> list[str]:
    """Return the lines that a line breaks into: between words, within a word that is too long."""
    lines, current = [], ''
    for word in line.split():
        longer = f'{current} {word}' if current else word
        if text_width(longer, scale) <= length:
            current = longer
            continue
        if current:
            lines.append(current)
        *full, current = _pieces(word, length, scale)
        lines += full
    return [*lines, current]


@lru_cache(maxsize=64)
def _pieces(word: str, length: int, scale: float) -> tuple[str, ...]:
    pieces, current = [], ''
    for letter in word:
        if current and text_width(current + letter, scale) > length:
            pieces.append(current)
            current = ''
        current += letter
    return (*pieces, current)


def _thickness(scale: float) -> int:
    return 1 if scale < _BOLD_FROM else 2


def _ascii(text: str) -> str:
    return text.encode('ascii', 'replace').decode()
