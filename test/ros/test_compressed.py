"""Compressed images of every kind against what another library decodes, and pieces of them."""

from __future__ import annotations

import array
import io
from typing import Any

import cv2
import numpy as np
from PIL import Image
import pytest

pytest.importorskip('sensor_msgs')
from sensor_msgs.msg import CompressedImage

from da3_ros.ros.compressed import compressed_to_rgb, read_compressed
from da3_ros.ros.conversions import FieldError
from da3_ros.ros.encodings import ReadRules

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
SOURCE = 'camera front, topic /front/image_raw/compressed'
FORMAT = 'rgb8; jpeg compressed bgr8'
ROWS, COLUMNS = np.mgrid[0:96, 0:128]
SMOOTH = np.stack([COLUMNS + 20, ROWS * 2, 200 - COLUMNS], axis=-1).astype(np.uint8)


def message(content: bytes, image_format: str = FORMAT) -> CompressedImage:
    made = CompressedImage(format=image_format)
    made.data = array.array('B', content)
    return made


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def jpeg(image: Array = SMOOTH, **options: Any) -> bytes:
    return written(Image.fromarray(image), 'JPEG', quality=95, subsampling=0, **options)


def mosaic_of(rgb: Array, pattern: str) -> Array:
    """Return what a sensor sees whose upper left four pixels have these colours."""
    mosaic = np.zeros(rgb.shape[:2], rgb.dtype)
    for place, colour in enumerate(pattern):
        rows, columns = slice(place // 2, None, 2), slice(place % 2, None, 2)
        mosaic[rows, columns] = rgb[rows, columns, 'rgb'.index(colour)]
    return mosaic


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize(
    ('encoding', 'kind', 'target'),
    [
        ('8', 'PNG', 'png compressed '),
        ('8', 'JPEG', 'jpeg compressed '),
        ('8', 'JPEG', 'jpeg compressed bgr8'),
        ('16', 'PNG', 'png compressed '),
    ],
)
def test_grey_images_of_a_mosaic_get_its_colours(
    pattern: str, encoding: str, kind: str, target: str
) -> None:
    mosaic = mosaic_of(SMOOTH, pattern)
    if encoding == '16':
        mosaic = mosaic.astype(np.uint16) * 256 + 99
    options = {'quality': 100} if kind == 'JPEG' else {}
    content = written(Image.fromarray(mosaic), kind, **options)
    got = compressed_to_rgb(message(content, f'bayer_{pattern}{encoding}; {target}'), SOURCE)
    # On a plane linear interpolation is exact, but at the border.
    difference = np.abs(got.astype(int) - SMOOTH)[2:-2, 2:-2]
    assert difference.max() <= (4 if kind == 'JPEG' else 1)


def test_a_mosaic_that_was_made_colour_before_is_not_made_so_again() -> None:
    got = compressed_to_rgb(message(jpeg(), 'bayer_rggb8; jpeg compressed bgr8'), SOURCE)
    np.testing.assert_array_equal(got, compressed_to_rgb(message(jpeg()), SOURCE))


def test_a_mosaic_without_colour_is_refused() -> None:
    content = written(Image.fromarray(np.zeros((2, 2), np.uint8)), 'PNG')
    with pytest.raises(FieldError, match='field height: expected at least 3 for bayer_rggb8'):
        compressed_to_rgb(message(content, 'bayer_rggb8; png compressed '), SOURCE)


@pytest.mark.parametrize('bits', [8, 10, 12, 16])
@pytest.mark.parametrize('encoding', ['mono16', '16UC1', ''])
def test_16_bits_are_shifted_by_what_the_sensor_leaves(bits: int, encoding: str) -> None:
    values = ((ROWS * 128 + COLUMNS) % 2**bits).astype(np.uint16)
    values[0, 0] = 60_000
    content = written(Image.fromarray(values), 'PNG')
    rules = ReadRules(mono16_bits=bits)
    read = read_compressed(message(content, f'{encoding}; png compressed '), SOURCE, rules)
    wanted = np.minimum(values.astype(int) // 2 ** (bits - 8), 255)
    np.testing.assert_array_equal(read.pixels, np.repeat(wanted[..., None], 3, axis=-1))
    assert read.largest == 60_000


COLOUR = Image.fromarray(SMOOTH)
KINDS = {
    'png': written(COLOUR, 'PNG'),
    'rgba': written(COLOUR.convert('RGBA'), 'PNG'),
    'palette': written(COLOUR.quantize(), 'PNG'),
    'grey': written(COLOUR.convert('L'), 'PNG'),
    'grey jpeg': written(COLOUR.convert('L'), 'JPEG', quality=95),
    'progressive': jpeg(progressive=True),
    'cmyk': written(COLOUR.convert('CMYK'), 'JPEG', quality=100),
    'tiff': written(COLOUR, 'TIFF'),
    'bmp': written(COLOUR, 'BMP'),
    'webp': written(COLOUR, 'WEBP', lossless=True),
}


@pytest.mark.parametrize('kind', KINDS)
def test_files_are_what_their_bytes_say(kind: str) -> None:
    with Image.open(io.BytesIO(KINDS[kind])) as opened:
        wanted = np.asarray(opened.convert('RGB'))
    got = compressed_to_rgb(message(KINDS[kind], 'rgb8; jpeg compressed bgr8'), SOURCE)
    assert got.shape == wanted.shape
    assert np.abs(got.astype(int) - wanted).max() <= (
        3 if 'jpeg' in kind or kind in ('progressive', 'cmyk') else 0
    )


def test_colour_of_16_bits_keeps_the_upper_byte() -> None:
    ok, content = cv2.imencode('.png', SMOOTH[..., ::-1].astype(np.uint16) * 256 + 200)
    assert ok
    got = compressed_to_rgb(message(content.tobytes(), 'rgb16; png compressed bgr16'), SOURCE)
    np.testing.assert_array_equal(got, SMOOTH)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_orientation_tags_are_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = compressed_to_rgb(message(jpeg(exif=exif)), SOURCE)
    np.testing.assert_array_equal(got, compressed_to_rgb(message(jpeg()), SOURCE))


@pytest.mark.parametrize('kind', ['png', 'progressive'])
@pytest.mark.parametrize('more', [b'\0' * 4096, b'next frame' * 40])
def test_what_follows_the_end_is_ignored(kind: str, more: bytes) -> None:
    read = read_compressed(message(KINDS[kind] + more), SOURCE)
    whole = compressed_to_rgb(message(KINDS[kind]), SOURCE)
    np.testing.assert_array_equal(read.pixels, whole)
    assert read.cut == ''


def with_restarts() -> bytes:
    ok, content = cv2.imencode('.jpg', SMOOTH, [cv2.IMWRITE_JPEG_RST_INTERVAL, 3])
    assert ok
    return content.tobytes()


JPEGS = {
    'baseline': jpeg(),
    'progressive': jpeg(progressive=True),
    'grey': written(COLOUR.convert('L'), 'JPEG'),
    'restarts': with_restarts(),
    'noise': jpeg(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)),
}


@pytest.mark.parametrize('name', JPEGS)
@pytest.mark.parametrize('padding', [0, 4000])
def test_a_jpeg_without_end_marker_is_used_when_all_rows_are_there(
    name: str, padding: int
) -> None:
    content = JPEGS[name]
    assert content.endswith(b'\xff\xd9')
    read = read_compressed(message(content[:-2] + bytes(padding)), SOURCE)
    np.testing.assert_array_equal(read.pixels, compressed_to_rgb(message(content), SOURCE))
    assert 'has no end marker; all its 96 rows are there' in read.cut


@pytest.mark.parametrize('name', JPEGS)
@pytest.mark.parametrize('padding', [0, 4000])
def test_a_jpeg_that_is_cut_within_its_rows_is_refused(name: str, padding: int) -> None:
    content = JPEGS[name]
    for cut in range(8, len(content) // 2, max(1, len(content) // 60)):
        with pytest.raises(FieldError, match=r'field data: .*truncated'):
            read_compressed(message(content[:-cut] + bytes(padding)), SOURCE)


def test_how_much_of_a_cut_jpeg_is_there_is_measured() -> None:
    content = JPEGS['noise']
    with pytest.raises(FieldError, match=r'only (\d+) of its 96 rows') as caught:
        read_compressed(message(content[: len(content) // 2]), SOURCE)
    rows = int(str(caught.value).split('only ')[1].split()[0])
    # Noise takes as many bytes in every row.
    assert 32 <= rows <= 56


def test_size_is_compared_before_memory_is_taken() -> None:
    rules = ReadRules(max_image_pixels=96 * 128 - 1)
    for content in KINDS.values():
        with pytest.raises(
            FieldError, match='128x96 = 12288 pixels, and max_image_pixels is 12287'
        ):
            read_compressed(message(content), SOURCE, rules)
    at_limit = ReadRules(max_image_pixels=96 * 128)
    assert read_compressed(message(KINDS['png']), SOURCE, at_limit).pixels.shape == (96, 128, 3)


@pytest.mark.parametrize('length', [0x10000000, 0xFFFFFFFF])
def test_a_png_whose_chunk_is_longer_than_the_file_is_not_given_to_the_decoder(
    length: int,
) -> None:
    """Which takes so much memory, and seconds, before it looks."""
    content = KINDS['png']
    place = content.index(b'IDAT') - 4
    bomb = content[:place] + length.to_bytes(4, 'big') + content[place + 4 :]
    with pytest.raises(FieldError, match='truncated'):
        read_compressed(message(bomb), SOURCE)


def test_no_bytes_do_more_than_raise_a_field_error() -> None:
    rng = np.random.default_rng(11)
    files = [*KINDS.values(), *JPEGS.values()]
    formats = [FORMAT, 'bayer_rggb8; png compressed ', 'mono16', '', ';;', 'bayer_gbrg16;x']
    rules = ReadRules(max_image_pixels=100_000)
    refused = 0
    for index in range(1500):
        content = bytearray(files[index % len(files)])
        front = 60 if index % 2 else len(content)
        for place in rng.integers(0, front, int(rng.integers(1, 8))):
            content[place] = int(rng.integers(0, 256))
        if index % 5 == 0:
            del content[int(rng.integers(0, len(content))) :]
        try:
            read = read_compressed(
                message(bytes(content), formats[index % len(formats)]), SOURCE, rules
            )
        except FieldError:
            refused += 1
            continue
        assert read.pixels.dtype == np.uint8
        assert read.pixels.ndim == 3
        assert read.pixels.shape[2] == 3
    assert 100 < refused < 1400
