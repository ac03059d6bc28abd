"""Saved results as scenes: every array, every one that is missing, and every one that is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.sources.npz_file import read_arrays
from da3_ros.sources.results import SavedResults, read_results
from da3_ros.types import PosedView

Arrays = dict[str, np.ndarray[Any, Any]]
HEIGHT, WIDTH = 3, 4
K = np.array([[5.0, 0, 2.2], [0, 6, 1.4], [0, 0, 1]])


def arrays(count: int = 2, height: int = HEIGHT, width: int = WIDTH) -> Arrays:
    """Return a file as our exporter writes it, pixel centres at zero."""
    rng = np.random.default_rng(count * height)
    extrinsics = np.tile(np.eye(4), (count, 1, 1))
    extrinsics[:, :3, :3] = Rotation.random(count, random_state=1).as_matrix()
    extrinsics[:, :3, 3] = rng.normal(size=(count, 3))
    return {
        'depth': rng.uniform(1, 9, (count, height, width)).astype(np.float32),
        'conf': rng.uniform(1, 3, (count, height, width)).astype(np.float32),
        'sky': rng.uniform(size=(count, height, width)) < 0.3,
        'image': rng.integers(0, 255, (count, height, width, 3), np.uint8),
        'extrinsics': extrinsics,
        'intrinsics': np.tile(K, (count, 1, 1)),
        'stamp_ns': np.arange(count) * 10 + 7,
        'camera': np.array([f'camera{index}' for index in range(count)]),
        'frame_id': np.array([f'frame{index}' for index in range(count)]),
        'pixel_centre': np.array(0.0),
        'is_metric': np.array(True),
    }


def without(names: list[str], source: Arrays | None = None) -> Arrays:
    return {key: value for key, value in (source or arrays()).items() if key not in names}


def saved(folder: Path, content: Arrays) -> SavedResults:
    np.savez(folder / 'results.npz', **content)  # type: ignore[arg-type]
    return read_results(folder / 'results.npz')


def views(folder: Path, content: Arrays) -> tuple[PosedView, ...]:
    return tuple(saved(folder, content).scene.views)


def test_every_array_reaches_its_view(tmp_path: Path) -> None:
    content = arrays()
    got = saved(tmp_path, content)
    assert got.has_images
    assert got.scene.is_metric
    assert got.scene.stills is None
    assert len(got.scene.views) == 2
    for index, view in enumerate(got.scene.views):
        np.testing.assert_array_equal(view.depth, content['depth'][index])
        np.testing.assert_array_equal(view.image, content['image'][index])
        assert view.confidence is not None
        assert view.sky is not None
        np.testing.assert_array_equal(view.confidence, content['conf'][index])
        np.testing.assert_array_equal(view.sky, content['sky'][index])
        np.testing.assert_array_equal(view.camera.K, K)
        # A pose is the inverse of extrinsics.
        product = view.world_from_camera @ content['extrinsics'][index]
        np.testing.assert_allclose(product, np.eye(4), atol=1e-12)
        view_id = view.id
        assert (view_id.camera, view_id.frame_id) == (f'camera{index}', f'frame{index}')
        assert view_id.stamp_ns == 10 * index + 7
        assert not view.is_calibrated


@pytest.mark.parametrize('rule', [None, 0.5])
def test_the_official_rule_of_pixels_is_half_a_pixel_off(
    tmp_path: Path, rule: float | None
) -> None:
    """Its first pixel's centre is at (0.5, 0.5), and a file that says nothing follows it."""
    content = without(['pixel_centre', 'is_metric'])
    if rule is not None:
        content['pixel_centre'] = np.array(rule)
    got = saved(tmp_path, content)
    wanted = K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    np.testing.assert_allclose(got.scene.views[0].camera.K, wanted)
    assert not got.scene.is_metric
    assert got.scene.stills is not None
    assert got.scene.stills.has_intrinsics
    assert got.scene.stills.has_poses


def test_a_file_that_says_it_is_not_metric_is_not(tmp_path: Path) -> None:
    assert not saved(tmp_path, arrays() | {'is_metric': np.array(False)}).scene.is_metric


def test_extrinsics_without_the_last_row_are_the_same(tmp_path: Path) -> None:
    content = arrays()
    whole = views(tmp_path, content)
    cut = views(tmp_path, content | {'extrinsics': content['extrinsics'][:, :3]})
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(a.world_from_camera, b.world_from_camera)


def test_depth_alone_is_a_scene(tmp_path: Path) -> None:
    """Views that stand nowhere, are grey, come a second apart and see as wide as assumed."""
    got = saved(tmp_path, {'depth': arrays(3)['depth']})
    assert not got.has_images
    stills = got.scene.stills
    assert stills is not None
    assert not stills.has_intrinsics
    assert not stills.has_poses
    for index, view in enumerate(got.scene.views):
        np.testing.assert_array_equal(view.world_from_camera, np.eye(4))
        assert np.unique(view.image).size == 1
        assert view.image.shape == (HEIGHT, WIDTH, 3)
        assert view.confidence is None
        assert view.sky is None
        assert view.id.stamp_ns == index * 1_000_000_000
        camera: PinholeCamera = view.camera
        # Square pixels, the centre in the middle, 60 degrees across the width.
        np.testing.assert_allclose(camera.K[:2, 2], [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
        assert camera.K[0, 0] == camera.K[1, 1]
        edges = np.array([[-0.5, 1.0], [WIDTH - 0.5, 1.0]])
        left, right = (np.linalg.inv(camera.K) @ [u, v, 1.0] for u, v in edges)
        across = np.degrees(np.arctan(right[0]) - np.arctan(left[0]))
        assert across == pytest.approx(60)


def test_the_names_of_older_files_are_understood(tmp_path: Path) -> None:
    content = arrays()
    old = without(['depth', 'image'], content)
    old |= {'depths': content['depth'], 'images': content['image']}
    got = saved(tmp_path, old)
    assert got.has_images
    np.testing.assert_array_equal(got.scene.views[1].depth, content['depth'][1])


def two_sizes(small: Arrays, large: Arrays) -> Arrays:
    """Return a file with views of two sizes: each has its size in the names of its arrays."""
    shared = ['pixel_centre', 'is_metric']
    found = {name: small[name] for name in small if name in shared}
    for source, size in ((small, '3x4'), (large, '5x6')):
        found |= {f'{name}_{size}': source[name] for name in source if name not in shared}
    return found


def test_views_of_several_sizes_come_by_time(tmp_path: Path) -> None:
    small, large = arrays(), arrays(3, 5, 6)
    large['stamp_ns'] = np.array([12, 1, 30])
    got = saved(tmp_path, two_sizes(small, large))
    assert [view.id.stamp_ns for view in got.scene.views] == [1, 7, 12, 17, 30]
    assert [view.depth.shape[0] for view in got.scene.views] == [5, 3, 5, 3, 5]
    np.testing.assert_array_equal(got.scene.views[0].depth, large['depth'][1])
    np.testing.assert_array_equal(got.scene.views[1].image, small['image'][0])


def test_without_stamps_the_second_size_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    names = ['stamp_ns', 'pixel_centre']
    content = two_sizes(without(names), without(names, arrays(3, 5, 6)))
    got = saved(tmp_path, content)
    stamps = [view.id.stamp_ns for view in got.scene.views]
    assert stamps == [second * 1_000_000_000 for second in range(5)]
    assert got.has_images
    for name, flag in (('extrinsics', 'has_poses'), ('intrinsics', 'has_intrinsics')):
        one_without = {key: value for key, value in content.items() if key != f'{name}_5x6'}
        stills = saved(tmp_path, one_without).scene.stills
        assert not getattr(stills, flag)
    some = {key: value for key, value in content.items() if key != 'image_3x4'}
    assert not saved(tmp_path, some).has_images


def test_plain_names_beside_names_with_a_size_belong_to_their_own_depth(tmp_path: Path) -> None:
    large = {f'{k}_5x6': v for k, v in without(['pixel_centre'], arrays(1, 5, 6)).items()}
    got = views(tmp_path, arrays() | large)
    assert sorted(view.depth.shape for view in got) == [(3, 4), (3, 4), (5, 6)]


@pytest.mark.parametrize(
    ('name', 'wrong', 'said'),
    [
        *(
            (name, arrays(3)[name], f'{name}: expected numbers for 2 views')
            for name in ('conf', 'sky', 'image', 'extrinsics', 'intrinsics')
        ),
        *(
            (name, arrays()[name][0], f'{name}: expected numbers')
            for name in ('depth', 'conf', 'sky', 'image', 'extrinsics', 'intrinsics')
        ),
        ('conf', np.full((2, 3, 4), 'a'), 'conf: expected numbers'),
        ('depth', np.full((2, 3, 4), 1j), 'depth: expected numbers'),
        ('conf', np.ones((2, 4, 4)), 'conf: expected the size of depth'),
        ('sky', np.ones((2, 3, 5)), 'sky: expected the size of depth'),
        ('image', np.ones((2, 4, 3, 3)), 'image: expected the size of depth'),
        ('image', np.ones((2, 3, 4, 7), np.uint8), 'image: expected RGB'),
        ('extrinsics', np.ones((2, 3, 3)), 'extrinsics: expected'),
        ('extrinsics', np.ones((2, 5, 4)), 'extrinsics: expected'),
        ('extrinsics', np.ones((2, 4, 5)), 'extrinsics: expected'),
        ('extrinsics', np.ones((2, 4, 3)), 'extrinsics: expected'),
        ('intrinsics', np.ones((2, 3, 4)), 'intrinsics: expected'),
        ('intrinsics', np.ones((2, 4, 3)), 'intrinsics: expected'),
        ('intrinsics', np.zeros((2, 3, 3)), 'focal lengths'),
    ],
)
def test_arrays_that_do_not_fit_are_told_by_name(
    tmp_path: Path, name: str, wrong: np.ndarray[Any, Any], said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        saved(tmp_path, arrays() | {name: wrong})


@pytest.mark.parametrize('shape', [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_a_file_without_a_pixel_is_refused(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    with pytest.raises(SourceError, match='at least one view'):
        saved(tmp_path, {'depth': np.ones(shape)})


def test_a_file_without_depth_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='expected depth among its arrays, got image'):
        saved(tmp_path, {'image': arrays()['image']})
    with pytest.raises(SourceError, match='got none'):
        saved(tmp_path, {})


@pytest.mark.parametrize('kind', [np.float16, np.float64, np.int32, np.uint8, np.bool_])
def test_numbers_of_every_kind_are_depth(tmp_path: Path, kind: type[np.generic]) -> None:
    got = views(tmp_path, {'depth': np.ones((1, 3, 4), kind)})
    assert got[0].depth.dtype == np.float32
    assert (got[0].depth == 1).all()


def test_what_is_no_npz_is_told_and_pickles_are_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='there is no such file'):
        read_arrays(tmp_path / 'results.npz')
    with pytest.raises(SourceError, match='there is no such file'):
        read_arrays(tmp_path)
    np.save(tmp_path / 'single.npy', np.ones(3))
    with pytest.raises(SourceError, match='this is none'):
        read_arrays(tmp_path / 'single.npy')
    np.savez(tmp_path / 'pickled.npz', depth=np.array([{'a': 1}], dtype=object))
    with pytest.raises(SourceError, match=r'^npz .*pickled\.npz: cannot be read: .*pickle'):
        read_arrays(tmp_path / 'pickled.npz')
    np.savez(tmp_path / 'good.npz', depth=np.ones((1, 3, 4)))
    data = bytearray((tmp_path / 'good.npz').read_bytes())
    middle = len(data) // 3
    data[middle : middle + 20] = bytes(20)
    (tmp_path / 'damaged.npz').write_bytes(data)
    with pytest.raises(SourceError, match=r'^npz .*damaged\.npz: cannot be read: .+'):
        read_arrays(tmp_path / 'damaged.npz')
