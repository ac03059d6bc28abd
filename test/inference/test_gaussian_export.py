"""Gaussians of the Python API as files, in the world and the unit of its cameras."""

from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
import pytest
import trimesh

from da3_ros.errors import ExportError
from da3_ros.export.splat_render import cpu_backend
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.prediction import scene_of
from da3_ros.inference.prediction_export import export_options
from da3_ros.inference.splat_gsplat import gsplat_available, with_renderer
from helpers import tiny
from tools.parity.synthetic_weights import synthetic_network

RES = 56
SHORT: dict[str, Any] = {'trj_mode': 'original', 'vis_depth': None}


@pytest.fixture(scope='module', params=[tiny.ANY_VIEW, tiny.NESTED], ids=['plain', 'nested'])
def model(request: pytest.FixtureRequest) -> DepthAnything3:
    return DepthAnything3(network=synthetic_network(request.param))


def pictures(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 48, 64, 3), np.uint8)


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format='rgb24') for frame in video.decode(video=0)]


def test_all_formats_of_one_call_are_in_one_world(model: DepthAnything3, tmp_path: Path) -> None:
    everything = {'border_share': 0.0, 'depth_quantile': 1.0}
    got = model.inference(
        pictures(3),
        process_res=RES,
        infer_gs=True,
        export_dir=tmp_path,
        export_format='gs_ply-ply',
        conf_thresh_percentile=0.0,
        export_kwargs={'gs_ply': everything},
    )
    assert got.gaussians is not None
    assert not (tmp_path / 'gs_video').exists()
    splats = trimesh.load(tmp_path / 'gs_ply' / '0000.ply', process=False)
    assert isinstance(splats, trimesh.PointCloud)
    ground = np.ones_like(got.depth, np.bool_) if got.sky is None else ~got.sky
    means = got.gaussians.means[0].numpy()[ground.ravel()]
    np.testing.assert_allclose(splats.vertices, means, rtol=1e-6)
    # Seen from each camera, the Gaussians are on the rays of the points.
    points = trimesh.load(tmp_path / 'points.ply', process=False)
    assert isinstance(points, trimesh.PointCloud)
    owner = np.repeat(np.arange(3), ground.sum(axis=(1, 2)))
    for index, view in enumerate(scene_of(got).views):
        centre = view.world_from_camera[:3, 3]
        rays = [cloud.vertices[owner == index] - centre for cloud in (points, splats)]
        units = [ray / np.linalg.norm(ray, axis=1, keepdims=True) for ray in rays]
        assert np.median((units[0] * units[1]).sum(axis=1)) > 0.99


def test_the_official_name_of_an_option_is_known(model: DepthAnything3, tmp_path: Path) -> None:
    got = model.inference(pictures(4), process_res=RES, infer_gs=True)
    every = got.export(tmp_path / 'a', 'gs_ply').points
    second = {'gs_ply': {'gs_views_interval': 2}}
    assert got.export(tmp_path / 'b', 'gs_ply', export_kwargs=second).points < 0.6 * every


def test_a_video_is_what_its_cameras_saw(model: DepthAnything3, tmp_path: Path) -> None:
    got = model.inference(
        pictures(2),
        process_res=RES,
        infer_gs=True,
        export_dir=tmp_path,
        export_format='gs_video',
        export_kwargs={'gs_video': {**SHORT, 'output_name': 'flight'}},
    )
    frames = frames_of(tmp_path / 'gs_video' / 'flight.mp4')
    _, height, width = got.depth.shape
    assert [frame.shape for frame in frames] == [(height, width, 3)] * 2
    # The same cameras named by the caller, and one of them twice the size.
    assert got.extrinsics is not None
    assert got.intrinsics is not None
    doubled = got.intrinsics * np.array([[2], [2], [1]])
    got.export(
        tmp_path / 'large',
        'gs_video',
        render_exts=got.extrinsics[None],
        render_ixts=doubled[None],
        render_hw=(2 * height, 2 * width),
        export_kwargs={'gs_video': SHORT},
    )
    large = frames_of(tmp_path / 'large' / 'gs_video' / '0000_original.mp4')
    for small, big in zip(frames, large, strict=True):
        blocks = big.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
        assert np.abs(blocks - small).mean() < 10
        assert small.std() > 5


@pytest.mark.parametrize(
    'options',
    [
        {'render_exts': np.eye(4)[None]},
        {'render_ixts': np.eye(3)[None], 'render_hw': (10, 10)},
        {'render_exts': np.eye(4)[None], 'render_ixts': np.eye(3)[None]},
    ],
)
def test_cameras_of_a_video_are_given_whole(options: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match='render_exts, render_ixts and render_hw together'):
        export_options(**options)


def test_the_official_options_name_cameras_too() -> None:
    named = {'extrinsics': np.eye(4)[None], 'intrinsics': np.eye(3)[None], 'out_image_hw': (9, 8)}
    options = export_options(export_kwargs={'gs_video': named}).of('gs_video')
    assert options.gs_video.cameras is not None
    [camera] = options.gs_video.cameras
    assert (camera.camera.size.height, camera.camera.size.width) == (9, 8)
    with pytest.raises(ExportError, match='together'):
        export_options(export_kwargs={'gs_video': {'extrinsics': np.eye(4)[None]}})


def test_the_renderer_is_chosen_beside_the_callers_options() -> None:
    options = export_options(export_kwargs={'gs_video': SHORT})
    chosen = with_renderer(options).of('gs_video').gs_video
    assert chosen.backend is (cpu_backend if not gsplat_available() else chosen.backend)
    assert (chosen.trj_mode, chosen.vis_depth) == ('original', None)


def test_cameras_of_a_video_are_checked() -> None:
    with pytest.raises(ExportError, match='intrinsics'):
        export_options(
            render_exts=np.eye(4)[None], render_ixts=np.eye(3)[None].repeat(2, 0), render_hw=(9, 9)
        )
    with pytest.raises(ExportError, match='cameras of a video'):
        export_options(render_exts=[np.eye(4)], render_ixts=[np.zeros((3, 3))], render_hw=(9, 9))


def test_a_prediction_without_gaussians_says_who_has_some(tmp_path: Path) -> None:
    model = DepthAnything3(network=synthetic_network(tiny.ANY_VIEW))
    got = model.inference(pictures(1), process_res=RES)
    for name in ('gs_ply', 'gs_video'):
        with pytest.raises(ExportError, match='da3-giant'):
            got.export(tmp_path / 'x', name)
    assert not (tmp_path / 'x').exists()
