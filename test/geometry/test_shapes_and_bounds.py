"""Batches, values that must not change later, and the bounds of what is accepted."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import GeometryError
from da3_ros.geometry import se3
from da3_ros.geometry.arrays import FloatArray, extremes
from da3_ros.geometry.camera import ImageSize, PinholeCamera, rotated_from_camera
from da3_ros.geometry.frames import BODY_FROM_OPTICAL, GLTF_FROM_BODY
from da3_ros.geometry.resample import DepthResampler, PixelMap
from da3_ros.geometry.rotation import (
    matrix_from_quaternion_xyzw,
    nearest_rotation,
    quaternion_xyzw_from_matrix,
    require_rotation,
    rotation_angle_rad,
)
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import clear_spread
from da3_ros.geometry.unproject import (
    unproject,
    unproject_into,
    unproject_pixels,
    world_planes,
)
from da3_ros.geometry.voxel import first_per_voxel

CAMERA = PinholeCamera.from_focal(200.0, 210.0, 79.3, 61.7, ImageSize(120, 160))


@pytest.mark.parametrize('batch', [(), (1,), (4,), (2, 3), (0,)])
def test_rotations_keep_every_batch_shape(batch: tuple[int, ...]) -> None:
    count = int(np.prod(batch))
    vectors = np.random.default_rng(1).normal(size=(count, 3))
    matrices = Rotation.from_rotvec(vectors).as_matrix().reshape(*batch, 3, 3)
    quaternions = quaternion_xyzw_from_matrix(matrices)
    assert quaternions.shape == (*batch, 4)
    np.testing.assert_allclose(matrix_from_quaternion_xyzw(quaternions), matrices, atol=1e-12)
    angles = rotation_angle_rad(matrices)
    assert angles.shape == batch
    wanted = np.linalg.norm(vectors, axis=1).reshape(batch)
    np.testing.assert_allclose(angles, np.abs((wanted + np.pi) % (2 * np.pi) - np.pi), atol=1e-9)


def test_one_bad_quaternion_of_many_is_refused() -> None:
    good = np.array([[0, 0, 0, 1.0], [0, 1, 0, 0]])
    for bad in ([0, 0, 0, 0.0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1]):
        with pytest.raises(GeometryError, match='quaternion'):
            matrix_from_quaternion_xyzw(np.vstack([good, bad]))
    tiny = matrix_from_quaternion_xyzw(good * 1e-6)
    np.testing.assert_allclose(tiny, matrix_from_quaternion_xyzw(good))


def test_the_nearest_rotation_is_proper_and_of_any_scale() -> None:
    """Of a mirror image too: the determinant is +1, and no other rotation is nearer."""
    rng = np.random.default_rng(3)
    for matrix in (rng.normal(size=(3, 3)), np.diag([3.0, 2.0, -1.0]), np.diag([2.0, 1.0, 0.0])):
        nearest = nearest_rotation(matrix)
        assert np.linalg.det(nearest) == pytest.approx(1)
        for scale in (1e-200, 1e-9, 1e9):
            np.testing.assert_allclose(nearest_rotation(matrix * scale), nearest, atol=1e-9)
        distance = np.linalg.norm(matrix - nearest)
        for vector in rng.normal(scale=0.1, size=(20, 3)):
            other = nearest @ Rotation.from_rotvec(vector).as_matrix()
            assert np.linalg.norm(matrix - other) >= distance
    with pytest.raises(GeometryError, match='rank'):
        nearest_rotation(np.zeros((3, 3)))


def test_rotations_within_a_thousandth_are_accepted_and_kept_as_they_are() -> None:
    rotation = Rotation.from_rotvec([0.3, 0.2, 0.1]).as_matrix()
    near = rotation * (1 + 0.0004)  # R R^T is off by 0.0008
    np.testing.assert_array_equal(require_rotation('R', near), near)
    with pytest.raises(GeometryError, match='R: expected a rotation'):
        require_rotation('R', rotation * (1 + 0.0006))
    with pytest.raises(GeometryError, match='rotation'):
        require_rotation('R', -rotation)


def test_rigid_transforms_are_checked_whole() -> None:
    pose = se3.rigid(Rotation.from_rotvec([0.3, 0.2, 0.1]).as_matrix(), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(se3.require_rigid('pose', pose), pose)
    for column in range(4):
        wrong = pose.copy()
        wrong[3, column] += 0.01
        with pytest.raises(GeometryError, match='pose: expected bottom row'):
            se3.require_rigid('pose', wrong)
    np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])
    np.testing.assert_allclose(se3.homogeneous(pose[:3]), pose)
    for shape in ((3, 3), (4, 3), (3, 5), (5, 4), (2, 4)):
        with pytest.raises(GeometryError, match='transform'):
            se3.homogeneous(np.ones(shape))
    noisy = pose.copy()
    noisy[:3, :3] *= 1.1
    np.testing.assert_allclose(se3.nearest_rigid(noisy), pose, atol=1e-12)


def test_a_rigid_transform_is_a_similarity_of_scale_one() -> None:
    pose = se3.rigid(Rotation.from_rotvec([0.3, 0.2, 0.1]).as_matrix(), [1.0, 2.0, 3.0])
    points = np.random.default_rng(0).normal(size=(5, 3))
    similarity = Sim3.from_rigid(pose)
    assert similarity.scale == 1
    np.testing.assert_allclose(similarity.apply(points), se3.transform_points(pose, points))
    for scale in (-1.0, 0.0, np.nan, np.inf):
        with pytest.raises(GeometryError, match='scale'):
            Sim3(scale, np.eye(3), np.zeros(3))


def test_what_is_shared_cannot_be_changed() -> None:
    similarity = Sim3(2.0, np.eye(3), np.zeros(3))
    for array in (
        CAMERA.K, similarity.rotation, similarity.translation, BODY_FROM_OPTICAL, GLTF_FROM_BODY,
    ):  # fmt: skip
        with pytest.raises(ValueError, match='read-only'):
            array[0] = 7
    # And it is a copy: whoever made it keeps its own.
    rotation = np.eye(3)
    kept = Sim3(1.0, rotation, np.zeros(3))
    rotation[0, 0] = 5
    assert kept.rotation[0, 0] == 1


@pytest.mark.parametrize('frame', [BODY_FROM_OPTICAL, GLTF_FROM_BODY, rotated_from_camera(1)])
def test_changes_of_axes_move_nothing(frame: FloatArray) -> None:
    """They are rotations by quarters about the common origin."""
    np.testing.assert_array_equal(frame @ [0, 0, 0, 1], [0, 0, 0, 1])
    np.testing.assert_array_equal(frame[3], [0, 0, 0, 1])
    np.testing.assert_array_equal(frame @ frame.T, np.eye(4))
    assert np.linalg.det(frame) == pytest.approx(1)


def test_cameras_with_focal_lengths_below_a_pixel_and_with_skew_are_cameras() -> None:
    tiny = PinholeCamera.from_focal(0.5, 0.25, 0.0, 0.0, ImageSize(1, 1))
    np.testing.assert_allclose(tiny.project([1.0, 2.0, 4.0]), [0.125, 0.125])
    skewed = PinholeCamera(np.array([[2.0, 1, 0], [0, 2, 0], [0, 0, 1]]), ImageSize(4, 4))
    np.testing.assert_allclose(skewed.project([1.0, 1.0, 1.0]), [3, 2])


@pytest.mark.parametrize(
    'matrix',
    [
        [[0, 0, 1], [0, 1, 1], [0, 0, 1]],
        [[1, 0, 1], [0, 0, 1], [0, 0, 1]],
        [[-1, 0, 1], [0, 1, 1], [0, 0, 1]],
        [[1, 0, 1], [0, -1, 1], [0, 0, 1]],
        [[1, 0, 1], [0, 1, 1], [1, 0, 1]],
        [[1, 0, 1], [0, 1, 1], [0, 1, 1]],
        [[1, 0, 1], [0, 1, 1], [0, 0, 2]],
        [[1, 0, 1], [-1, 1, 1], [0, 0, 1]],
    ],
)
def test_every_impossible_entry_of_K_is_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(GeometryError, match='K: expected'):
        PinholeCamera(np.array(matrix, np.float64), ImageSize(3, 3))


@pytest.mark.parametrize(('height', 'width'), [(0, 1), (1, 0), (-1, 5), (5, -1)])
def test_images_have_at_least_one_pixel(height: int, width: int) -> None:
    with pytest.raises(GeometryError, match='image size'):
        ImageSize(height, width)
    assert ImageSize(1, 1) == ImageSize(1, 1)


def test_contains_asks_all_four_borders() -> None:
    outside = [[-0.6, 5], [159.6, 5], [5, -0.6], [5, 119.6]]
    assert not CAMERA.contains(outside).any()
    inside = [[-0.4, -0.4], [159.4, -0.4], [-0.4, 119.4], [159.4, 119.4]]
    assert CAMERA.contains(inside).all()
    assert CAMERA.contains(np.zeros((2, 3, 2))).shape == (2, 3)


def test_unprojection_reads_the_camera_of_each_pixel() -> None:
    depth = np.arange(1.0, 120 * 160 + 1, dtype=np.float32).reshape(120, 160)
    points = unproject(depth, CAMERA)
    assert points.dtype == np.float32
    row, column = 100, 3
    z = depth[row, column]
    wanted = [(column - 79.3) / 200 * z, (row - 61.7) / 210 * z, z]
    np.testing.assert_allclose(points[row, column], wanted, rtol=1e-5)


@pytest.mark.parametrize(('low', 'high'), [(0.0, 3e5), (-3e5, 0.0), (-1e6, 1e6)])
def test_voxels_of_every_extent_are_told_apart(low: float, high: float) -> None:
    """Keys are one number where they fit, rows where they do not; both keep the first."""
    rng = np.random.default_rng(5)
    cells = rng.integers(0, 3, (300, 3))
    points = np.where(cells == 2, high, np.where(cells == 1, low, 0.0))
    points += rng.uniform(0.1, 0.9, (300, 3))
    _, first = np.unique(np.floor(points).astype(int), axis=0, return_index=True)
    np.testing.assert_array_equal(first_per_voxel(points, 1.0), np.sort(first))


def test_voxels_whose_number_does_not_fit_into_64_bits_are_told_apart() -> None:
    """As one number, (x * 2^22 + y) * 2^22 + z, the first two would be 2^64 apart: equal."""
    y = z = 2**22 - 1
    points = np.array([[0, 0, 0], [2**20, 0, 0], [2**21 - 1, y, z], [2**20, 0, 0]], np.float32)
    assert first_per_voxel(points + np.float32(0.25), 1.0).tolist() == [0, 1, 2]


def test_no_points_and_no_voxels_keep_what_there_is() -> None:
    assert first_per_voxel(np.empty((0, 3), np.float32), 0.5).tolist() == []
    assert first_per_voxel(np.zeros((1, 3), np.float32), 0.5).tolist() == [0]
    assert first_per_voxel(np.zeros((3, 3), np.float32), 0).tolist() == [0, 1, 2]
    for wrong in (-0.1, np.nan, np.inf):
        with pytest.raises(GeometryError, match='voxel size'):
            first_per_voxel(np.zeros((1, 3), np.float32), wrong)


def test_resampling_takes_the_value_of_the_pixel_that_covers_the_place() -> None:
    """Three times as large: each source pixel covers three by three, exactly."""
    depth = np.arange(1.0, 21.0, dtype=np.float32).reshape(4, 5) ** 2
    resampler = DepthResampler(depth, PixelMap.placed(1 / 3, 1 / 3, 0, 0), ImageSize(12, 15))
    np.testing.assert_array_equal(resampler.nearest(depth), np.kron(depth, np.ones((3, 3))))
    odd = np.indices((4, 5)).sum(axis=0) % 2 == 1
    np.testing.assert_array_equal(resampler.mask(odd), np.kron(odd, np.ones((3, 3), bool)))


@pytest.mark.parametrize('axis', [0, 1])
def test_half_a_pixel_beyond_the_last_centre_is_covered_and_more_is_not(axis: int) -> None:
    depth = np.ones((6, 6), np.float32)
    for shift, covered in ((-0.5, True), (-0.51, False), (5.5, True), (5.51, False)):
        shifts = [2.0, 2.0]
        shifts[axis] = shift
        place = PixelMap(1.0, shifts[1], 1.0, shifts[0])
        resampler = DepthResampler(depth, place, ImageSize(1, 1))
        assert np.isfinite(resampler.depth()).all() == covered
        assert np.isfinite(resampler.along(depth)).all() == covered
        assert resampler.mask(depth > 0).all() == covered


@pytest.mark.parametrize('flip', [False, True])
def test_a_row_of_pixels_with_an_unknown_one_keeps_it(flip: bool) -> None:
    """One row, or one column: there are no neighbours across, but some along."""
    depth = np.array([[2.0, 2, np.nan, 2, 2, 4, 4, 4]], np.float32)
    size, place = ImageSize(4, 32), PixelMap.placed(0.25, 0.25, 0, 0)
    if flip:
        depth, size = np.ascontiguousarray(depth.T), ImageSize(32, 4)
    got = DepthResampler(depth, place, size).depth()
    wanted = np.kron(depth, np.ones((4, 4), np.float32))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_map_and_its_inverse_lead_back_and_a_whole_image_keeps_its_borders() -> None:
    place = PixelMap(0.3, 4.0, 0.7, -2.0)
    back = place.inverse()
    assert back.scale_u * (0.3 * 11.0 + 4.0) + back.shift_u == pytest.approx(11.0)
    assert back.scale_v * (0.7 * 11.0 - 2.0) + back.shift_v == pytest.approx(11.0)
    target, source = ImageSize(48, 64), ImageSize(30, 160)
    whole = PixelMap.whole(target, source)
    for (low, high), scale, shift in (
        ((64, 160), whole.scale_u, whole.shift_u),
        ((48, 30), whole.scale_v, whole.shift_v),
    ):
        assert scale * -0.5 + shift == pytest.approx(-0.5)
        assert scale * (low - 0.5) + shift == pytest.approx(high - 0.5)


@pytest.mark.parametrize('quarters', range(-1, 6))
def test_a_map_between_rotated_images_moves_the_rotated_pixels(quarters: int) -> None:
    """A quarter clockwise brings pixel (u, v) of an image H pixels high to (H - 1 - v, u)."""

    def rotated(u: float, v: float, size: ImageSize) -> tuple[float, float]:
        for index in range(quarters % 4):
            height = size.width if index % 2 else size.height
            u, v = height - 1 - v, u
        return u, v

    target, source = ImageSize(48, 64), ImageSize(30, 41)
    place = PixelMap(0.3, 4.0, 0.7, -2.0)
    other = place.rotated(quarters, target, source)
    for u, v in ((0.0, 0.0), (10.0, 3.0), (63.0, 47.0)):
        a, b = rotated(u, v, target)
        got = other.scale_u * a + other.shift_u, other.scale_v * b + other.shift_v
        assert got == pytest.approx(rotated(0.3 * u + 4.0, 0.7 * v - 2.0, source))


@pytest.mark.parametrize('axis', [0, 1])
def test_a_row_of_one_surface_is_interpolated_in_inverse_depth(axis: int) -> None:
    row = np.array([2.0, 2.05, 2.1, 2.08], np.float32)
    shape, size = ((1, 4), ImageSize(1, 16)) if axis else ((4, 1), ImageSize(16, 1))
    scales = (0.25, 1.0) if axis else (1.0, 0.25)
    got = DepthResampler(row.reshape(shape), PixelMap.placed(*scales, 0, 0), size).depth().ravel()
    places = (np.arange(16) + 0.5) / 4 - 0.5
    inner = (places >= 0) & (places <= 3)
    wanted = 1 / np.interp(places, np.arange(4), 1 / row)
    np.testing.assert_allclose(got[inner], wanted[inner], rtol=1e-6)


def test_points_of_single_pixels_and_of_whole_images_agree() -> None:
    """By two routes, and by the definition: K [x y z] = z [u v 1]."""
    depth = np.random.default_rng(3).uniform(1, 9, (120, 160)).astype(np.float32)
    skewed = PinholeCamera(CAMERA.K + np.diag([3.0, 0], k=1), CAMERA.size)
    for camera in (CAMERA, skewed):
        points = unproject(depth, camera)
        into = np.zeros((120, 160, 5), np.float32)
        unproject_into(into, depth, camera)
        np.testing.assert_allclose(into[..., :3], points, rtol=1e-4, atol=1e-5)
        assert not into[..., 3:].any()
        uv = np.array([[0, 0], [159, 0], [7, 100]])
        z = depth[uv[:, 1], uv[:, 0]]
        single = unproject_pixels(uv, z, camera.K)
        np.testing.assert_allclose(single, points[uv[:, 1], uv[:, 0]], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            single @ camera.K.T, z[:, None] * [[0, 0, 1], [159, 0, 1], [7, 100, 1]], atol=1e-9
        )
        np.testing.assert_allclose(unproject_pixels(uv, 2.0, camera.K)[:, 2], 2.0)
    unknown = depth.copy()
    unknown[3, 4], unknown[5, 6] = np.inf, np.nan
    unproject_into(into, unknown, CAMERA)
    assert np.isnan(into[[3, 5], [4, 6], :3]).all()
    with pytest.raises(GeometryError, match='unproject'):
        unproject_into(into, depth[:-1], CAMERA)


def test_points_count_as_apart_from_a_millionth_of_their_distance_on() -> None:
    square = np.array([[1.0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]]) / np.sqrt(2)
    assert clear_spread(square) == pytest.approx(1)
    far = np.array([1e3, 0, 0])
    assert clear_spread(far + 2e-3 * square) == pytest.approx(2e-3)
    assert clear_spread(far + 5e-4 * square) == 0
    # About the origin rounding is that of a millimetre.
    assert clear_spread(2e-9 * square) == pytest.approx(2e-9)
    assert clear_spread(5e-10 * square) == 0


@pytest.mark.parametrize('quarters', range(4))
def test_an_edge_on_one_side_only_forbids_mixing(quarters: int) -> None:
    """Around four pixels depth rises by four per cent each: the last is twelve off the first."""
    depth = np.rot90(np.array([[1.0, 1.04], [1.12, 1.08]], np.float32), quarters).copy()
    resampler = DepthResampler(depth, PixelMap(1.0, 0.4, 1.0, 0.4), ImageSize(1, 1))
    assert resampler.depth()[0, 0] == depth[0, 0]
    # In a wide image the edge is known from the same four pixels.
    wide = np.kron(depth, np.ones((3, 3), np.float32))
    resampler = DepthResampler(wide, PixelMap(1.0, 2.4, 1.0, 2.4), ImageSize(1, 1))
    assert resampler.depth()[0, 0] == depth[0, 0]


@pytest.mark.parametrize('unknown', [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_an_edge_on_any_side_of_a_place_forbids_mixing(unknown: tuple[int, int]) -> None:
    """The place is amid four pixels, one of which lies on another surface."""
    depth = np.full((4, 4), 3.0, np.float32)
    depth[unknown] = 9.0
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    resampler = DepthResampler(depth, PixelMap(1.0, 1.4, 1.0, 1.4), ImageSize(1, 1))
    assert resampler.depth()[0, 0] == pytest.approx(depth[1, 1])
    assert resampler.along(values)[0, 0] == values[1, 1]
    depth[unknown] = 3.0
    smooth = DepthResampler(depth, PixelMap(1.0, 1.4, 1.0, 1.4), ImageSize(1, 1))
    assert smooth.along(values)[0, 0] == pytest.approx(1.4 * 4 + 1.4, rel=1e-5)


def test_points_in_the_world_are_those_of_the_rays_moved() -> None:
    camera = PinholeCamera(np.array([[50.0, 0.7, 31.0], [0, 40.0, 20.0], [0, 0, 1]]), CAMERA.size)
    size = (camera.size.height, camera.size.width)
    depth = np.random.default_rng(2).uniform(1, 9, size).astype(np.float32)
    depth[0, 0], depth[1, 1] = np.nan, np.inf
    turn = Rotation.from_rotvec([0.3, -1.2, 0.5]).as_matrix()
    pose = rigid(turn, [3.0, -2.0, 0.5])
    rays = camera.rays() * np.where(np.isfinite(depth), depth, np.nan)[..., None]
    found = world_planes(depth, camera, pose)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        np.moveaxis(found, 0, -1), rays @ turn.T + pose[:3, 3], rtol=1e-5, atol=1e-5
    )


def test_extremes_pass_over_what_is_unknown() -> None:
    assert extremes(np.array([[np.nan, 2.0], [-1.0, np.inf]], np.float32)) == (-1.0, np.inf)
    assert np.isnan(extremes(np.full((2, 2), np.nan, np.float32))).all()
