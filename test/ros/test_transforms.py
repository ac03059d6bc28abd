"""The tree of fixed joints against transforms written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('tf2_msgs')
from da3_ros.errors import GeometryError
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.ros.geometry_messages import transform_message
from da3_ros.ros.transforms import StaticTransforms

pytestmark = pytest.mark.ros
HALF = float(np.sqrt(0.5))
QUARTER_TURN = rigid(matrix_from_quaternion_xyzw([0, 0, HALF, HALF]), [1.0, 0.0, 0.0])


def shift(x: float) -> np.ndarray[Any, Any]:
    return rigid(np.eye(3), [x, 0.0, 0.0])


def tree(*joints: tuple[str, str, np.ndarray[Any, Any]]) -> StaticTransforms:
    transforms = StaticTransforms()
    for parent, child, pose in joints:
        transforms.add(transform_message(pose, 0, parent, child))
    return transforms


def test_chains_multiply_from_the_base_to_the_optical_frame() -> None:
    found = tree(('base', 'mount', QUARTER_TURN), ('mount', 'optical', shift(2.0))).lookup(
        'base', 'optical'
    )
    assert found is not None
    # Two metres along the mount's x, which is the base's y.
    np.testing.assert_allclose(found[:3, 3], [1.0, 2.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(found[:3, 0], [0.0, 1.0, 0.0], atol=1e-12)


def test_frames_meet_at_their_common_ancestor() -> None:
    transforms = tree(
        ('footprint', 'base', shift(5.0)),
        ('footprint', 'mast', shift(1.0)),
        ('mast', 'optical', QUARTER_TURN),
    )
    found = transforms.lookup('base', 'optical')
    assert found is not None
    np.testing.assert_allclose(found[:3, 3], [-3.0, 0.0, 0.0], atol=1e-12)
    back = transforms.lookup('optical', 'base')
    assert back is not None
    np.testing.assert_allclose(back @ found, np.eye(4), atol=1e-12)


def test_frames_that_nothing_connects_are_unknown() -> None:
    transforms = tree(('base', 'mount', shift(1.0)), ('other', 'optical', shift(1.0)))
    assert transforms.lookup('base', 'optical') is None
    assert transforms.lookup('base', 'nowhere') is None


def test_a_frame_is_itself_and_slashes_do_not_matter() -> None:
    found = tree(('/base', '/optical', shift(3.0))).lookup('base', '/optical')
    assert found is not None
    np.testing.assert_allclose(found[0, 3], 3.0)
    same = tree().lookup('base', 'base')
    assert same is not None
    np.testing.assert_array_equal(same, np.eye(4))


def test_a_newer_joint_replaces_an_older_one_and_loops_end() -> None:
    transforms = tree(('base', 'optical', shift(1.0)), ('base', 'optical', shift(2.0)))
    found = transforms.lookup('base', 'optical')
    assert found is not None
    np.testing.assert_allclose(found[0, 3], 2.0)
    assert tree(('a', 'b', shift(1.0)), ('b', 'a', shift(1.0))).lookup('base', 'a') is None


def test_a_joint_without_rotation_is_refused() -> None:
    joint = transform_message(shift(1.0), 0, 'base', 'optical')
    joint.transform.rotation.w = 0.0
    with pytest.raises(GeometryError, match='quaternion'):
        StaticTransforms().add(joint)
