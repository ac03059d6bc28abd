"""Changes of axes between named frame conventions, and nothing else.

Optical: x right, y down, z forward (REP 103, suffix `_optical`; OpenCV). Body: x forward, y left,
z up (REP 103). glTF: x right, y up, z backward (glTF 2.0, section 3.4).
"""

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid


def _frozen(rows: list[list[float]]) -> FloatArray:
    matrix = rigid(np.array(rows), np.zeros(3))
    matrix.flags.writeable = False
    return matrix


BODY_FROM_OPTICAL: FloatArray = _frozen([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""(4, 4): forward = optical z, left = minus optical x, up = minus optical y."""

GLTF_FROM_BODY: FloatArray = _frozen([[0, -1, 0], [0, 0, 1], [-1, 0, 0]])
"""(4, 4): right = minus body y, up = body z, backward = minus body x."""
