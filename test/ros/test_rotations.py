"""Roll, pitch and yaw at the ROS boundary: with and without tf_transformations, one rotation."""

from __future__ import annotations

from collections.abc import Iterator
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import GeometryError
from da3_ros.ros.messages.rotations import rotation_from_rpy
from da3_ros.ros.optional import optional_module

# Also where yaw and roll are about the same line.
ANGLES = [*np.random.default_rng(0).uniform(-3.1, 3.1, (20, 3)), (0.4, np.pi / 2, -0.3)]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Look for the package anew in every test."""
    optional_module.cache_clear()
    yield
    optional_module.cache_clear()


def rotated(rpy: object) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return turns about fixed axes one after the other, the first rightmost."""
    roll, pitch, yaw = (np.eye(3)[i] * a for i, a in enumerate(np.asarray(rpy, np.float64)))
    first, second, third = (Rotation.from_rotvec(v) for v in (roll, pitch, yaw))
    return (third * second * first).as_matrix()


@pytest.mark.parametrize('rpy', ANGLES)
def test_without_the_package_it_is_the_turn_about_fixed_axes(
    rpy: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'tf_transformations', None)
    np.testing.assert_allclose(rotation_from_rpy(np.asarray(rpy)), rotated(rpy), atol=1e-12)


@pytest.mark.ros_install('tf_transformations')
@pytest.mark.parametrize('rpy', ANGLES)
def test_with_the_package_it_is_the_same_turn(rpy: object) -> None:
    assert optional_module('tf_transformations') is not None
    np.testing.assert_allclose(rotation_from_rpy(np.asarray(rpy)), rotated(rpy), atol=1e-12)


def test_the_package_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def euler_matrix(*angles: float, axes: str) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        assert (angles, axes) == ((1.0, 2.0, 3.0), 'sxyz')
        return np.arange(16).reshape(4, 4)

    package = SimpleNamespace(euler_matrix=euler_matrix)
    monkeypatch.setitem(sys.modules, 'tf_transformations', package)
    assert rotation_from_rpy([1, 2, 3]).tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]


def test_what_are_no_three_angles_is_refused() -> None:
    for wrong in ([1.0, 2.0], [1.0, 2.0, float('nan')]):
        with pytest.raises(GeometryError, match='roll, pitch, yaw'):
            rotation_from_rpy(wrong)
