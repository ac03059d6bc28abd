"""COLMAP datasets: both encodings, our own exporter, pycolmap, and damage."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert
from da3_ros.sources.colmap import ColmapView, PinholeImages, read_colmap
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.world import make_world
from da3_ros.types import PosedView, ViewId
from helpers.colmap_writer import Camera, Image, write_binary, write_text

CAMERAS: list[Camera] = [
    (1, 'PINHOLE', 64, 48, (50.0, 51.0, 32.0, 24.0)),
    (4, 'SIMPLE_RADIAL', 64, 48, (50.0, 32.0, 24.0, 0.01)),
]
POSE = (0.5, -0.5, 0.5, -0.5, 1.0, 2.0, 3.0)
IMAGES: list[Image] = [
    (9, POSE, 1, 'b.png', [(1.5, 2.5, -1), (3.0, 4.0, 7)]),
    (2, (2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), 4, 'a b.png', []),
]
Writer = Callable[[Path, list[Camera], list[Image]], None]
WRITERS = pytest.mark.parametrize('write', [write_binary, write_text])


def add_image(folder: Path, name: str, size: tuple[int, int] = (48, 64)) -> Path:
    path = folder / 'images' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


@WRITERS
@pytest.mark.parametrize('place', ['sparse', 'sparse/0', '.'])
def test_images_come_sorted_with_their_cameras(tmp_path: Path, write: Writer, place: str) -> None:
    write(tmp_path / place, CAMERAS, IMAGES)
    for name in ('b.png', 'a b.png', 'unrelated.png'):
        add_image(tmp_path, name)
    dataset = read_colmap(tmp_path)
    assert [view.name for view in dataset.views] == ['a b.png', 'b.png']
    assert dataset.missing == ()
    first, second = dataset.views
    assert (first.camera.model, second.camera.model) == ('SIMPLE_RADIAL', 'PINHOLE')
    # Quaternions are of any length.
    np.testing.assert_allclose(first.camera_from_world[:3, :3], np.eye(3))
    np.testing.assert_allclose(first.camera_from_world[:3, 3], (0, 0, 1))
    np.testing.assert_allclose(
        second.camera_from_world[:3, :3], [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-15
    )
    np.testing.assert_allclose(second.camera_from_world[:3, 3], (1, 2, 3))


@WRITERS
def test_missing_images_are_told(tmp_path: Path, write: Writer) -> None:
    write(tmp_path / 'sparse', CAMERAS, IMAGES)
    add_image(tmp_path, 'b.png')
    dataset = read_colmap(tmp_path)
    assert [view.name for view in dataset.views] == ['b.png']
    assert dataset.missing == ('a b.png',)


def test_a_model_can_be_chosen(tmp_path: Path) -> None:
    write_binary(tmp_path / 'sparse' / '0', CAMERAS, IMAGES)
    write_binary(tmp_path / 'sparse' / '1', CAMERAS, IMAGES[:1])
    for name in ('b.png', 'a b.png'):
        add_image(tmp_path, name)
    assert len(read_colmap(tmp_path).views) == 2
    assert len(read_colmap(tmp_path, '1').views) == 1
    with pytest.raises(SourceError, match='there is no model'):
        read_colmap(tmp_path, '2')


def test_binary_wins_over_text(tmp_path: Path) -> None:
    write_text(tmp_path / 'sparse', CAMERAS, IMAGES)
    write_binary(tmp_path / 'sparse', CAMERAS, IMAGES[:1])
    add_image(tmp_path, 'b.png')
    assert read_colmap(tmp_path).missing == ()


@pytest.mark.parametrize(
    'name', ['../outside.png', '/etc/passwd', 'a/../../b.png', '..\\b.png', 'C:\\b.png']
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    write_binary(tmp_path / 'sparse', CAMERAS, [(1, POSE, 1, name, [])])
    add_image(tmp_path, 'b.png')
    with pytest.raises(SourceError, match='inside the folder'):
        read_colmap(tmp_path)


@pytest.mark.parametrize('file', ['cameras.bin', 'images.bin'])
@pytest.mark.parametrize('cut', [0, 4, 11, 60])
def test_files_cut_short_are_damaged(tmp_path: Path, file: str, cut: int) -> None:
    write_binary(tmp_path / 'sparse', CAMERAS, IMAGES)
    add_image(tmp_path, 'b.png')
    path = tmp_path / 'sparse' / file
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SourceError, match=file):
        read_colmap(tmp_path)


@pytest.mark.parametrize(
    ('file', 'text'),
    [
        ('cameras.txt', '1 PINHOLE 64\n'),
        ('cameras.txt', '1 PINHOLE 64 48 a b c d\n'),
        ('cameras.txt', '1 SPHERE 64 48 1 2 3\n'),
        ('cameras.txt', '1 PINHOLE 0 48 50 50 32 24\n'),
        ('images.txt', '1 0 0 0 0 0 0 0 1 b.png\n\n'),
        ('images.txt', '1 1 0 0 0 inf 0 0 1 b.png\n\n'),
        ('images.txt', '1 1e300 1e300 0 0 0 0 0 1 b.png\n\n'),
        ('images.txt', '1 1 0 0\n\n'),
        # Without the lines of key points every second image would be lost.
        ('images.txt', '1 1 0 0 0 0 0 0 1 b.png\n2 1 0 0 0 1 0 0 1 c.png\n'),
        ('images.txt', '1 1 0 0 0 0 0 0 1 b.png\n2 1 0 0 0 1 0 0 1 a b c.png\n'),
        ('images.txt', '1 1 0 0 0 0 0 0 77 b.png\n\n'),
    ],
)
def test_nonsense_in_text_is_told(tmp_path: Path, file: str, text: str) -> None:
    write_text(tmp_path / 'sparse', CAMERAS, IMAGES)
    add_image(tmp_path, 'b.png')
    (tmp_path / 'sparse' / file).write_text(text, encoding='utf-8')
    with pytest.raises(SourceError):
        read_colmap(tmp_path)


def test_what_is_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='expected a folder'):
        read_colmap(tmp_path / 'nowhere')
    with pytest.raises(SourceError, match='images'):
        read_colmap(tmp_path)
    (tmp_path / 'images').mkdir()
    with pytest.raises(SourceError, match='there is no model'):
        read_colmap(tmp_path)
    write_binary(tmp_path / 'sparse', CAMERAS, IMAGES)
    with pytest.raises(SourceError, match='none of the 2 images'):
        read_colmap(tmp_path)


def view_of(folder: Path, name: str) -> ColmapView:
    return next(view for view in read_colmap(folder).views if view.name == name)


def test_pinhole_images_stay_files(tmp_path: Path) -> None:
    write_binary(tmp_path / 'sparse', CAMERAS, IMAGES)
    path = add_image(tmp_path, 'b.png')
    made = PinholeImages()
    found = made.of(view_of(tmp_path, 'b.png'))
    assert found.image == path
    assert not made.changes(view_of(tmp_path, 'b.png'))
    # COLMAP's pixel rule is the network's: no half pixel in between.
    np.testing.assert_allclose(found.camera.K, np.array([[50, 0, 31.5], [0, 51, 23.5], [0, 0, 1]]))


def test_distorted_images_become_pinhole_images(tmp_path: Path) -> None:
    write_binary(tmp_path / 'sparse', CAMERAS, IMAGES)
    add_image(tmp_path, 'a b.png')
    made = PinholeImages()
    found = made.of(view_of(tmp_path, 'a b.png'))
    assert isinstance(found.image, np.ndarray)
    assert found.image.shape == (48, 64, 3)
    assert made.rectified == {'SIMPLE_RADIAL'}


def test_an_image_of_another_size_is_a_resized_one(tmp_path: Path) -> None:
    write_binary(tmp_path / 'sparse', CAMERAS, IMAGES)
    add_image(tmp_path, 'b.png', (24, 32))
    found = PinholeImages().of(view_of(tmp_path, 'b.png'))
    np.testing.assert_allclose(
        found.camera.K, np.array([[25, 0, 15.5], [0, 25.5, 11.5], [0, 0, 1]])
    )
    add_image(tmp_path, 'b.png', (48, 48))
    with pytest.raises(SourceError, match='expected 64x48'):
        PinholeImages().of(view_of(tmp_path, 'b.png'))


def test_an_exif_turn_is_not_applied_to_calibrated_pixels(tmp_path: Path) -> None:
    from PIL import Image as PilImage

    write_binary(
        tmp_path / 'sparse',
        [(1, 'PINHOLE', 64, 48, (50.0, 50.0, 32.0, 24.0))],
        [(1, POSE, 1, 'b.jpg', [])],
    )
    (tmp_path / 'images').mkdir()
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :32] = 255
    exif = PilImage.Exif()
    exif[0x0112] = 6
    PilImage.fromarray(pixels).save(tmp_path / 'images' / 'b.jpg', exif=exif, quality=95)
    found = PinholeImages().of(view_of(tmp_path, 'b.jpg'))
    assert isinstance(found.image, np.ndarray)
    assert np.abs(found.image.astype(int) - pixels).mean() < 3


def rendered_scene() -> ExportScene:
    world = make_world(size=ImageSize(24, 32))
    views = []
    for camera in world.rig.cameras:
        seen = world.render(camera, START_NS)
        views.append(
            PosedView(
                ViewId(camera, START_NS, 'optical'),
                seen.depth,
                seen.image,
                seen.camera,
                True,
                seen.world_from_camera,
                None,
                None,
            )
        )
    return ExportScene(tuple(views), is_metric=True)


@pytest.mark.parametrize('encoding', ['binary', 'text'])
def test_what_we_export_is_read_back(tmp_path: Path, encoding: str) -> None:
    scene = rendered_scene()
    options = ExportOptions(colmap_encoding='text' if encoding == 'text' else 'binary')
    export_scene(scene, 'colmap', tmp_path, options=options)
    dataset = read_colmap(tmp_path)
    expected = {f'{v.id.camera}_{START_NS}.png': v for v in scene.views}
    assert {view.name for view in dataset.views} == set(expected)
    for view in dataset.views:
        source = expected[view.name]
        np.testing.assert_allclose(
            view.camera_from_world, invert(source.world_from_camera), atol=1e-12
        )
        np.testing.assert_allclose(view.camera.pinhole.K, source.camera.K, atol=1e-12)


def test_a_model_of_pycolmap_is_read(tmp_path: Path) -> None:
    pycolmap = pytest.importorskip('pycolmap')
    scene = rendered_scene()
    export_scene(scene, 'colmap', tmp_path)
    model = pycolmap.Reconstruction(str(tmp_path))
    (tmp_path / 'sparse' / '0').mkdir(parents=True)
    model.write_binary(str(tmp_path / 'sparse' / '0'))
    dataset = read_colmap(tmp_path)
    by_name = {image.name: image for image in model.images.values()}
    assert {view.name for view in dataset.views} == set(by_name)
    for view in dataset.views:
        pose = by_name[view.name].cam_from_world().matrix()
        np.testing.assert_allclose(view.camera_from_world[:3], pose, atol=1e-12)
