"""Real spherical harmonics up to degree 3, as 3D Gaussian Splatting orders and signs them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MAX_DEGREE = 3

_C0 = math.sqrt(1 / (4 * math.pi))
_C1 = math.sqrt(3 / (4 * math.pi))
_C2 = (math.sqrt(15 / (4 * math.pi)), math.sqrt(5 / (16 * math.pi)))
_C3 = (
    math.sqrt(35 / (32 * math.pi)),
    math.sqrt(105 / (4 * math.pi)),
    math.sqrt(21 / (32 * math.pi)),
    math.sqrt(7 / (16 * math.pi)),
)


def harmonic_basis(directions: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the basis functions (P, (degree + 1)^2) at unit directions (P, 3).

    Within a degree the order m rises from -degree to degree; odd m carry the sign of Condon and
    Shortley.

    Source: Kerbl et al., "3D Gaussian Splatting" (2023), for the order; any table of real
    spherical harmonics in Cartesian form.
    """
    x, y, z = directions.T
    functions = [np.full_like(x, _C0)]
    if degree >= 1:
        functions += [-_C1 * y, _C1 * z, -_C1 * x]
    if degree >= 2:
        functions += [
            _C2[0] * x * y,
            -_C2[0] * y * z,
            _C2[1] * (3 * z * z - 1),
            -_C2[0] * x * z,
            _C2[0] / 2 * (x * x - y * y),
        ]
    if degree >= 3:
        functions += [
            -_C3[0] * y * (3 * x * x - y * y),
            _C3[1] * x * y * z,
            -_C3[2] * y * (5 * z * z - 1),
            _C3[3] * z * (5 * z * z - 3),
            -_C3[2] * x * (5 * z * z - 1),
            _C3[1] / 2 * z * (x * x - y * y),
            -_C3[0] * x * (x * x - 3 * y * y),
        ]
    return np.stack(functions, axis=1)
