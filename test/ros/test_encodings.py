"""Mosaics and YUV against mosaics made by hand and against the formulas of BT.601."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from sensor_msgs.msg import Image

from da3_ros.ros.conversions import FieldError, image_to_rgb

pytestmark = pytest.mark.ros
SOURCE = 'camera front, topic /front/image_raw'
Array = np.ndarray[Any, Any]
COLOURS = [(200, 40, 90), (30, 180, 60), (50, 70, 220), (128, 128, 128), (235, 235, 235)]


def message_of(rows: Array, encoding: str, height: int, width: int, padding: int = 0) -> Image:
    """Return a message whose rows are given as bytes (rows, n)."""
    message = Image(encoding=encoding, height=height, width=width, step=rows.shape[1] + padding)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    message.data = array.array('B', padded.tobytes())
    return message


def mosaic(rgb: Array, first_rows: str) -> Array:
    """Return what a sensor with the given 2x2 pattern (read row by row) records of an image."""
    out = np.empty(rgb.shape[:2], rgb.dtype)
    for index, letter in enumerate(first_rows):
        row, column = divmod(index, 2)
        out[row::2, column::2] = rgb[row::2, column::2, 'rgb'.index(letter)]
    return out


def limited_yuv(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return Y, Cb, Cr of 8-bit R, G, B: BT.601 with ranges 16..235 and 16..240."""
    r, g, b = (value / 255 for value in colour)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb, cr = (b - y) / 1.772, (r - y) / 1.402
    return round(16 + 219 * y), round(128 + 224 * cb), round(128 + 224 * cr)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('colour', COLOURS[:3])
def test_a_flat_colour_comes_back_from_its_mosaic(
    pattern: str, colour: tuple[int, int, int]
) -> None:
    flat = np.full((6, 9, 3), colour, np.uint8)
    message = message_of(mosaic(flat, pattern), f'bayer_{pattern}8', 6, 9, padding=3)
    np.testing.assert_array_equal(image_to_rgb(message, SOURCE), flat)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_recorded_values_stay_at_their_pixel_and_in_their_channel(pattern: str) -> None:
    """Every pixel has one channel that was measured: interpolation must leave that alone."""
    rgb = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    recorded = mosaic(rgb, pattern)
    got = image_to_rgb(message_of(recorded, f'bayer_{pattern}8', 8, 10), SOURCE)
    inner = slice(1, -1)
    np.testing.assert_array_equal(
        mosaic(got, pattern)[inner, inner], recorded[inner, inner], strict=True
    )


@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_16_bit_mosaics_keep_the_upper_byte(pattern: str, is_bigendian: int) -> None:
    flat = np.full((6, 8, 3), COLOURS[0], np.uint8)
    words = mosaic(flat, pattern).astype(np.uint16) * 256 + 31
    data = words.astype('>u2' if is_bigendian else '<u2').view(np.uint8)
    message = message_of(data, f'bayer_{pattern}16', 6, 8, padding=4)
    message.is_bigendian = is_bigendian
    np.testing.assert_array_equal(image_to_rgb(message, SOURCE), flat)


@pytest.mark.parametrize('order', ['rgba', 'bgra'])
def test_16_bit_colour_with_alpha_keeps_the_upper_byte(order: str) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    planes = {'r': rgb[..., 0], 'g': rgb[..., 1], 'b': rgb[..., 2], 'a': rgb[..., 0] // 2}
    words = np.stack([planes[c] for c in order], axis=-1).astype('<u2') * 256 + 5
    message = message_of(words.reshape(3, -1).view(np.uint8), f'{order}16', 3, 4)
    np.testing.assert_array_equal(image_to_rgb(message, SOURCE), rgb)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('uyvy', 'uyvy'), ('yuv422', 'uyvy'), ('yuyv', 'yuyv'), ('yuv422_yuy2', 'yuyv')],
)
@pytest.mark.parametrize('colours', [COLOURS[:2], COLOURS[2:4], COLOURS[3:]])
def test_packed_yuv_gives_the_colours_it_was_made_of(
    encoding: str, order: str, colours: list[tuple[int, int, int]], padding: int
) -> None:
    """Left half of one colour, right half of another."""
    row: list[int] = []
    for colour in colours:
        y, u, v = limited_yuv(colour)
        row += [{'y': y, 'u': u, 'v': v}[letter] for letter in order] * 2
    message = message_of(np.array([row] * 4, np.uint8), encoding, 4, 8, padding)
    got = image_to_rgb(message, SOURCE).astype(int)
    assert got.shape == (4, 8, 3)
    assert np.abs(got[:, :4] - colours[0]).max() <= 2
    assert np.abs(got[:, 4:] - colours[1]).max() <= 2


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', ['nv12', 'nv21'])
@pytest.mark.parametrize('colour', COLOURS)
def test_planar_yuv_gives_the_colour_it_was_made_of(
    encoding: str, colour: tuple[int, int, int], padding: int
) -> None:
    y, u, v = limited_yuv(colour)
    chroma = [u, v] if encoding == 'nv12' else [v, u]
    rows = np.array([[y] * 6] * 4 + [chroma * 3] * 2, np.uint8)
    got = image_to_rgb(message_of(rows, encoding, 4, 6, padding), SOURCE).astype(int)
    assert got.shape == (4, 6, 3)
    assert np.abs(got - colour).max() <= 2


def test_brightness_of_packed_yuv_stays_at_its_pixel() -> None:
    grey = np.arange(16, 16 + 24, dtype=np.uint8).reshape(3, 8)
    rows = np.full((3, 16), 128, np.uint8)
    rows[:, 1::2] = grey
    got = image_to_rgb(message_of(rows, 'uyvy', 3, 8), SOURCE)
    wanted = np.rint((grey.astype(float) - 16) * 255 / 219)
    assert np.abs(got.astype(int) - wanted[..., None]).max() <= 1


@pytest.mark.parametrize(
    ('encoding', 'height', 'width', 'field'),
    [
        ('uyvy', 4, 5, 'width'),
        ('yuyv', 4, 7, 'width'),
        ('nv12', 3, 4, 'height'),
        ('nv21', 4, 3, 'width'),
        ('nv12', 0, 4, 'height'),
        ('bayer_rggb8', 2, 8, 'height'),
        ('bayer_grbg16', 8, 2, 'width'),
    ],
)
def test_sizes_that_an_encoding_cannot_have_are_named(
    encoding: str, height: int, width: int, field: str
) -> None:
    message = message_of(np.zeros((8, 32), np.uint8), encoding, height, width)
    with pytest.raises(FieldError, match=rf'field {field}: expected at least .* for {encoding}'):
        image_to_rgb(message, SOURCE)


def test_planar_yuv_without_its_colour_rows_is_truncated() -> None:
    message = message_of(np.zeros((4, 6), np.uint8), 'nv12', 4, 6)
    with pytest.raises(FieldError, match=r'field data: expected 36 bytes .* got 24'):
        image_to_rgb(message, SOURCE)
