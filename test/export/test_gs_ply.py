"""Gaussians as PLY, read by plyfile and trimesh; which ones are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import plyfile
import pytest
import trimesh

from da3_ros.errors import ExportCancelledError, ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.gs_ply import columns
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.camera import ImageSize
from da3_ros.options.export import GsPlyOptions
from helpers.export_scenes import make_view, synthetic_scene, synthetic_world, true_points
from helpers.gaussian_scenes import with_gaussians

OFFICIAL = (
    'x', 'y', 'z', 'nx', 'ny', 'nz', 'f_dc_0', 'f_dc_1', 'f_dc_2', 'opacity',
    'scale_0', 'scale_1', 'scale_2', 'rot_0', 'rot_1', 'rot_2', 'rot_3',
)  # fmt: skip
EVERYTHING = GsPlyOptions(border_share=0.0, depth_quantile=1.0)
VIEWS, HEIGHT, WIDTH = 3, 32, 64


def random_scene(degree: int = 2) -> ExportScene:
    """Three views of random depth, and a Gaussian with random numbers for every pixel."""
    rng = np.random.default_rng(3)
    views = []
    for index in range(VIEWS):
        view = make_view(index, ImageSize(HEIGHT, WIDTH))
        depth = rng.uniform(1, 9, (HEIGHT, WIDTH)).astype(np.float32)
        views.append(replace(view, depth=depth))
    count = VIEWS * HEIGHT * WIDTH

    def numbers(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=(count, *shape)).astype(np.float32)

    quaternions = numbers(4)
    cloud = GaussianCloud(
        numbers(3),
        np.exp(numbers(3)),
        quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        numbers(3, (degree + 1) ** 2),
        rng.uniform(0, 1, count).astype(np.float32),
        (VIEWS, HEIGHT, WIDTH),
    )
    return ExportScene(tuple(views), is_metric=True, gaussians=cloud)


def exported(scene: ExportScene, folder: Path, options: GsPlyOptions) -> Path:
    report = export_scene(scene, 'gs_ply', folder, options=ExportOptions(gs_ply=options))
    assert [f.name for f in report.files] == ['0000.ply']
    # gs_ply alone writes no video.
    assert [p.name for p in folder.iterdir()] == ['gs_ply']
    assert [p.name for p in (folder / 'gs_ply').iterdir()] == ['0000.ply']
    return report.files[0]


def read(path: Path) -> NDArray[Any]:
    file = plyfile.PlyData.read(str(path))
    assert not file.text
    assert file.byte_order == '<'
    (element,) = file.elements
    assert element.name == 'vertex'
    assert all(p.val_dtype == 'f4' for p in element.properties)
    return np.asarray(element.data)


def block(data: NDArray[Any], prefix: str, count: int) -> NDArray[np.float32]:
    return np.stack([data[f'{prefix}_{i}'] for i in range(count)], axis=1)


def cloud_in(scene: ExportScene) -> GaussianCloud:
    assert scene.gaussians is not None
    return scene.gaussians


def test_columns_are_the_official_ones(tmp_path: Path) -> None:
    scene = random_scene()
    cloud = cloud_in(scene)
    data = read(exported(scene, tmp_path, EVERYTHING))
    assert data.dtype.names == OFFICIAL == columns(1)
    assert len(data) == len(cloud.means)
    np.testing.assert_array_equal(np.stack([data[a] for a in 'xyz'], axis=1), cloud.means)
    assert not any(data[f'n{axis}'].any() for axis in 'xyz')
    np.testing.assert_array_equal(block(data, 'f_dc', 3), cloud.harmonics[:, :, 0])
    np.testing.assert_array_equal(block(data, 'rot', 4), cloud.rotations_wxyz)
    np.testing.assert_allclose(np.exp(block(data, 'scale', 3)), cloud.scales, rtol=1e-6)
    opacity = 1 / (1 + np.exp(-data['opacity'].astype(np.float64)))
    np.testing.assert_allclose(opacity, cloud.opacities, atol=1e-6)


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_higher_harmonics_follow_channel_by_channel(tmp_path: Path, degree: int) -> None:
    scene = random_scene(degree)
    data = read(exported(scene, tmp_path, replace(EVERYTHING, all_harmonics=True)))
    rest = (degree + 1) ** 2 - 1
    assert data.dtype.names is not None
    assert data.dtype.names == (
        *OFFICIAL[:9], *(f'f_rest_{i}' for i in range(3 * rest)), *OFFICIAL[9:],
    )  # fmt: skip
    for channel in range(3):
        for index in range(rest):
            np.testing.assert_array_equal(
                data[f'f_rest_{channel * rest + index}'],
                cloud_in(scene).harmonics[:, channel, 1 + index],
            )


def test_trimesh_finds_the_points_of_the_true_world(tmp_path: Path) -> None:
    world = synthetic_world()
    scene = with_gaussians(synthetic_scene(world))
    loaded = trimesh.load(exported(scene, tmp_path, EVERYTHING))
    assert isinstance(loaded, trimesh.PointCloud)
    np.testing.assert_allclose(loaded.vertices, true_points(world, scene), atol=1e-3)


def kept_by_the_official_rule(scene: ExportScene, interval: int) -> NDArray[np.float32]:
    """Return the means that the published exporter keeps, by its description."""
    means = cloud_in(scene).means.reshape(VIEWS, HEIGHT, WIDTH, 3)
    parts = []
    for index in range(0, VIEWS, interval):
        depth = scene.views[index].depth
        inside = np.s_[int(8 / 256 * HEIGHT) : -int(8 / 256 * HEIGHT),
                       int(8 / 256 * WIDTH) : -int(8 / 256 * WIDTH)]  # fmt: skip
        near = depth[inside] <= np.quantile(depth, 0.9)
        parts.append(means[index][inside][near])
    return np.concatenate(parts)


@pytest.mark.parametrize('interval', [1, 2, 3])
def test_the_defaults_keep_what_the_official_exporter_keeps(tmp_path: Path, interval: int) -> None:
    scene = random_scene()
    data = read(exported(scene, tmp_path, GsPlyOptions(views_interval=interval)))
    expected = kept_by_the_official_rule(scene, interval)
    np.testing.assert_array_equal(np.stack([data[a] for a in 'xyz'], axis=1), expected)


@pytest.mark.parametrize(('views', 'kept'), [(1, 1), (23, 23), (24, 12), (47, 16), (60, 12)])
def test_the_interval_can_follow_the_number_of_views(
    tmp_path: Path, views: int, kept: int
) -> None:
    scene = ExportScene(
        tuple(replace(make_view(i), depth=np.full((12, 16), 2, np.float32)) for i in range(views)),
        is_metric=True,
    )
    data = read(
        exported(with_gaussians(scene), tmp_path, replace(EVERYTHING, views_interval=None))
    )
    assert len(data) == kept * 12 * 16


def test_small_views_keep_their_border(tmp_path: Path) -> None:
    scene = with_gaussians(
        ExportScene((replace(make_view(), depth=np.full((12, 16), 2, np.float32)),), True)
    )
    assert len(read(exported(scene, tmp_path, GsPlyOptions()))) == 12 * 16


def test_sky_unknown_depth_low_opacity_and_broken_numbers_are_left_out(tmp_path: Path) -> None:
    scene = random_scene()
    cloud = cloud_in(scene)
    sky = np.zeros((HEIGHT, WIDTH), np.bool_)
    sky[:5] = True
    depth = scene.views[1].depth.copy()
    depth[:, 10:20] = np.nan
    depth[:, 20] = np.inf
    views = (replace(scene.views[0], sky=sky), replace(scene.views[1], depth=depth))
    means = cloud.means.copy()
    means[-1, 2] = np.nan
    broken = replace(cloud, means=means)
    options = replace(EVERYTHING, min_opacity=0.25)
    data = read(
        exported(
            replace(scene, views=(*views, scene.views[2]), gaussians=broken), tmp_path, options
        )
    )
    kept = np.ones((VIEWS, HEIGHT, WIDTH), np.bool_)
    kept[0, :5] = False
    kept[1, :, 10:21] = False
    kept[2, -1, -1] = False
    kept &= (cloud.opacities >= 0.25).reshape(kept.shape)
    np.testing.assert_array_equal(
        np.stack([data[a] for a in 'xyz'], axis=1), cloud.means[kept.ravel()]
    )


def test_extreme_opacities_and_scales_stay_finite(tmp_path: Path) -> None:
    scene = random_scene()
    cloud = cloud_in(scene)
    opacities, scales = cloud.opacities.copy(), cloud.scales.copy()
    opacities[:2] = (0, 1)
    scales[0] = 0
    data = read(
        exported(
            replace(scene, gaussians=replace(cloud, opacities=opacities, scales=scales)),
            tmp_path,
            EVERYTHING,
        )
    )
    assert data['opacity'][0] < -16
    assert data['opacity'][1] > 16
    assert all(np.isfinite(data[name]).all() for name in OFFICIAL)


def test_equal_scenes_give_equal_bytes(tmp_path: Path) -> None:
    files = [exported(random_scene(), tmp_path / n, GsPlyOptions()) for n in 'ab']
    assert files[0].read_bytes() == files[1].read_bytes()
    assert b'comment' not in files[0].read_bytes().split(b'end_header')[0]


def test_a_scene_without_gaussians_says_who_has_them(tmp_path: Path) -> None:
    scene = ExportScene((make_view(),), is_metric=True)
    with pytest.raises(ExportError, match=r'da3-giant and da3nested-giant-large .* infer_gs'):
        export_scene(scene, 'gs_ply', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_gaussians_of_other_views_are_refused(tmp_path: Path) -> None:
    scene = random_scene()
    with pytest.raises(ExportError, match='of 3 views: the scene has 2'):
        export_scene(replace(scene, views=scene.views[:2]), 'gs_ply', tmp_path)
    with pytest.raises(ExportError, match='as its Gaussians are'):
        export_scene(replace(scene, views=(make_view(),) * 3), 'gs_ply', tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_without_a_single_gaussian_is_refused(tmp_path: Path) -> None:
    scene = random_scene()
    cloud = cloud_in(scene)
    faint = replace(scene, gaussians=replace(cloud, opacities=cloud.opacities * 0.5))
    options = ExportOptions(gs_ply=GsPlyOptions(min_opacity=0.9))
    with pytest.raises(ExportError, match='lower min_opacity'):
        export_scene(faint, 'gs_ply', tmp_path / 'out', options=options)
    assert not (tmp_path / 'out').exists()


def test_nothing_stays_of_a_cancelled_export(tmp_path: Path) -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(ExportCancelledError):
        export_scene(random_scene(), 'gs_ply', tmp_path / 'out', cancelled=cancelled)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'wrong',
    [
        {'views_interval': 0}, {'border_share': -0.1}, {'border_share': 0.6},
        {'depth_quantile': 1.1}, {'depth_quantile': float('nan')}, {'min_opacity': -1},
    ],
)  # fmt: skip
def test_options_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match=next(iter(wrong))):
        GsPlyOptions(**wrong)
