"""Flights in worlds of another unit, and with lenses that change on the way."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.gs_trajectory import make_trajectory
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.export.splat_types import PosedCamera, SplatImage, SplatRenderer
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid
from da3_ros.options.choices import TrajectoryMode
from da3_ros.options.export import GsPlyOptions
from da3_ros.synthetic import make_world
from helpers.export_scenes import make_view, synthetic_scene
from helpers.gaussian_scenes import with_gaussians

SIZE = ImageSize(36, 48)


def cameras(focals: Sequence[float]) -> list[PosedCamera]:
    """Return cameras in a row, each with a focal length of its own."""
    return [
        PosedCamera(
            rigid(np.eye(3), [0.5 * index, 0.1 * index, 0.0]),
            PinholeCamera.from_focal(focal, focal + 1, 20 + index, 15 + index, SIZE),
        )
        for index, focal in enumerate(focals)
    ]


@pytest.mark.parametrize('count', [4, 7])
@pytest.mark.parametrize('mode', ['wobble', 'wobble_inter'])
def test_the_lens_of_a_wobble_changes_from_pose_to_pose(mode: TrajectoryMode, count: int) -> None:
    """In a straight line from every third one to the third after it."""
    given = cameras([50.0, 53.0, 58.0, 61.0, 70.0, 72.0, 90.0][:count])
    path = make_trajectory(given, mode)
    assert len(path) == 30 * ((count - 1) // 3)
    for part in range(len(path) // 30):
        first, last = given[3 * part].camera.K, given[3 * part + 3].camera.K
        for index in (0, 10, 29):
            share = index / 29
            wanted = (1 - share) * first + share * last
            np.testing.assert_allclose(path[30 * part + index].camera.K, wanted, atol=1e-9)


@pytest.mark.parametrize('mode', ['interpolate', 'smooth', 'interpolate_smooth', 'extend'])
def test_a_path_keeps_the_lens_of_its_cameras(mode: TrajectoryMode) -> None:
    given = cameras([50.0] * 6)
    same = [PosedCamera(c.world_from_camera, given[0].camera) for c in given]
    path = make_trajectory(same, mode)
    focals = np.array([frame.camera.K[0, 0] for frame in path])
    assert focals[0] == focals[-1] == 50
    assert focals.max() == pytest.approx(50)
    assert (focals.min() < 50) == (mode == 'extend')


def frames_of(folder: Path, depths: Sequence[float]) -> list[np.ndarray]:
    """Return the frames of a video whose pictures have one depth each."""
    remaining = iter(depths)
    shape = (SIZE.height, SIZE.width)

    def backend(cloud: GaussianCloud) -> SplatRenderer:
        def render(path: Sequence[PosedCamera]) -> Iterator[SplatImage]:
            for _ in path:
                yield SplatImage(
                    np.full((*shape, 3), 0.5, np.float32),
                    np.full(shape, next(remaining), np.float32),
                    np.ones(shape, np.float32),
                )

        return render

    scene = with_gaussians(synthetic_scene(make_world(size=SIZE)))
    scene = with_gaussians(replace(scene, views=scene.views[: len(depths)]))
    video = GsVideoOptions(trj_mode='original', backend=backend)
    (path,) = export_scene(scene, 'gs_video', folder, options=ExportOptions(gs_video=video)).files
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]


@pytest.mark.parametrize('factor', [0.1, 30.0])
def test_depth_in_another_unit_has_the_same_colours(tmp_path: Path, factor: float) -> None:
    depths = np.array([1.0, 1.5, 2.0, 4.0])
    wanted = frames_of(tmp_path / 'one', list(depths))
    got = frames_of(tmp_path / 'other', list(depths * factor))
    for a, b in zip(got, wanted, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 3
    # Two is halfway between one and four, and no depth has the colour of another.
    middle = [frame[10:-10, -20:-10].reshape(-1, 3).mean(axis=0) for frame in wanted]
    assert min(np.abs(a - b).max() for a, b in pairwise(middle)) > 20


@pytest.mark.parametrize('unknown', [0, 1, 60])
def test_deep_pixels_go_whatever_else_is_not_known(tmp_path: Path, unknown: int) -> None:
    """Of 192 pixels some have no depth; of the others the deeper half goes."""
    view = make_view()
    depth = np.random.default_rng(1).permutation(192).astype(np.float32).reshape(12, 16) + 1
    cloud = with_gaussians(ExportScene((replace(view, depth=depth),), True)).gaussians
    hidden = depth.copy()
    hidden.ravel()[:unknown] = np.nan
    scene = ExportScene((replace(view, depth=hidden),), True, gaussians=cloud)
    choice = GsPlyOptions(border_share=0.0, depth_quantile=0.5)
    report = export_scene(scene, 'gs_ply', tmp_path, options=ExportOptions(gs_ply=choice))
    wanted = (hidden <= np.nanquantile(hidden, 0.5)).sum()
    assert report.points == wanted
    assert wanted == pytest.approx((192 - unknown) / 2, abs=1)
