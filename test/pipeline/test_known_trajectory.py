"""Known poses between their stamps, compared with SciPy."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.pipeline.known_trajectory import KnownTrajectory
from da3_ros.types import RigCalibration
from helpers.stream_builders import frame_set

SECOND_NS = 1_000_000_000
STAMPS_NS = (*(SECOND_NS + n * 100_000_000 for n in range(6)), 9 * SECOND_NS)


def poses() -> tuple[
    list[StampedPose], Rotation, np.ndarray[tuple[int, int], np.dtype[np.float64]]
]:
    rng = np.random.default_rng(3)
    turns = Rotation.random(len(STAMPS_NS), random_state=rng)
    places = rng.normal(size=(len(STAMPS_NS), 3))
    made = [
        StampedPose(stamp, rigid(turn, place))
        for stamp, turn, place in zip(STAMPS_NS, turns.as_matrix(), places, strict=True)
    ]
    return made, turns, places


def test_between_stamps_it_is_the_shortest_arc() -> None:
    made, turns, places = poses()
    known = KnownTrajectory(made, RigCalibration())
    slerp = Slerp(STAMPS_NS, turns)
    for stamp_ns in (STAMPS_NS[0], STAMPS_NS[0] + 1, STAMPS_NS[2] + 33_000_000, STAMPS_NS[5]):
        found = known.pose_at(stamp_ns)
        assert found is not None
        np.testing.assert_allclose(found[:3, :3], slerp(stamp_ns).as_matrix(), atol=1e-9)
        expected = [np.interp(stamp_ns, STAMPS_NS, places[:, axis]) for axis in range(3)]
        np.testing.assert_allclose(found[:3, 3], expected, atol=1e-9)


def test_outside_and_in_pauses_nothing_is_known_and_that_is_counted() -> None:
    known = KnownTrajectory(poses()[0], RigCalibration())
    for stamp_ns in (STAMPS_NS[0] - 1, STAMPS_NS[5] + 1, STAMPS_NS[6] + 1):
        assert known.pose_at(stamp_ns) is None
        prior = known.prior_of(frame_set(['camera'], stamp_ns))
        assert prior.notes
        assert not prior.odometry_from_camera
    assert known.missing == 3


def test_cameras_of_a_rig_stand_on_the_base() -> None:
    mount = rigid(Rotation.from_euler('z', 0.3).as_matrix(), [0.1, 0.2, 0.3])
    made, _, _ = poses()
    known = KnownTrajectory(made, RigCalibration({'left': mount}))
    prior = known.prior_of(frame_set(['left'], STAMPS_NS[1]))
    np.testing.assert_allclose(
        prior.odometry_from_camera['left'], made[1].world_from_base @ mount, atol=1e-12
    )
