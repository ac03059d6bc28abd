"""Similarity transforms: x_a = scale * rotation @ x_b + translation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray, as_float
from da3_ros.geometry.rotation import require_rotation
from da3_ros.geometry.se3 import rigid


@dataclass(frozen=True, slots=True, eq=False)
class Sim3:
    """A similarity a_from_b. The product of two is their composition.

    Raises:
        GeometryError: on construction, when the scale is not positive or the rotation improper.
    """

    scale: float
    """Length in frame a of one unit of frame b; > 0."""
    rotation: FloatArray
    """(3, 3), proper."""
    translation: FloatArray
    """(3,), in units of frame a."""

    def __post_init__(self) -> None:
        """Check and freeze the parts."""
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise GeometryError(f'Sim3: expected a positive finite scale, got {self.scale}')
        rotation = require_rotation('Sim3 rotation', self.rotation).copy()
        translation = as_float('Sim3 translation', self.translation, (3,)).copy()
        rotation.flags.writeable = False
        translation.flags.writeable = False
        object.__setattr__(self, 'scale', float(self.scale))
        object.__setattr__(self, 'rotation', rotation)
        object.__setattr__(self, 'translation', translation)

    @staticmethod
    def identity() -> Sim3:
        """Return the similarity that changes nothing."""
        return Sim3(1.0, np.eye(3), np.zeros(3))

    @staticmethod
    def from_rigid(a_from_b: ArrayLike) -> Sim3:
        """Return the similarity with scale 1 of a rigid transform (4, 4)."""
        matrix = as_float('a_from_b', a_from_b, (4, 4))
        return Sim3(1.0, matrix[:3, :3], matrix[:3, 3])

    def __matmul__(self, other: Sim3) -> Sim3:
        """Return a_from_c of self = a_from_b and other = b_from_c."""
        return Sim3(
            self.scale * other.scale,
            self.rotation @ other.rotation,
            self.apply(other.translation),
        )

    def inverse(self) -> Sim3:
        """Return b_from_a."""
        rotation = self.rotation.T
        return Sim3(1.0 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def apply(self, points_b: ArrayLike) -> FloatArray:
        """Return points (..., 3) of frame b in frame a."""
        points = np.asarray(points_b, dtype=np.float64)
        return np.asarray(self.scale * (points @ self.rotation.T) + self.translation)

    def apply_to_pose(self, b_from_camera: ArrayLike) -> FloatArray:
        """Return the rigid a_from_camera (..., 4, 4) of rigid poses b_from_camera.

        The camera frame keeps its own unit: depths seen by it must be multiplied by `scale`.
        """
        pose = np.asarray(b_from_camera, dtype=np.float64)
        return rigid(self.rotation @ pose[..., :3, :3], self.apply(pose[..., :3, 3]))
