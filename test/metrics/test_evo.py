"""Absolute and relative errors equal those of evo, the usual tool (GPL-3, imported here alone)."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.metrics.alignment import ALIGNMENTS, Alignment
from da3_ros.metrics.pose_pairs import Delta
from da3_ros.metrics.summary import ErrorSummary
from da3_ros.metrics.trajectory import PoseErrors, absolute_errors, aligned, relative_errors

pytest.importorskip('evo', reason='evo is not installed; it needs Python 3.11')

from evo.core import metrics
from evo.core.trajectory import PosePath3D
from evo.core.units import Unit

POSES = 60
TO_EVO = {'frames': Unit.frames, 'm': Unit.meters}
RELATIONS = (
    metrics.PoseRelation.translation_part,
    metrics.PoseRelation.rotation_angle_rad,
)


def trajectories(seed: int) -> tuple[FloatArray, FloatArray]:
    """Return a random walk, and what an estimator in another frame and unit makes of it."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(scale=0.3, size=(POSES, 3)) + np.array([0.2, 0, 0])
    rotations = Rotation.from_rotvec(np.cumsum(rng.normal(scale=0.2, size=(POSES, 3)), axis=0))
    truth = rigid(rotations.as_matrix(), np.cumsum(steps, axis=0))
    off = Rotation.from_rotvec(rng.normal(scale=0.1, size=(POSES, 3)))
    gauge = Rotation.from_rotvec(rng.normal(size=3))
    places = 0.4 * gauge.apply(truth[:, :3, 3]) + rng.normal(scale=0.05, size=(POSES, 3)) + 3
    return truth, rigid((gauge * rotations * off).as_matrix(), places)


def of_evo(
    truth: FloatArray, estimate: FloatArray, alignment: Alignment
) -> tuple[PosePath3D, PosePath3D]:
    """Return both as evo has them, the estimate aligned by evo."""
    reference, path = (PosePath3D(poses_se3=[*poses]) for poses in (truth, estimate))
    path = copy.deepcopy(path)
    if alignment != 'none':
        path.align(
            reference,
            correct_scale=alignment == 'sim3',
            correct_only_scale=alignment == 'scale',
        )
    return reference, path


def assert_equal(ours: ErrorSummary, theirs: dict[str, float]) -> None:
    for name in ('rmse', 'mean', 'median', 'std', 'min', 'max'):
        # Angles near zero are roundings of numbers around one.
        assert getattr(ours, name) == pytest.approx(theirs[name], rel=1e-9, abs=1e-12), name


def summaries(errors: PoseErrors) -> tuple[ErrorSummary, ErrorSummary]:
    return errors.translation_summary, errors.rotation_summary_rad


@pytest.mark.parametrize('alignment', ALIGNMENTS)
@pytest.mark.parametrize('seed', range(3))
def test_absolute_errors(alignment: Alignment, seed: int) -> None:
    truth, estimate = trajectories(seed)
    ours = summaries(absolute_errors(aligned(estimate, truth, alignment)))
    for summary, relation in zip(ours, RELATIONS, strict=True):
        theirs = metrics.APE(relation)
        theirs.process_data(of_evo(truth, estimate, alignment))
        assert_equal(summary, theirs.get_all_statistics())


@pytest.mark.parametrize('alignment', ALIGNMENTS)
@pytest.mark.parametrize('is_consecutive', [False, True])
@pytest.mark.parametrize(('value', 'unit'), [(1, 'frames'), (7, 'frames'), (0.8, 'm'), (3.0, 'm')])
def test_relative_errors(
    alignment: Alignment, is_consecutive: bool, value: float, unit: str
) -> None:
    truth, estimate = trajectories(5)
    # A robot that stands for a while: several poses are equally far.
    truth[20:25, :3, 3] = truth[20, :3, 3]
    delta = Delta(value, 'm' if unit == 'm' else 'frames', is_consecutive)
    poses = aligned(estimate, truth, alignment)
    ours = relative_errors(poses, np.arange(POSES), delta)
    for summary, relation in zip(summaries(ours), RELATIONS, strict=True):
        theirs = metrics.RPE(
            relation, value, TO_EVO[unit], all_pairs=not is_consecutive, pairs_from_reference=True
        )
        theirs.process_data(of_evo(truth, estimate, alignment))
        assert summary.count == len(theirs.error) > 3
        np.testing.assert_array_equal(ours.places, theirs.delta_ids)
        assert_equal(summary, theirs.get_all_statistics())
