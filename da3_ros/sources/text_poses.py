"""Poses that text files have with a few digits, made exact where they are some."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import nearest_rotation
from da3_ros.geometry.se3 import rigid

DEVIATION = 0.02
"""How far text of a few digits may be from a rotation; what is further off is none."""

_LARGEST_ENTRY = 2.0
_LAST_ROW = 1e-6


def exact_poses(matrices: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return matrices as poses (N, 4, 4) with exact rotations, and which of them are poses (N,).

    Where one is none (not finite, no rotation, a last row other than 0 0 0 1), the pose is the
    identity.

    Args:
        matrices: (N, 3, 4) or (N, 4, 4).
    """
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(matrices).all(axis=(1, 2)))
    entries = np.where(usable[:, None, None], matrices[:, :3, :3], 0)
    usable &= np.asarray(np.abs(entries).max(axis=(1, 2), initial=0) <= _LARGEST_ENTRY)
    upper = np.where(usable[:, None, None], matrices[:, :3], np.eye(4)[:3])
    rotations = upper[:, :, :3]
    products = rotations @ np.swapaxes(rotations, 1, 2)
    usable &= np.abs(products - np.eye(3)).max(axis=(1, 2), initial=0) <= DEVIATION
    usable &= np.linalg.det(rotations) > 0
    if matrices.shape[1] == 4:
        with np.errstate(invalid='ignore'):
            usable &= np.abs(matrices[:, 3] - (0, 0, 0, 1)).max(axis=1, initial=0) <= _LAST_ROW
    upper = np.where(usable[:, None, None], upper, np.eye(4)[:3])
    return rigid(nearest_rotation(upper[:, :, :3]), upper[:, :, 3]), usable
