"""Roll, pitch and yaw as people write them for ROS, by the package that ROS has for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.geometry import rotation
from da3_ros.geometry.arrays import FloatArray, as_float
from da3_ros.ros.optional import optional_module


def rotation_from_rpy(rpy_rad: ArrayLike) -> FloatArray:
    """Return the rotation (3, 3) of roll, pitch, yaw (3,) about fixed x, y, z, in this order.

    By tf_transformations where that is installed, else by SciPy; the same to rounding.

    Raises:
        GeometryError: not three finite numbers.

    Source: REP 103, the fixed-axis form, as in a URDF's origin.
    """
    roll, pitch, yaw = as_float('roll, pitch, yaw', rpy_rad, (3,)).tolist()
    tf_transformations = optional_module('tf_transformations')
    if tf_transformations is None:
        return rotation.rotation_from_rpy([roll, pitch, yaw])
    matrix = tf_transformations.euler_matrix(roll, pitch, yaw, axes='sxyz')
    return np.array(matrix, dtype=np.float64)[:3, :3]
