"""Exports of the Python API: the truth about a synthetic world as a prediction, and back."""

from dataclasses import replace
import json
from pathlib import Path
import struct
from typing import Any

import numpy as np
from PIL import Image
import pytest
import trimesh

from da3_ros.errors import ExportError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import preprocess
from da3_ros.options import RESIZE_METHODS
from helpers.colmap_files import READERS, rotation
from helpers.export_scenes import synthetic_scene, synthetic_world, true_points
from helpers.rounding import DEEP, assert_equal_to_rounding

ALL_POINTS: dict[str, Any] = {
    'conf_thresh_percentile': 0.0,
    'export_kwargs': {'glb': {'conf_thresh': 0.0}},
}


def true_prediction() -> Prediction:
    """Return what a perfect network would say, in arrays that nobody may write to."""
    scene = synthetic_scene(synthetic_world())
    confidence = [view.confidence for view in scene.views if view.confidence is not None]
    arrays: dict[str, Any] = {
        'depth': np.stack([view.depth for view in scene.views]),
        'conf': np.stack(confidence),
        'extrinsics': np.stack([invert(v.world_from_camera)[:3] for v in scene.views]).astype(
            'f4'
        ),
        'intrinsics': np.stack([v.camera.to_corner_origin() for v in scene.views]).astype('f4'),
        'processed_images': np.stack([view.image for view in scene.views]),
    }
    for array in arrays.values():
        array.flags.writeable = False
    return Prediction(is_metric=True, **arrays)


def truth() -> FloatArray:
    world = synthetic_world()
    return true_points(world, synthetic_scene(world))


def ply_points(path: Path) -> FloatArray:
    cloud = trimesh.load(path)
    assert isinstance(cloud, trimesh.PointCloud)
    return np.asarray(cloud.vertices)


def gltf_json(path: Path) -> dict[str, Any]:
    """Return the JSON chunk of a binary glTF file (specification 2.0, section 4.4)."""
    data = path.read_bytes()
    magic, version, total = struct.unpack_from('<III', data)
    assert (magic, version, total) == (0x46546C67, 2, len(data))
    length, kind = struct.unpack_from('<II', data, 12)
    assert kind == 0x4E4F534A
    document: dict[str, Any] = json.loads(data[20 : 20 + length])
    return document


@pytest.mark.parametrize('name', ['npz', 'mini_npz'])
def test_arrays_are_those_of_the_prediction_under_the_official_keys(
    tmp_path: Path, name: str
) -> None:
    prediction = true_prediction()
    [path] = prediction.export(tmp_path, name).files
    assert path == tmp_path.resolve() / 'exports' / name / 'results.npz'
    with np.load(path, allow_pickle=False) as data:
        keys = {'depth', 'conf', 'extrinsics', 'intrinsics', 'is_metric', 'pixel_centre'}
        assert set(data.files) == (keys | {'image'} if name == 'npz' else keys)
        assert float(data['pixel_centre']) == 0.5
        assert bool(data['is_metric'])
        np.testing.assert_allclose(data['depth'], prediction.depth, atol=1e-7)
        np.testing.assert_array_equal(data['intrinsics'], prediction.intrinsics)
        assert prediction.extrinsics is not None
        np.testing.assert_allclose(data['extrinsics'], prediction.extrinsics, atol=2e-6)
        assert data['extrinsics'].dtype == data['intrinsics'].dtype == np.float32


def test_points_of_every_format_are_those_of_the_world(tmp_path: Path) -> None:
    prediction = true_prediction()
    report = prediction.export(tmp_path, 'glb-ply-colmap', **ALL_POINTS)
    wanted = truth()
    assert report.points == len(wanted)
    ply = ply_points(tmp_path / 'points.ply')
    np.testing.assert_allclose(ply, wanted, atol=1e-5)
    model = READERS['binary'](tmp_path)
    points = np.array([model.points[i][0] for i in sorted(model.points)])
    np.testing.assert_allclose(points, wanted, atol=1e-5)
    clouds = trimesh.load_scene(tmp_path / 'scene.glb').geometry.values()
    [glb] = [cloud.vertices for cloud in clouds if isinstance(cloud, trimesh.PointCloud)]
    extras = gltf_json(tmp_path / 'scene.glb')['scenes'][0]['extras']
    gltf_from_world = np.array(extras['hf_alignment'])
    np.testing.assert_allclose(
        glb, wanted @ gltf_from_world[:3, :3].T + gltf_from_world[:3, 3], atol=1e-5
    )
    # The first camera stands at the origin and looks along -z, y up.
    pose = invert(np.asarray(prediction.extrinsics)[0])
    np.testing.assert_allclose(gltf_from_world @ pose, np.diag([1.0, -1.0, -1.0, 1.0]), atol=1e-6)


def test_glb_brings_the_pictures_that_galleries_look_for(tmp_path: Path) -> None:
    report = true_prediction().export(tmp_path, 'glb')
    names = [path.relative_to(tmp_path.resolve()).as_posix() for path in report.files]
    assert names[:2] == ['scene.glb', 'scene.jpg']
    assert names[2:] == [f'depth_vis/{index:04d}.jpg' for index in range(6)]
    assert (tmp_path / 'scene.jpg').read_bytes() == (tmp_path / names[2]).read_bytes()
    alone = tmp_path / 'alone'
    true_prediction().export(alone, 'glb', export_kwargs={'glb': {'export_depth_vis': False}})
    assert [path.name for path in alone.iterdir()] == ['scene.glb']


def test_glb_confidence_floor_gives_way_where_it_would_take_nearly_all(tmp_path: Path) -> None:
    prediction = true_prediction()
    sure = replace(prediction, conf=np.full_like(prediction.depth, 1.01))
    kept = sure.export(tmp_path / 'a', 'glb', conf_thresh_percentile=0.0).points
    assert kept == prediction.depth.size
    ranks = np.argsort(np.argsort(prediction.depth.ravel()))
    spread = (1 + 0.06 * ranks / ranks.size).astype(np.float32).reshape(prediction.depth.shape)
    mixed = replace(prediction, conf=spread)
    kept = mixed.export(tmp_path / 'b', 'glb', conf_thresh_percentile=0.0).points
    assert kept == (spread >= 1.05).sum()
    strict = {'glb': {'conf_thresh': 9.0}}
    kept = mixed.export(tmp_path / 'c', 'glb', export_kwargs=strict).points
    assert kept == pytest.approx(0.1 * spread.size, abs=1)


@pytest.mark.parametrize(('option', 'level'), [('filter_black_bg', 0), ('filter_white_bg', 255)])
def test_backgrounds_give_no_points_when_asked(tmp_path: Path, option: str, level: int) -> None:
    prediction = true_prediction()
    images = np.array(prediction.processed_images)
    images[...] = 100
    images[:, :5] = level
    prediction = replace(prediction, processed_images=images)
    kwargs = {'glb': {'conf_thresh': 0.0, option: True}}
    report = prediction.export(tmp_path, 'glb', conf_thresh_percentile=0.0, export_kwargs=kwargs)
    assert report.points == images[:, 5:].size // 3


def test_frustums_come_and_go(tmp_path: Path) -> None:
    prediction = true_prediction()
    prediction.export(tmp_path / 'with', 'glb')
    prediction.export(tmp_path / 'without', 'glb', show_cameras=False)
    assert len(gltf_json(tmp_path / 'with' / 'scene.glb')['meshes']) == 1 + 6
    assert len(gltf_json(tmp_path / 'without' / 'scene.glb')['meshes']) == 1


def test_equal_predictions_give_equal_bytes_and_arrays_are_not_touched(tmp_path: Path) -> None:
    formats = 'npz-mini_npz-glb-ply-colmap-tum-depth_png-depth_vis'
    first = true_prediction().export(tmp_path / 'a', formats, num_max_points=500)
    second = true_prediction().export(tmp_path / 'b', formats, num_max_points=500)
    for one, other in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_save_depth_adds_the_numbers(tmp_path: Path) -> None:
    report = true_prediction().export(tmp_path, 'depth_png', save_depth=True)
    names = {path.name for path in report.files}
    assert names == {'results.npz', *(f'{index:04d}.png' for index in range(6))}


def test_files_are_replaced_unless_that_is_forbidden(tmp_path: Path) -> None:
    prediction = true_prediction()
    prediction.export(tmp_path, 'mini_npz')
    with pytest.raises(ExportError, match='overwrite'):
        prediction.export(tmp_path, 'mini_npz', overwrite=False)
    prediction.export(tmp_path, 'mini_npz')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'export_format': 'obj'}, 'expected one or more of'),
        ({'export_format': ''}, 'expected one or more of'),
        ({'export_kwargs': {'obj': {}}}, "no format 'obj'"),
        ({'export_kwargs': {'glb': {'colour': 1}}}, "no option 'colour'.*show_cameras"),
        ({'export_kwargs': {'npz': {'colour': 1}}}, 'expected none'),
        ({'export_kwargs': {'glb': {'camera_size': -1}}}, 'camera_size: expected more than 0'),
        ({'export_kwargs': {'glb': {'camera_size': 'big'}}}, 'camera_size: expected float'),
        ({'export_kwargs': {'glb': 3}}, 'options of the export'),
        ({'export_kwargs': {'colmap': {'encoding': 'xml'}}}, 'expected one of binary, text'),
        ({'conf_thresh_percentile': 101.0}, 'expected 0..100'),
        ({'num_max_points': 0}, 'expected at least 1'),
        ({'feat_vis_fps': 0}, 'expected 1..240'),
    ],
)
def test_mistakes_are_named_before_anything_is_computed(
    model: DepthAnything3, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        true_prediction().export(tmp_path / 'x', **{'export_format': 'glb', **options})
    # An image that cannot be read would be the next complaint.
    with pytest.raises(ExportError, match=message):
        model.inference(['missing.png'], export_dir=tmp_path / 'x', **options)
    assert not (tmp_path / 'x').exists()


def test_options_of_one_format_do_not_touch_another(tmp_path: Path) -> None:
    prediction = true_prediction()
    kwargs = {'ply': {'num_max_points': 10}, 'colmap': {'encoding': 'text'}}
    report = prediction.export(tmp_path, 'ply-colmap', num_max_points=20, export_kwargs=kwargs)
    assert len(ply_points(tmp_path / 'points.ply')) == 10
    assert len(READERS['text'](tmp_path).points) == report.points == 20


def test_images_without_a_world_have_no_points_unless_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = true_prediction()
    prediction = replace(full, extrinsics=None, intrinsics=None, conf=None)
    for name in ('glb', 'ply', 'colmap', 'tum'):
        with pytest.raises(ExportError, match='no poses; export them one by one'):
            prediction.export(tmp_path / 'x', name)
    caplog.clear()
    [path] = prediction.export(tmp_path, 'mini_npz').files
    with np.load(path) as data:
        assert set(data.files) == {'depth', 'is_metric', 'pixel_centre'}
    assert not caplog.records
    assert full.processed_images is not None
    one = replace(prediction, depth=full.depth[:1], processed_images=full.processed_images[:1])
    report = one.export(tmp_path, 'glb-ply', **ALL_POINTS)
    assert report.points == full.depth[0].size
    assert 'field of view of 60 degrees' in caplog.text
    points = ply_points(tmp_path / 'points.ply')
    # The outermost pixel centres see half the assumed angle, less half a pixel.
    width = full.depth.shape[2]
    edge = np.tan(np.radians(30)) * (width - 1) / width
    assert (points[:, 0] / points[:, 2]).max() == pytest.approx(edge, rel=1e-5)


def test_intrinsics_alone_give_one_image_its_shape(tmp_path: Path) -> None:
    full = true_prediction()
    one = Prediction(
        depth=full.depth[:1],
        is_metric=True,
        intrinsics=np.asarray(full.intrinsics)[:1],
        processed_images=np.asarray(full.processed_images)[:1],
    )
    one.export(tmp_path, 'ply')
    points = ply_points(tmp_path / 'points.ply')
    in_world = truth()[: len(points)]
    pose = np.asarray(full.extrinsics, np.float64)[0]
    np.testing.assert_allclose(points, in_world @ pose[:, :3].T + pose[:, 3], atol=1e-5)


@pytest.mark.parametrize('method', RESIZE_METHODS)
def test_colmap_names_the_files_and_hits_their_pixels(tmp_path: Path, method: str) -> None:
    """Key points and intrinsics are those of the files, of different sizes, before resizing.

    Truth: in a file of W x H pixels the network's pixel (u, v) has its centre where undoing crop
    and scale by hand puts it; K is taken through the same resize in the other direction.
    """
    sizes = [(90, 120), (64, 150)]
    rng = np.random.default_rng(0)
    for index, (height, width) in enumerate(sizes):
        image = rng.integers(0, 255, (height, width, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f'picture_{index}.png')
    paths = [str(tmp_path / f'picture_{index}.png') for index in range(2)]
    processed = preprocess(paths, 56, method)
    known = np.array([[100.0, 0, 61.5], [0, 110, 40.25], [0, 0, 1]])
    count, height, width, _ = processed.images.shape
    prediction = Prediction(
        depth=np.full((count, height, width), 2.0, np.float32),
        is_metric=False,
        extrinsics=np.tile(np.eye(4, dtype=np.float32)[:3], (count, 1, 1)),
        intrinsics=np.stack([p.matrix(known) for p in processed.placements]),
        processed_images=processed.images,
        placements=processed.placements,
        image_paths=tuple(paths),
    )
    report = prediction.export(tmp_path / 'model', 'colmap')
    assert not (tmp_path / 'model' / 'images').exists()
    model = READERS['binary'](tmp_path / 'model')
    assert report.points == count * height * width
    for index, (pose, camera, name, keys) in enumerate(model.images.values()):
        assert name == f'picture_{index}.png'
        rows, columns = sizes[index]
        assert model.cameras[camera][:2] == (columns, rows)
        np.testing.assert_allclose(model.cameras[camera][2], [100, 110, 61.5, 40.25], atol=1e-3)
        pixels = np.array([key[:2] for key in keys])
        placement = processed.placements[index]
        scale_x, scale_y = columns / placement.resized.width, rows / placement.resized.height
        np.testing.assert_allclose(
            pixels[0], [(placement.left_px + 0.5) * scale_x, (placement.top_px + 0.5) * scale_y]
        )
        xyz = np.array([model.points[key[2]][0] for key in keys]) @ rotation(pose).T + pose[4:]
        fx, fy, cx, cy = model.cameras[camera][2]
        seen = np.stack([fx * xyz[:, 0] / xyz[:, 2] + cx, fy * xyz[:, 1] / xyz[:, 2] + cy], 1)
        assert np.abs(seen - pixels).max() < 1e-3


def test_equal_file_names_are_told_apart_by_their_folders(
    model: DepthAnything3, tmp_path: Path
) -> None:
    for folder in ('left', 'right'):
        (tmp_path / folder).mkdir()
        picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / folder / '0.png')
    paths = [tmp_path / 'left' / '0.png', tmp_path / 'right' / '0.png']
    model.inference(paths, process_res=56, export_dir=tmp_path / 'm', export_format='colmap')
    names = [image[2] for image in READERS['binary'](tmp_path / 'm').images.values()]
    assert names == ['left/0.png', 'right/0.png']


def test_a_rotated_photograph_is_written_upright(model: DepthAnything3, tmp_path: Path) -> None:
    """Programs that ignore EXIF would read the file's pixels otherwise than the model does."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / 'rotated.jpg', exif=exif)
    got = model.inference(
        [tmp_path / 'rotated.jpg'],
        process_res=56,
        export_dir=tmp_path / 'm',
        export_format='colmap',
    )
    assert got.depth.shape == (1, 56, 42)
    with Image.open(tmp_path / 'm' / 'images' / '0000.png') as written:
        np.testing.assert_array_equal(np.asarray(written), np.asarray(got.processed_images)[0])


def test_inference_writes_what_its_prediction_would(model: DepthAnything3, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), np.uint8)
    formats = 'mini_npz-glb-depth_vis'
    got = model.inference(
        pictures, process_res=56, export_dir=tmp_path / 'a', export_format=formats
    )
    got.export(tmp_path / 'b', formats)
    written = sorted(p.relative_to(tmp_path / 'a') for p in (tmp_path / 'a').rglob('*.*'))
    assert len(written) == 1 + 2 + 2
    for name in written:
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()
    with pytest.raises(ExportError, match='overwrite'):
        model.inference(pictures, process_res=56, export_dir=tmp_path / 'a', overwrite=False)
    again = model.inference(pictures, process_res=56, export_dir=tmp_path / 'a')
    assert_equal_to_rounding(again.depth, got.depth, DEEP)


def test_what_a_format_needs_is_asked_for_before_computing(
    model: DepthAnything3, tmp_path: Path
) -> None:
    pictures = np.zeros((1, 48, 64, 3), np.uint8)
    with pytest.raises(ExportError, match='feat_vis: expected export_feat_layers'):
        model.inference(pictures, export_dir=tmp_path, export_format='feat_vis')
    with pytest.raises(ExportError, match='gs_ply: expected infer_gs=True'):
        model.inference(pictures, export_dir=tmp_path, export_format='glb-gs_ply')
