"""Image files of every kind to pixels, against other decoders and the formats' own rules."""

from io import BytesIO
import os
from pathlib import Path
import struct
from typing import Any
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from da3_ros.geometry.camera import ImageSize
from da3_ros.images.decode import DecodedImage, decode, from_array, read_image
from da3_ros.images.modes import UNSEEN_COLOUR
from da3_ros.images.opening import MAX_PIXELS, opened
from da3_ros.sources.images import read_header, read_stored

HEIGHT, WIDTH = 30, 44
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
GREY = ((3 * ROWS + 2 * COLUMNS) % 256).astype(np.uint8)
COLOUR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
HOLE = (ROWS < 7) & (COLUMNS > 30)
EIGHT_ORIENTATIONS = {
    # EXIF 2.32, tag 0x0112: where the 0th row and the 0th column of what is stored are seen.
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}


def codes(image: DecodedImage) -> list[str]:
    return [note.code for note in image.remarks]


@pytest.mark.parametrize('suffix', ['png', 'tiff'])
def test_sixteen_bits_of_grey_are_the_upper_eight(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'a.{suffix}'
    low = (7 * COLUMNS % 256).astype(np.uint16)
    cv2.imwrite(str(path), GREY.astype(np.uint16) * 256 + low)
    expected = np.dstack([GREY] * 3)
    for pixels in (read_image(path).pixels, read_stored(path)):
        np.testing.assert_array_equal(pixels, expected)
    # As an array, and as a file that is open, too.
    np.testing.assert_array_equal(from_array(GREY.astype(np.uint16) * 256).pixels, expected)
    with Image.open(path) as image:
        np.testing.assert_array_equal(decode(image).pixels, expected)


@pytest.mark.parametrize('suffix', ['png', 'tiff'])
@pytest.mark.parametrize('channels', [3, 4])
def test_sixteen_bits_of_colour_too(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f'a.{suffix}'
    stored = np.dstack([COLOUR[..., ::-1], np.full_like(GREY, 9)])[..., :channels]
    cv2.imwrite(str(path), stored.astype(np.uint16) * 256 + 255)
    np.testing.assert_array_equal(read_image(path).pixels, COLOUR)


@pytest.mark.parametrize(('bits', 'photometric'), [(12, 1), (16, 0), (16, 1)])
def test_bits_and_meaning_of_grey_tiff_files(tmp_path: Path, bits: int, photometric: int) -> None:
    path = tmp_path / 'a.tif'
    path.write_bytes(grey_tiff(GREY.astype(int) << (bits - 8), bits, photometric))
    expected = GREY if photometric == 1 else 255 - GREY
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], expected)


def grey_tiff(values: NDArray[np.int64], bits: int, photometric: int) -> bytes:
    """Return an uncompressed TIFF of one strip (TIFF 6.0, sections 2 to 4), 0 white or black."""
    height, width = values.shape
    if bits == 12:
        # Two values in three bytes, the upper bits first.
        text = ''.join(f'{value:012b}' for value in values.ravel())
        pixels = int(text, 2).to_bytes(len(text) // 8, 'big')
    else:
        pixels = values.astype('<u2').tobytes()
    entries = [
        (256, width), (257, height), (258, bits), (259, 1), (262, photometric),
        (273, 8), (277, 1), (278, height),
    ]  # fmt: skip
    content = b'II*\0' + struct.pack('<I', 8 + len(pixels)) + pixels
    content += struct.pack('<H', len(entries) + 1)
    for tag, value in entries:
        content += struct.pack('<HHIHH', tag, 3, 1, value, 0)
    return content + struct.pack('<HHII', 279, 4, 1, len(pixels)) + bytes(4)


@pytest.mark.parametrize(
    ('values', 'code'),
    [
        (GREY.astype(np.float32) / 255, None),
        (GREY.astype(np.float32), 'image_values'),
        (GREY.astype(np.float32) * 257, 'image_values'),
        (GREY.astype(np.int32) * 257, None),
    ],
    ids=['unit', 'bytes', 'words', 'integers'],
)
def test_floats_and_long_integers(
    tmp_path: Path, values: NDArray[np.generic], code: str | None
) -> None:
    Image.fromarray(values).save(tmp_path / 'a.tif')
    image = read_image(tmp_path / 'a.tif')
    np.testing.assert_array_equal(image.pixels, np.dstack([GREY] * 3))
    assert codes(image) == ([] if code is None else [code])


@pytest.mark.parametrize('bad', [np.nan, np.inf, -1.0, 1e6])
def test_floats_without_a_white_are_refused(tmp_path: Path, bad: float) -> None:
    values = GREY.astype(np.float32)
    values[5, 5] = bad
    Image.fromarray(values).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match='expected grey values of 0 to 1'):
        read_image(tmp_path / 'a.tif')


def test_few_bits_of_sixteen_are_said_to_be_dark(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a.png'), GREY.astype(np.uint16) * 16)
    (note,) = read_image(tmp_path / 'a.png').remarks
    assert note.text == (
        'values up to 2768 of 65535 are almost black for the network; multiply them by 16'
    )
    assert int(GREY.max()) * 16 == 2768


def transparent_files(folder: Path) -> dict[str, Path]:
    """Return files in which exactly `HOLE` is transparent, by kind."""
    alpha = np.where(HOLE, 0, 1).astype(np.uint8)
    rgba = Image.fromarray(np.dstack([COLOUR, alpha * 255]))
    faint = Image.fromarray(np.dstack([COLOUR, alpha]))
    grey = Image.merge('LA', (Image.fromarray(GREY), Image.fromarray(alpha * 255)))
    marked = COLOUR.copy()
    marked[HOLE] = (1, 2, 3)
    palette = Image.fromarray(np.where(HOLE, 77, GREY % 64).astype(np.uint8), 'P')
    palette.putpalette([value for n in range(256) for value in (n, 255 - n, n // 2)])
    words = np.where(HOLE, 4660, GREY.astype(np.uint16) * 257).astype(np.uint16)
    made = {}
    for name, image, options in (
        ('rgba.png', rgba, {}),
        ('faint.png', faint, {}),
        ('rgba.webp', rgba, {'lossless': True, 'exact': True}),
        ('rgba.tif', rgba, {}),
        ('la.png', grey, {}),
        ('rgb.png', Image.fromarray(marked), {'transparency': (1, 2, 3)}),
        ('palette.png', palette, {'transparency': 77}),
        ('palette.gif', palette, {'transparency': 77}),
        ('grey16.png', Image.fromarray(words), {'transparency': 4660}),
    ):
        made[name] = folder / name
        image.save(made[name], **options)
    return made


def test_what_is_transparent_is_known_in_every_format(tmp_path: Path) -> None:
    for name, path in transparent_files(tmp_path).items():
        image = read_image(path)
        assert image.visible is not None, name
        np.testing.assert_array_equal(image.visible, ~HOLE, err_msg=name)
        assert (image.pixels[HOLE] == UNSEEN_COLOUR).all(), name
        assert codes(image) == ['image_transparent'], name
        # Elsewhere the colours are as stored, however faint.
        if name.startswith(('rgb', 'faint')):
            np.testing.assert_array_equal(image.pixels[~HOLE], COLOUR[~HOLE], err_msg=name)


def test_an_array_with_alpha_is_like_a_file() -> None:
    image = from_array(np.dstack([COLOUR, np.where(HOLE, 0, 255)]).astype(np.uint8))
    assert image.visible is not None
    np.testing.assert_array_equal(image.visible, ~HOLE)
    opaque = from_array(np.dstack([COLOUR, np.full_like(GREY, 1)]))
    assert opaque.visible is None
    np.testing.assert_array_equal(opaque.pixels, COLOUR)


def test_an_image_that_shows_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match='every pixel is transparent'):
        from_array(np.zeros((4, 4, 4), np.uint8))


@pytest.mark.parametrize('progressive', [False, True])
def test_cmyk_of_adobe_is_not_inverted(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / 'a.jpg'
    Image.fromarray(COLOUR).convert('CMYK').save(path, quality=95, progressive=progressive)
    seen = read_image(path).pixels.astype(int)
    # The plain conversion of both: red is white without cyan.
    assert np.abs(seen - COLOUR).mean() < 6


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'tif'])
@pytest.mark.parametrize('orientation', EIGHT_ORIENTATIONS)
def test_every_orientation_is_seen_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f'a.{suffix}'
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = cv2.resize(COLOUR, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    options: dict[str, Any] = {'exif': exif}
    if suffix == 'tif':
        options = {'tiffinfo': {274: orientation}}
    if suffix == 'jpg':
        options['quality'] = 100
        stored = cv2.GaussianBlur(COLOUR, (9, 9), 3)
    Image.fromarray(stored).save(path, subsampling=0, **options)
    expected = EIGHT_ORIENTATIONS[orientation](stored)
    image, header = read_image(path), read_header(path)
    np.testing.assert_allclose(image.pixels.astype(int), expected, atol=8)
    np.testing.assert_allclose(read_stored(path).astype(int), stored, atol=8)
    size = ImageSize(*expected.shape[:2])
    assert image.size == header.size == size
    assert header.stored_size == ImageSize(HEIGHT, WIDTH)
    assert header.orientation == orientation


@pytest.mark.parametrize('value', [0, 9, 65535])
def test_orientations_that_do_not_exist_change_nothing(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(COLOUR).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png').pixels, COLOUR)


def test_damaged_exif_data_costs_the_orientation_only(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / 'a.png', exif=b'Exif\0\0II*\0\xff\xff\xff\xff')
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png').pixels, COLOUR)
    assert read_header(tmp_path / 'a.png').is_upright


def test_the_content_says_the_format_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / 'a.JPG'
    Image.fromarray(COLOUR).save(path, 'PNG')
    np.testing.assert_array_equal(read_image(path).pixels, COLOUR)


def test_the_first_of_several_pictures_is_used_and_that_is_said(tmp_path: Path) -> None:
    first, second = Image.fromarray(COLOUR), Image.fromarray(COLOUR[::-1])
    for suffix in ('gif', 'tif', 'png', 'webp'):
        path = tmp_path / f'a.{suffix}'
        options: dict[str, Any] = {'lossless': True} if suffix == 'webp' else {}
        first.save(path, save_all=True, append_images=[second], **options)
        image = read_image(path)
        assert codes(image) == ['image_first_of_several'], suffix
        tolerance = 40 if suffix == 'gif' else 0
        assert np.abs(image.pixels.astype(int) - COLOUR).max() <= tolerance, suffix


@pytest.mark.parametrize('suffix', ['jpg', 'tif', 'png'])
def test_pixels_that_are_not_square_are_said_and_left(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(COLOUR).save(path, dpi=(204, 98))
    image = read_image(path)
    assert codes(image) == ['image_pixels_not_square']
    assert image.pixels.shape == COLOUR.shape
    Image.fromarray(COLOUR).save(path, dpi=(72, 72))
    assert codes(read_image(path)) == []


@pytest.mark.parametrize('mode', ['RGB', 'L', 'I;16', 'RGBA', 'P'])
def test_a_large_image_is_reduced_by_the_mean_of_its_pixels(mode: str) -> None:
    side = 7
    stored = np.repeat(np.repeat(GREY[:9, :11], side, axis=0), side, axis=1)
    image = {
        'RGB': lambda: Image.fromarray(np.dstack([stored] * 3)),
        'L': lambda: Image.fromarray(stored),
        'I;16': lambda: Image.fromarray(stored.astype(np.uint16) * 256),
        'RGBA': lambda: Image.fromarray(np.dstack([stored, stored, stored, stored * 0 + 255])),
        'P': lambda: Image.fromarray(stored).convert('P'),
    }[mode]()
    found = decode(image, most_pixels=stored.size // side**2)
    assert found.size == ImageSize(9 * side, 11 * side)
    np.testing.assert_array_equal(found.pixels, np.dstack([GREY[:9, :11]] * 3))


def test_a_reduced_pixel_that_is_partly_transparent_cannot_be_seen() -> None:
    alpha = np.full((40, 40), 255, np.uint8)
    alpha[13, 22] = 0
    rgba = np.dstack([np.full((40, 40, 3), 90, np.uint8), alpha])
    found = decode(Image.fromarray(rgba), most_pixels=100)
    expected = np.ones((10, 10), bool)
    expected[3, 5] = False
    np.testing.assert_array_equal(found.visible, expected)


def test_a_large_jpeg_is_decoded_small(tmp_path: Path) -> None:
    path = tmp_path / 'a.jpg'
    large = cv2.resize(COLOUR, (1600, 1200), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(large).save(path, quality=95)
    found = read_image(path, most_pixels=1600 * 1200 // 16)
    assert found.size == ImageSize(1200, 1600)
    expected = cv2.resize(large, (400, 300), interpolation=cv2.INTER_AREA)
    assert found.pixels.shape == expected.shape
    assert np.abs(found.pixels.astype(int) - expected).mean() < 2


def test_more_pixels_than_are_read_are_refused_by_the_header(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    side = int(MAX_PIXELS**0.5) + 1
    path.write_bytes(png_of(side, side))
    with pytest.raises(ValueError, match=f'{side}x{side} pixels, at most 300 million'):
        read_image(path)
    # As large as Pillow refuses by itself; and its own limit is as it was.
    limit = Image.MAX_IMAGE_PIXELS
    path.write_bytes(png_of(20_000, 12_000))
    with opened(path) as image:
        assert image.size == (20_000, 12_000)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_large_tiff_is_decoded_though_pillow_looks_at_its_size_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.tif'
    Image.fromarray(COLOUR).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    np.testing.assert_array_equal(read_image(path).pixels, COLOUR)
    assert Image.MAX_IMAGE_PIXELS == 10


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that promises so many pixels and has none of them."""
    content = b'\x89PNG\r\n\x1a\n'
    head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    for kind, body in ((b'IHDR', head), (b'IDAT', zlib.compress(b'')), (b'IEND', b'')):
        content += struct.pack('>I', len(body)) + kind + body
        content += struct.pack('>I', zlib.crc32(kind + body))
    return content


def test_what_is_no_image_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.png').write_text('no picture')
    buffer = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, 'PNG')
    (tmp_path / 'cut.png').write_bytes(buffer.getvalue()[:2000])
    (tmp_path / 'phone.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(100))
    os.mkfifo(tmp_path / 'pipe.png')
    for name in ('empty.png', 'text.png', 'cut.png', 'phone.heic', 'pipe.png', '.', 'absent.png'):
        with pytest.raises((OSError, ValueError)):
            read_image(tmp_path / name)
