"""Odometry as wheels and a gyroscope give it: smooth, metric, and drifting."""

from __future__ import annotations

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import rotation_from_rpy
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.world import SyntheticWorld

LENGTH_ERROR = 0.01
"""Share by which odometry overestimates distances: the wheels are smaller than believed."""
YAW_DRIFT_RAD_S = 0.002
"""Drift of the gyroscope."""


def odom_from_base(world: SyntheticWorld, stamp_ns: int) -> FloatArray:
    """Return the pose (4, 4) of the base in the frame of its odometry, which starts at START_NS.

    Over a window of seconds it is right to a percent; over minutes it is not.
    """
    pose = invert(world.world_from_base(START_NS)) @ world.world_from_base(stamp_ns)
    pose[:3, 3] *= 1.0 + LENGTH_ERROR
    angle = YAW_DRIFT_RAD_S * (stamp_ns - START_NS) / 1e9
    return np.asarray(rigid(rotation_from_rpy([0.0, 0.0, angle]), np.zeros(3)) @ pose)
