"""Images and intrinsics on their way into the network."""

from pathlib import Path
from typing import Any
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from da3_ros.errors import PreprocessError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.placement import Placement
from da3_ros.inference.preprocess import load_image, preprocess
from tools.parity.goldens import load_golden

UNIT = load_golden('unit__preprocess')
PATCH = 14


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize('case', UNIT.meta['cases'], ids=lambda case: str(case[0]))
def test_all_sizes_and_methods_agree_with_the_reference(case: list[Any]) -> None:
    key, _, resolution, method, size = case
    index = key.split('_')[0]
    image = UNIT[f'img{index}']
    if min(size) < PATCH:
        with pytest.raises(PreprocessError, match=r'image 0: .* at least 14 pixels'):
            preprocess([image], resolution, method)
        return
    processed = preprocess([image], resolution, method)
    assert processed.images.shape[1:3] == tuple(size)
    [placement] = processed.placements
    np.testing.assert_allclose(
        placement.matrix(UNIT[f'K{index}']), UNIT[f'K_out__{key}'], rtol=1e-6
    )
    pixels = processed.pixels().numpy().reshape(-1)
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(b'pp')))
    samples = np.sort(generator.choice(pixels.size, 160, replace=False))
    np.testing.assert_allclose(pixels[samples], UNIT[f'val__{key}'], atol=1e-6)
    assert pixels.mean() == pytest.approx(float(UNIT[f'mean__{key}']), abs=1e-5)


@pytest.mark.parametrize('method', ['upper_bound_resize', 'lower_bound_crop'])
def test_intrinsics_follow_the_pixels(method: str) -> None:
    """A point projected with the new K falls where resizing and cropping moved its pixel."""
    placement = preprocess([picture(100, 163)], 84, method).placements[0]
    before = PinholeCamera.from_focal(120, 118, 80.2, 51.7, ImageSize(100, 163))
    after = placement.camera(before)
    points = np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 5), (50, 3))
    scale = np.array([placement.resized.width / 163, placement.resized.height / 100])
    corner = (before.project(points) + 0.5) * scale - (placement.left_px, placement.top_px)
    np.testing.assert_allclose(after.project(points) + 0.5, corner)
    matrix = placement.matrix(before.to_corner_origin())
    np.testing.assert_allclose(after.to_corner_origin(), matrix, rtol=1e-6)


def test_mixed_sizes_are_cropped_to_the_common_part() -> None:
    images = [picture(120, 160), picture(160, 120), picture(100, 150)]
    processed = preprocess(images, 112)
    assert processed.images.shape == (3, 70, 84, 3)
    alone = preprocess(images[:1], 112)
    assert alone.images.shape[1:3] == (84, 112)
    np.testing.assert_array_equal(processed.images[0], alone.images[0, 7:77, 14:98])
    assert processed.placements[0] == Placement(
        ImageSize(120, 160), ImageSize(84, 112), 14, 7, ImageSize(70, 84)
    )


def test_a_view_that_is_cropped_is_named_with_what_it_loses(tmp_path: Path) -> None:
    """Never in silence: landscape and portrait have a square in common."""
    paths = [tmp_path / name for name in ('wide.png', 'high.png', 'square.png')]
    for path, (height, width) in zip(paths, ((84, 112), (112, 84), (84, 84)), strict=True):
        Image.fromarray(picture(height, width)).save(path)
    (note,) = preprocess(paths, 112).notes
    # The square becomes 112 x 112; what all have in common is 84 x 84.
    assert note.code == 'views_cropped'
    assert note.text.startswith('3 of 3 images lose part of their view')
    assert 'square.png 44 %, wide.png 25 %, high.png 25 %' in note.text
    assert note.numbers == {'images': 3, 'of': 3, 'largest_share': 1 - 84 * 84 / 112**2}
    assert preprocess(paths[:1], 112).notes == ()


@pytest.mark.parametrize('method', ['upper_bound_resize', 'lower_bound_crop'])
@pytest.mark.parametrize('side', [56, 252])
def test_a_pixel_is_visible_only_if_all_of_it_is(method: str, side: int) -> None:
    """Also where it is made of pixels that lie two away, as when images are enlarged."""
    hole = np.zeros((90, 130), bool)
    hole[30:47, 20:61] = True
    image = np.dstack([picture(90, 130), np.where(hole, 0, 200)]).astype(np.uint8)
    processed = preprocess([image], side, method)
    [placement] = processed.placements
    v, u = np.mgrid[0 : placement.size.height, 0 : placement.size.width]
    step_u, step_v = (
        placement.original.width / placement.resized.width,
        placement.original.height / placement.resized.height,
    )
    left, top = (u + placement.left_px) * step_u, (v + placement.top_px) * step_v
    # The part of the original that the pixel covers, and that with two pixels around it.
    covers = (left < 61 - 1e-6) & (left + step_u > 20 + 1e-6)
    covers &= (top < 47 - 1e-6) & (top + step_v > 30 + 1e-6)
    far = 2 + max(step_u, step_v)
    near = (left - far < 61) & (left + step_u + far > 20)
    near &= (top - far < 47) & (top + step_v + far > 30)
    assert processed.visible is not None
    assert not processed.visible[0][covers].any()
    assert processed.visible[0][~near].all()
    (note,) = processed.notes
    assert note.text.startswith('image 0: transparent pixels')


def test_opaque_images_say_nothing_and_are_visible() -> None:
    image = np.dstack([picture(60, 80), np.full((60, 80), 255, np.uint8)])
    processed = preprocess([image, picture(60, 80)], 56)
    assert processed.visible is None
    assert processed.notes == ()
    np.testing.assert_array_equal(processed.images[0], processed.images[1])


def test_a_reduced_image_keeps_the_cameras_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('da3_ros.inference.preprocess._MOST_PIXELS', 76_800)
    small = cv2.resize(picture(12, 16), (320, 240), interpolation=cv2.INTER_CUBIC)
    large = np.asarray(cv2.resize(small, (3200, 2400), interpolation=cv2.INTER_CUBIC), np.uint8)
    path = tmp_path / 'large.png'
    Image.fromarray(large).save(path)
    processed = preprocess([path], 56)
    [placement] = processed.placements
    assert placement.original == ImageSize(2400, 3200)
    assert placement == preprocess([large], 56).placements[0]
    expected = preprocess([large], 56).images.astype(int)
    assert np.abs(processed.images - expected).max() <= 2


def test_equal_aspects_keep_the_full_view() -> None:
    processed = preprocess([picture(120, 160), picture(240, 320)], 112)
    assert processed.notes == ()
    assert all(placement.size == placement.resized for placement in processed.placements)


def test_arrays_pil_images_and_paths_are_the_same(tmp_path: Path) -> None:
    image = picture(60, 80)
    path = tmp_path / 'picture with spaces.png'
    Image.fromarray(image).save(path)
    processed = preprocess([image, Image.fromarray(image), str(path), path], 56)
    for other in processed.images[1:]:
        np.testing.assert_array_equal(other, processed.images[0])


def test_grey_and_transparent_images_become_rgb() -> None:
    grey = np.full((30, 40), 77, np.uint8)
    assert load_image(grey).tolist() == np.full((30, 40, 3), 77).tolist()
    assert load_image(np.full((30, 40, 4), 77, np.uint8)).shape == (30, 40, 3)


@pytest.mark.parametrize('as_path', [True, False])
def test_exif_orientation_is_applied(tmp_path: Path, as_path: bool) -> None:
    image = picture(28, 42)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'upright.png'
    Image.fromarray(image).save(path, exif=exif)
    with Image.open(path) as opened:
        got = load_image(path if as_path else opened)
    np.testing.assert_array_equal(got, np.rot90(image, k=-1))


def test_views_into_larger_arrays_are_accepted() -> None:
    image = picture(60, 80)
    flipped = preprocess([image[:, ::-1]], 56).images
    copied = preprocess([image[:, ::-1].copy()], 56).images
    np.testing.assert_array_equal(flipped, copied)


def test_bad_input_is_refused_by_index(tmp_path: Path) -> None:
    good = picture(60, 80)
    text = tmp_path / 'text.png'
    text.write_text('not a picture')
    for bad, message in (
        (np.zeros((60, 80, 3), np.float32), r'image 1: expected a uint8 array .* float32'),
        (np.zeros((0, 80, 3), np.uint8), r'image 1: expected a uint8 array'),
        (np.zeros((60, 80, 2), np.uint8), r'image 1: expected a uint8 array'),
        (tmp_path / 'absent.png', r'image 1: cannot read .*absent\.png'),
        (text, r'image 1: cannot read .*text\.png'),
        (3, r'image 1: expected a uint8 array, a PIL image or a path, got int'),
        (picture(4, 400), r'image 1: 4 x 400 would become 0 x 56'),
    ):
        with pytest.raises(PreprocessError, match=message):
            preprocess([good, bad], 56)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        ([], 'at least one image'),
        ('a.png', 'put a single image in a list'),
        (picture(30, 40), 'put a single image in a list'),
    ],
)
def test_only_lists_are_accepted(images: Any, message: str) -> None:
    with pytest.raises(PreprocessError, match=message):
        preprocess(images, 504)


def test_bad_options_are_refused() -> None:
    with pytest.raises(PreprocessError, match='unknown resize method'):
        preprocess([picture(30, 40)], 56, 'stretch')
    with pytest.raises(PreprocessError, match='process_res must be at least 14, got 13'):
        preprocess([picture(30, 40)], 13)
