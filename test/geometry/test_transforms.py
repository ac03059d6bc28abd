"""Group laws of rotations, rigid and similarity transforms, and what they refuse."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import GeometryError
from da3_ros.geometry import se3
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.frames import BODY_FROM_OPTICAL, GLTF_FROM_BODY
from da3_ros.geometry.rotation import (
    matrix_from_quaternion_xyzw,
    nearest_rotation,
    quaternion_xyzw_from_matrix,
    rotation_angle_rad,
    rotation_from_rpy,
    rotation_vector_rad,
)
from da3_ros.geometry.sim3 import Sim3


def _rotation(rng: np.random.Generator) -> FloatArray:
    return Rotation.random(random_state=int(rng.integers(1 << 31))).as_matrix()


def _sim3(rng: np.random.Generator) -> Sim3:
    return Sim3(float(rng.uniform(0.1, 10)), _rotation(rng), rng.normal(size=3) * 5)


def _rigid(rng: np.random.Generator) -> FloatArray:
    return se3.rigid(_rotation(rng), rng.normal(size=3) * 5)


@pytest.mark.parametrize('seed', range(5))
def test_sim3_is_a_group_that_acts_on_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = _sim3(rng), _sim3(rng), _sim3(rng)
    points = rng.normal(size=(7, 3))
    np.testing.assert_allclose((a @ b).apply(points), a.apply(b.apply(points)), rtol=1e-12)
    left, right = ((a @ b) @ c).apply(points), (a @ (b @ c)).apply(points)
    np.testing.assert_allclose(left, right, rtol=1e-11)
    np.testing.assert_allclose((a @ a.inverse()).apply(points), points, atol=1e-12)
    np.testing.assert_allclose((Sim3.identity() @ a).apply(points), a.apply(points))


@pytest.mark.parametrize('seed', range(5))
def test_sim3_moves_a_pose_as_it_moves_the_points_seen_from_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a_from_b, b_from_camera = _sim3(rng), _rigid(rng)
    in_camera = rng.normal(size=(6, 3))
    expected = a_from_b.apply(se3.transform_points(b_from_camera, in_camera))
    a_from_camera = a_from_b.apply_to_pose(b_from_camera)
    moved = se3.transform_points(a_from_camera, a_from_b.scale * in_camera)
    np.testing.assert_allclose(moved, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('batch', [(), (3,), (2, 3)])
def test_rigid_inverse_undoes_in_every_batch_shape(batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    poses = np.stack([_rigid(rng) for _ in range(int(np.prod(batch)) or 1)]).reshape(*batch, 4, 4)
    product = poses @ se3.invert(poses)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(4), product.shape), atol=1e-12)
    np.testing.assert_array_equal(se3.homogeneous(poses[..., :3, :]), poses)


@pytest.mark.parametrize('angle', [0.0, 1e-9, 1e-3, np.pi / 2, np.pi - 1e-9, np.pi])
def test_quaternions_round_trip_near_identity_and_half_turns(angle: float) -> None:
    matrix = Rotation.from_rotvec(angle * np.array([2, -1, 2]) / 3).as_matrix()
    quaternion = quaternion_xyzw_from_matrix(matrix)
    assert quaternion[3] >= 0
    np.testing.assert_allclose(matrix_from_quaternion_xyzw(quaternion), matrix, atol=1e-12)
    np.testing.assert_allclose(matrix_from_quaternion_xyzw(-3 * quaternion), matrix, atol=1e-12)
    assert rotation_angle_rad(matrix) == pytest.approx(angle, abs=1e-12)


def test_rotations_agree_with_scipy_also_at_half_turns() -> None:
    vectors = np.concatenate(
        [np.eye(3) * np.pi, -np.eye(3) * 3.1, Rotation.random(60, random_state=5).as_rotvec()]
    )
    theirs = Rotation.from_rotvec(vectors)
    matrices = theirs.as_matrix().reshape(6, 11, 3, 3)
    quaternions = quaternion_xyzw_from_matrix(matrices)
    expected = theirs.as_quat(canonical=True).reshape(6, 11, 4)
    half = np.abs(expected[..., 3]) < 1e-9
    np.testing.assert_allclose(quaternions[~half], expected[~half], atol=1e-12)
    np.testing.assert_allclose(np.abs(quaternions[half]), np.abs(expected[half]), atol=1e-12)
    np.testing.assert_allclose(matrix_from_quaternion_xyzw(expected), matrices, atol=1e-12)
    np.testing.assert_allclose(
        rotation_angle_rad(matrices).ravel(), theirs.magnitude(), atol=1e-12
    )
    ours = Rotation.from_rotvec(rotation_vector_rad(matrices).reshape(-1, 3))
    np.testing.assert_allclose((ours * theirs.inv()).magnitude(), 0, atol=1e-12)
    angles = theirs.as_euler('xyz')
    np.testing.assert_allclose(rotation_from_rpy(angles), theirs.as_matrix(), atol=1e-12)


@pytest.mark.parametrize('angle', [0.0, 1e-300, 1e-12, 3.0])
def test_rotation_vectors_of_hardly_any_rotation(angle: float) -> None:
    vector = angle * np.array([0.6, 0.0, 0.8])
    matrix = Rotation.from_rotvec(vector).as_matrix()
    np.testing.assert_allclose(rotation_vector_rad(matrix), vector, rtol=1e-9, atol=1e-300)


def test_roll_pitch_yaw_are_about_fixed_axes_in_this_order() -> None:
    r, p, y = 0.3, -1.1, 2.4
    about_x = [[1, 0, 0], [0, np.cos(r), -np.sin(r)], [0, np.sin(r), np.cos(r)]]
    about_y = [[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]]
    about_z = [[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]]
    expected = np.array(about_z) @ about_y @ about_x
    np.testing.assert_allclose(rotation_from_rpy([r, p, y]), expected, atol=1e-15)
    many = rotation_from_rpy([[[r, p, y]], [[0.0, 0.0, 0.0]]])
    np.testing.assert_allclose(many, [[expected], [np.eye(3)]], atol=1e-15)


def test_quaternion_order_is_x_y_z_w() -> None:
    quarter_turn_about_z = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        quaternion_xyzw_from_matrix(quarter_turn_about_z), [0, 0, half, half], atol=1e-15
    )


def test_seven_numbers_name_a_rigid_transform() -> None:
    half = np.sqrt(0.5)
    a_from_b = se3.rigid_from_xyz_xyzw([1, 2, 3, 0, 0, half, half])
    np.testing.assert_allclose(se3.transform_points(a_from_b, [1, 0, 0]), [1, 3, 3], atol=1e-15)


def test_chordal_mean_of_symmetric_deviations_is_the_centre() -> None:
    centre = _rotation(np.random.default_rng(3))
    tilt = Rotation.from_rotvec([0.2, 0, 0]).as_matrix()
    np.testing.assert_allclose(nearest_rotation(centre @ tilt + centre @ tilt.T), centre)


def test_axis_changes_are_those_of_the_specifications() -> None:
    """REP 103: optical z is forward (body x), y is down. glTF 2.0: y up, z backward."""
    forward_optical, up_optical = [0, 0, 1], [0, -1, 0]
    forward_body = se3.transform_points(BODY_FROM_OPTICAL, forward_optical)
    up_body = se3.transform_points(BODY_FROM_OPTICAL, up_optical)
    np.testing.assert_array_equal(forward_body, [1, 0, 0])
    np.testing.assert_array_equal(up_body, [0, 0, 1])
    np.testing.assert_array_equal(se3.transform_points(GLTF_FROM_BODY, forward_body), [0, 0, -1])
    np.testing.assert_array_equal(se3.transform_points(GLTF_FROM_BODY, up_body), [0, 1, 0])
    assert np.linalg.det(GLTF_FROM_BODY[:3, :3]) == pytest.approx(1)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: Sim3(0.0, np.eye(3), np.zeros(3)), 'positive finite scale'),
        (lambda: Sim3(1.0, np.diag([1.0, 1, -1]), np.zeros(3)), 'expected a rotation'),
        (lambda: Sim3(1.0, np.eye(3), np.full(3, np.nan)), 'finite numbers'),
        (lambda: matrix_from_quaternion_xyzw([0, 0, 0, 0]), 'non-zero'),
        (lambda: nearest_rotation(np.diag([1.0, 0, 0])), 'rank below 2'),
        (lambda: se3.homogeneous(np.eye(3)), r'\(\.\.\., 3, 4\)'),
        (lambda: se3.require_rigid('pose', 2 * np.eye(4)), 'pose .*expected a rotation'),
        (lambda: se3.require_rigid('pose', np.eye(4) + np.eye(4)[[3, 0, 1, 2]] * 0.5), 'pose'),
        (lambda: se3.rigid_from_xyz_xyzw([1, 2, 3]), 'qx'),
    ],
)
def test_improper_values_are_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        make()
