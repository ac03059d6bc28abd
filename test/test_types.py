"""What is known of poses beforehand, as it travels with the images."""

from __future__ import annotations

import numpy as np
import pytest

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.notes import Note, joined
from da3_ros.types import FrameSet, PosePrior, Window
from helpers.stream_builders import frame


def at(x: float) -> FloatArray:
    return rigid(np.eye(3), [x, 0.0, 0.0])


def set_of(stamp_ns: int, prior: PosePrior | None, *cameras: str) -> FrameSet:
    return FrameSet(stamp_ns, tuple(frame(c, stamp_ns) for c in cameras), prior=prior)


def window(*sets: FrameSet) -> Window:
    return Window(0, sets, 1)


def test_odometry_of_all_views_comes_in_their_order() -> None:
    both = PosePrior(odometry_from_camera={'right': at(2.0), 'left': at(1.0)})
    one = PosePrior(odometry_from_camera={'left': at(3.0)})
    known = window(set_of(1, both, 'left', 'right'), set_of(2, one, 'left')).known_poses()
    assert (known.kind, known.odometry_views, known.notes) == ('odometry', 3, ())
    assert known.frame_from_camera is not None
    np.testing.assert_array_equal(known.frame_from_camera[:, 0, 3], [1.0, 2.0, 3.0])


def test_the_rig_alone_serves_views_of_one_instant() -> None:
    rig = PosePrior({'left': at(1.0), 'right': at(2.0)})
    known = window(set_of(1, rig, 'left', 'right')).known_poses()
    assert known.kind == 'rig'
    assert known.frame_from_camera is not None
    two = window(set_of(1, rig, 'left'), set_of(2, rig, 'left')).known_poses()
    assert (two.frame_from_camera, two.kind, two.notes) == (None, 'none', ())


def test_without_any_prior_nothing_is_known_and_nothing_missed() -> None:
    known = window(set_of(1, None, 'left'), set_of(2, None, 'left')).known_poses()
    assert (known.frame_from_camera, known.odometry_views, known.notes) == (None, 0, ())


@pytest.mark.parametrize(
    'bad', [np.full((4, 4), np.nan), np.zeros((4, 4)), 2 * np.eye(4), np.diag([1.0, 1, -1, 1])]
)
def test_one_bad_or_missing_pose_is_said_and_spoils_nothing(bad: FloatArray) -> None:
    good = PosePrior(odometry_from_camera={'left': at(1.0)})
    broken = PosePrior(odometry_from_camera={'left': bad})
    gone = PosePrior(notes=(Note('transform_missing', 'odom to base_link: a gap'),))
    known = window(set_of(1, good, 'left'), set_of(2, broken, 'left')).known_poses()
    assert (known.frame_from_camera, known.odometry_views) == (None, 1)
    (note,) = known.notes
    assert (note.code, note.text) == ('odometry_incomplete', 'no odometry for 1 of 2 views')
    assert note.numbers == {'missing': 1, 'views': 2}
    known = window(set_of(1, good, 'left'), set_of(2, gone, 'left')).known_poses()
    assert joined(known.notes) == 'no odometry for 1 of 2 views: odom to base_link: a gap'
    assert PosePrior({'left': bad}).base_from_camera == {}


def test_views_that_are_turned_in_their_cameras_turn_both_kinds() -> None:
    turn = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    notes = (Note('transform_missing', 'a note'),)
    prior = PosePrior({'left': at(1.0), 'right': at(2.0)}, {'left': at(3.0)}, notes)
    turned = prior.of_views({'left': turn})
    np.testing.assert_array_equal(turned.base_from_camera['left'], at(1.0) @ turn)
    np.testing.assert_array_equal(turned.base_from_camera['right'], at(2.0))
    np.testing.assert_array_equal(turned.odometry_from_camera['left'], at(3.0) @ turn)
    assert turned.notes == notes
