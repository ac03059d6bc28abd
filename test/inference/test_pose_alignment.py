"""Given cameras are laid over predicted ones, whatever their number and arrangement."""

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.geometry.se3 import invert, rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.inference.pose_alignment import align_poses
from tools.parity.goldens import load_golden

TRUTH = Sim3(2.5, Rotation.from_rotvec([0.3, -1.0, 0.7]).as_matrix(), np.array([4.0, -2.0, 1.0]))


@pytest.mark.parametrize('count', [3, 5, 9, 12])
def test_similarity_agrees_with_the_reference(count: int) -> None:
    golden = load_golden('unit__umeyama')
    key = f'n{count}__'
    alignment = align_poses(golden[f'{key}ref'], golden[f'{key}est'])
    assert alignment.method == ('ransac' if count >= 10 else 'umeyama')
    similarity = alignment.predicted_from_input
    assert similarity.scale == pytest.approx(float(golden[f'{key}s']), rel=1e-5)
    np.testing.assert_allclose(similarity.rotation, golden[f'{key}r'], atol=1e-5)
    np.testing.assert_allclose(similarity.translation, golden[f'{key}t'], atol=1e-4)
    np.testing.assert_allclose(alignment.aligned_extrinsics, golden[f'{key}aligned'], atol=1e-4)


def cameras(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return world_from_camera with given centres and random orientations."""
    return rigid(Rotation.random(len(centres), rng=4).as_matrix(), centres)


def align_exact(centres: NDArray[np.float64]) -> tuple[str, Sim3, float]:
    given = cameras(centres)
    predicted = TRUTH.apply_to_pose(given)
    alignment = align_poses(
        invert(predicted)[:, :3].astype(np.float32), invert(given).astype(np.float32)
    )
    error = np.abs(alignment.aligned_extrinsics - invert(predicted)).max()
    return alignment.method, alignment.predicted_from_input, float(error)


LINE = np.outer(np.arange(4.0), [1.0, 0.5, -0.2]) + np.array([3.0, 1.0, 2.0])


@pytest.mark.parametrize('centres', [LINE[:2], LINE, LINE + 1e-7, np.repeat(LINE[:2], 6, axis=0)])
def test_two_or_collinear_cameras_still_tell_everything(centres: NDArray[np.float64]) -> None:
    method, similarity, error = align_exact(centres)
    assert method == 'orientations'
    assert similarity.scale == pytest.approx(TRUTH.scale, rel=1e-5)
    np.testing.assert_allclose(similarity.rotation, TRUTH.rotation, atol=1e-5)
    assert error < 1e-4


@pytest.mark.parametrize('count', [1, 2, 12])
def test_cameras_in_one_place_tell_no_scale(count: int) -> None:
    method, similarity, error = align_exact(np.tile([3.0, 1.0, 2.0], (count, 1)))
    assert method == 'orientations_unit_scale'
    assert similarity.scale == 1.0
    np.testing.assert_allclose(similarity.rotation, TRUTH.rotation, atol=1e-5)
    assert error < 1e-4


def test_a_predicted_standstill_tells_no_scale() -> None:
    given = invert(cameras(LINE)).astype(np.float32)
    alignment = align_poses(np.tile(np.eye(4, dtype=np.float32)[:3], (4, 1, 1)), given)
    assert alignment.method == 'orientations_unit_scale'
    assert alignment.predicted_from_input.scale == 1.0


def test_one_wild_camera_of_twelve_is_ignored(rng: np.random.Generator) -> None:
    given = cameras(rng.normal(size=(12, 3)))
    predicted = TRUTH.apply_to_pose(given)
    predicted[5, :3, 3] += 100
    alignment = align_poses(
        invert(predicted)[:, :3].astype(np.float32), invert(given).astype(np.float32)
    )
    assert alignment.method == 'ransac'
    assert alignment.predicted_from_input.scale == pytest.approx(TRUTH.scale, rel=1e-4)
