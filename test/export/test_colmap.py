"""COLMAP models, read back by the documentation of the format."""

from __future__ import annotations

from dataclasses import replace
import os
from pathlib import Path

import numpy as np
from PIL import Image
import pytest

from da3_ros.errors import ExportError
from da3_ros.export import colmap_binary, colmap_text
from da3_ros.export.colmap_model import ColmapCamera, ColmapImage, ColmapModel
from da3_ros.export.ledger import Ledger, write_ledger
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import ExportReport, export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options.choices import ColmapEncoding
from da3_ros.synthetic import SyntheticWorld
from helpers.colmap_files import READERS, read_binary, read_text, rotation
from helpers.export_scenes import (
    WORLD_SIZE,
    WORLD_STAMPS_NS,
    make_view,
    synthetic_scene,
    synthetic_world,
)

ENCODINGS: tuple[ColmapEncoding, ...] = ('binary', 'text')


@pytest.fixture(scope='module')
def world() -> SyntheticWorld:
    return synthetic_world()


@pytest.fixture(scope='module')
def scene(world: SyntheticWorld) -> ExportScene:
    return synthetic_scene(world)


def export(
    scene: ExportScene, folder: Path, encoding: ColmapEncoding = 'binary', **more: float
) -> ExportReport:
    options = ExportOptions(colmap_encoding=encoding, **more)  # type: ignore[arg-type]
    return export_scene(scene, 'colmap', folder, options=options)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_every_key_point_is_the_image_of_its_point_in_the_synthetic_world(
    world: SyntheticWorld, scene: ExportScene, tmp_path: Path, encoding: ColmapEncoding
) -> None:
    """The rig's cameras see 90 degrees, so that the image plane at depth 1 reaches from -1 to 1.

    This says where every pixel looks, and the renderer how far, without any K.
    """
    report = export(scene, tmp_path, encoding, conf_thresh_percentile=0.0)
    model = READERS[encoding](tmp_path)
    height, width = WORLD_SIZE.height, WORLD_SIZE.width
    assert len(model.points) == report.points == 6 * height * width
    for pose, camera, name, keys in model.images.values():
        shown_by, stamp = name.removesuffix('.png').rsplit('_', 1)
        x_px, y_px = np.array([key[:2] for key in keys]).T
        xyz = np.array([model.points[key[2]][0] for key in keys])
        in_camera = xyz @ rotation(pose).T + pose[4:]
        fx, fy, cx, cy = model.cameras[camera][2]
        assert model.cameras[camera][:2] == (width, height)
        seen_x = fx * in_camera[:, 0] / in_camera[:, 2] + cx
        seen_y = fy * in_camera[:, 1] / in_camera[:, 2] + cy
        assert np.hypot(seen_x - x_px, seen_y - y_px).max() < 1e-9
        # Truth: half the image's width is one unit of the plane at depth 1.
        plane = np.stack([x_px - width / 2, y_px - height / 2, np.full_like(x_px, width / 2)], 1)
        depth = world.depth(shown_by, int(stamp)).ravel()
        true_pose = world.world_from_camera(shown_by, int(stamp))
        in_view = plane / (width / 2) * depth[:, None]
        truth = in_view @ true_pose[:3, :3].T + true_pose[:3, 3]
        assert np.linalg.norm(truth - xyz, axis=1).max() < 1e-6
        centre = -rotation(pose).T @ pose[4:]
        np.testing.assert_allclose(centre, true_pose[:3, 3], atol=1e-12)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_tracks_colours_and_images_agree(
    scene: ExportScene, tmp_path: Path, encoding: ColmapEncoding
) -> None:
    report = export(scene, tmp_path, encoding, num_max_points=500)
    model = READERS[encoding](tmp_path)
    assert report.points == len(model.points) == 500
    seen = {}
    for image_id, (_, _, name, keys) in model.images.items():
        with Image.open(tmp_path / 'images' / name) as picture:
            pixels = np.asarray(picture)
        np.testing.assert_array_equal(pixels, scene.views[image_id - 1].image)
        for index, (x, y, point) in enumerate(keys):
            assert point not in seen
            seen[point] = [(image_id, index)]
            assert model.points[point][1] == tuple(pixels[int(y), int(x)].tolist())
    assert seen == {point: track for point, (_, _, _, track) in model.points.items()}
    assert {error for _, _, error, _ in model.points.values()} == {0.0}


def test_cameras_rigs_and_frames_describe_the_robot(scene: ExportScene, tmp_path: Path) -> None:
    export(scene, tmp_path)
    model = read_binary(tmp_path)
    names = [name for _, _, name, _ in model.images.values()]
    stamps = [stamp for stamp in WORLD_STAMPS_NS for _ in range(3)]
    cameras = ['front', 'left', 'right'] * 2
    assert names == [f'{c}_{s}.png' for c, s in zip(cameras, stamps, strict=True)]
    assert [camera for _, camera, _, _ in model.images.values()] == [1, 2, 3] * 2
    assert model.rigs == {1: (1, 1), 2: (1, 2), 3: (1, 3)}
    for image_id, (pose, camera, _, _) in model.images.items():
        assert model.frames[image_id] == (camera, pose, (camera, image_id))


def test_binary_and_text_say_the_same(scene: ExportScene, tmp_path: Path) -> None:
    for encoding in ENCODINGS:
        export(scene, tmp_path / encoding, encoding, num_max_points=300)
    assert read_binary(tmp_path / 'binary') == read_text(tmp_path / 'text')


def test_intrinsics_that_change_give_a_camera_each(scene: ExportScene, tmp_path: Path) -> None:
    later = scene.views[3]
    zoomed = replace(
        later, camera=PinholeCamera(np.diag([2, 2, 1.0]) @ later.camera.K, WORLD_SIZE)
    )
    export(ExportScene((*scene.views[:3], zoomed), is_metric=True), tmp_path)
    assert [camera for _, camera, _, _ in read_binary(tmp_path).images.values()] == [1, 2, 3, 4]


def test_filters_take_out_low_confidence_sky_and_unknown_depth(tmp_path: Path) -> None:
    view = make_view()
    sky = np.zeros(view.depth.shape, np.bool_)
    sky[:6] = True
    report = export(
        ExportScene((replace(view, sky=sky),), is_metric=True),
        tmp_path,
        conf_thresh_percentile=50.0,
    )
    keys = read_binary(tmp_path).images[1][3]
    assert report.points == len(keys) == 6 * 8
    # Below row 6, and in the right half, where confidence is above its median.
    assert min(y for _, y, _ in keys) == 6.5
    assert min(x for x, _, _ in keys) == 8.5


def test_a_view_without_points_is_still_an_image(tmp_path: Path) -> None:
    view = make_view(10)
    blind = replace(make_view(20), depth=np.full_like(view.depth, np.nan))
    for encoding in ENCODINGS:
        folder = tmp_path / encoding
        export(ExportScene((view, blind, make_view(30)), is_metric=True), folder, encoding)
        assert [len(i[3]) > 0 for i in READERS[encoding](folder).images.values()] == [
            True, False, True,
        ]  # fmt: skip


def test_files_of_the_other_encoding_are_in_the_way(scene: ExportScene, tmp_path: Path) -> None:
    """COLMAP would open the old binary model instead of the new text."""
    write_ledger(Ledger(tmp_path, {}))
    export(scene, tmp_path, 'binary')
    other = tmp_path / 'images' / 'not_ours.png'
    other.write_text('keep')
    small = ExportScene(scene.views[:1], is_metric=True)
    options = ExportOptions(colmap_encoding='text')
    with pytest.raises(ExportError, match=r'cameras\.bin'):
        export_scene(ExportScene((make_view(),), True), 'colmap', tmp_path, options=options)
    export_scene(small, 'colmap', tmp_path, options=options, overwrite=True)
    assert list(tmp_path.glob('*.bin')) == []
    assert len(read_text(tmp_path).images) == 1
    assert other.read_text() == 'keep'


def test_skew_is_refused_because_colmap_has_none(tmp_path: Path) -> None:
    view = make_view()
    skewed = PinholeCamera(view.camera.K + np.diag([0.5, 0], k=1), view.camera.size)
    with pytest.raises(ExportError, match=r'camera front.*skew'):
        export(ExportScene((replace(view, camera=skewed),), is_metric=True), tmp_path / 'x')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_names_that_are_no_text_are_written_as_their_bytes(
    tmp_path: Path, encoding: ColmapEncoding
) -> None:
    name = os.fsdecode(b'caf\xe9.png')
    camera = ColmapCamera(1, ImageSize(2, 2), (1.0, 1.0, 1.0, 1.0))
    none, grey = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    pose = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    image = ColmapImage(1, 1, name, pose, np.zeros((0, 2)), 1, none, grey)
    writer = colmap_binary if encoding == 'binary' else colmap_text
    writer.write_model(ColmapModel((camera,), (image,)), tmp_path, lambda _: None)
    suffix = 'bin' if encoding == 'binary' else 'txt'
    assert b'caf\xe9.png' in (tmp_path / f'images.{suffix}').read_bytes()
    broken = ColmapModel((camera,), (replace(image, name='a\nb.png'),))
    with pytest.raises(ExportError, match='a line break in a name'):
        colmap_text.write_model(broken, tmp_path, lambda _: None)
