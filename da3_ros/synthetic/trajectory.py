"""How the robot moves: one closed loop through the room, smooth in every derivative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import rotation_from_rpy
from da3_ros.geometry.se3 import rigid

START_NS = 1_700_000_000_000_000_000
"""Stamp of the first instant of every synthetic recording, ns."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A walk around an ellipse, looking ahead, with the sway of a legged robot.

    The position repeats after `period_s`; stamps before the start continue the loop backwards.
    """

    half_axes_m: tuple[float, float] = (3.0, 2.2)
    """Half axes of the ellipse along world x and y."""
    height_m: float = 0.3
    """Mean height of the base above the floor."""
    period_s: float = 40.0
    """Time for one loop."""
    start_angle_rad: float = 0.0
    """Angle on the ellipse at START_NS."""
    sway_m: float = 0.02
    """Amplitude of the base's height."""
    sway_rad: float = 0.02
    """Amplitude of roll and pitch."""

    def world_from_base(self, stamp_ns: int) -> FloatArray:
        """Return the pose (4, 4) of the base (x forward, y left, z up) at a stamp."""
        # Reduced to one period as integers, so that late stamps lose no precision.
        period_ns = round(self.period_s * 1e9)
        turn = 2 * np.pi * ((stamp_ns - START_NS) % period_ns) / period_ns
        angle = turn + self.start_angle_rad
        a, b = self.half_axes_m
        position = [
            a * np.cos(angle),
            b * np.sin(angle),
            self.height_m + self.sway_m * np.sin(11 * turn),
        ]
        yaw = np.arctan2(b * np.cos(angle), -a * np.sin(angle))
        pitch = self.sway_rad * np.sin(7 * turn)
        roll = self.sway_rad * np.sin(9 * turn)
        return rigid(rotation_from_rpy([roll, pitch, yaw]), position)
