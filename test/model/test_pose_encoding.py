"""Cameras survive being encoded and decoded."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch

from da3_ros.model.pose_encoding import (
    decode_cameras,
    encode_cameras,
    invert_rigid,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from tools.parity.goldens import load_golden

SIZE = (80, 120)


def test_encoding_agrees_with_the_reference() -> None:
    golden = load_golden('unit__poseenc')
    extrinsics = torch.from_numpy(golden['w2c'])[None]
    encoding = encode_cameras(extrinsics, torch.from_numpy(golden['K'])[None], SIZE)
    np.testing.assert_allclose(encoding, golden['pose_enc_of_c2w'], rtol=1e-6, atol=1e-6)


def test_decoding_agrees_with_the_reference() -> None:
    golden = load_golden('unit__poseenc')
    encoding = 1.3 * torch.from_numpy(golden['pose_enc_of_c2w'])
    extrinsics, intrinsics = decode_cameras(encoding, SIZE)
    # The reference's function stops at world_from_camera; its network inverts the result.
    expected = golden['decoded_from_1.3x_extrinsics_3x4']
    np.testing.assert_allclose(invert_rigid(extrinsics), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(intrinsics, golden['decoded_from_1.3x_K'], rtol=1e-5)


def test_cameras_with_centred_principal_point_round_trip() -> None:
    rotations = torch.from_numpy(Rotation.random(50, rng=3).as_matrix())
    extrinsics = torch.cat((rotations, torch.randn(50, 3, 1, dtype=torch.float64)), dim=-1)
    intrinsics = torch.tensor([[70.0, 0, 60], [0, 90.0, 40], [0, 0, 1]]).repeat(50, 1, 1)
    decoded, matrices = decode_cameras(encode_cameras(extrinsics, intrinsics, SIZE), SIZE)
    np.testing.assert_allclose(decoded, extrinsics, atol=1e-5)
    np.testing.assert_allclose(matrices, intrinsics, rtol=1e-5)


def test_quaternions_agree_with_scipy_also_at_half_turns() -> None:
    vectors = np.concatenate(
        [np.eye(3) * np.pi, -np.eye(3) * 3.1, Rotation.random(50, rng=5).as_rotvec()]
    )
    rotations = Rotation.from_rotvec(vectors)
    quaternions = quaternion_from_rotation(torch.from_numpy(rotations.as_matrix())).numpy()
    dots = np.abs((quaternions * rotations.as_quat()).sum(axis=1))
    np.testing.assert_allclose(dots, 1, atol=1e-12)
    assert (quaternions[:, 3] >= 0).all()


@pytest.mark.parametrize('length', [0.3, 1.0, 4.0])
def test_rotation_does_not_depend_on_the_quaternions_length(length: float) -> None:
    rotations = Rotation.random(20, rng=1)
    got = rotation_from_quaternion(torch.from_numpy(length * rotations.as_quat()))
    np.testing.assert_allclose(got, rotations.as_matrix(), atol=1e-12)


@pytest.mark.parametrize('rows', [3, 4])
def test_inverting_twice_changes_nothing(rows: int) -> None:
    transform = torch.eye(4, dtype=torch.float64)
    transform[:3, :3] = torch.from_numpy(Rotation.random(rng=2).as_matrix())
    transform[:3, 3] = torch.tensor([1.0, -2.0, 3.0])
    transform = transform[:rows]
    assert torch.allclose(invert_rigid(invert_rigid(transform)), transform)
