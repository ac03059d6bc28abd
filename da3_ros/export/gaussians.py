"""Gaussians of a scene, as exporters and the splat renderer read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError

Float32Array = NDArray[np.float32]

_HARMONICS = (1, 4, 9, 16)
"""How many there are, by degree."""


@dataclass(frozen=True, slots=True, eq=False)
class GaussianCloud:
    """One Gaussian per pixel of V views, view by view and row by row; P = V * H * W.

    Source: Kerbl et al., "3D Gaussian Splatting" (2023), section 4: an anisotropic Gaussian has a
    mean, a covariance R diag(scales)^2 R^T, an opacity and spherical harmonics of colour.

    Raises:
        ExportError: on construction, when the arrays do not fit one another.
    """

    means: Float32Array
    """(P, 3) world units, in the world of the scene's cameras."""
    scales: Float32Array
    """(P, 3) standard deviations along the Gaussian's own axes, world units, > 0."""
    rotations_wxyz: Float32Array
    """(P, 4) unit quaternions, world_from_gaussian."""
    harmonics: Float32Array
    """(P, 3, D) colour coefficients per channel in the world's axes, D = (degree + 1)^2, in the
    order and normalisation of 3D Gaussian Splatting; colour = 0.5 + sum of coefficients times
    basis."""
    opacities: Float32Array
    """(P,) in 0..1."""
    grid: tuple[int, int, int]
    """(V, H, W) of the views that they come from."""

    def __post_init__(self) -> None:
        """Check the shapes."""
        count = int(np.prod(self.grid))
        wanted = {
            'means': (count, 3),
            'scales': (count, 3),
            'rotations_wxyz': (count, 4),
            'opacities': (count,),
            'harmonics': (count, 3, self.harmonics.shape[-1] if self.harmonics.ndim else 0),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ExportError(
                    f'Gaussians: expected {name} of shape {shape}, got {getattr(self, name).shape}'
                )
        if self.harmonics.shape[-1] not in _HARMONICS:
            raise ExportError(
                f'Gaussians: expected 1, 4, 9 or 16 harmonics, got {self.harmonics.shape[-1]}'
            )

    @property
    def degree(self) -> int:
        """Of the harmonics, 0..3."""
        return _HARMONICS.index(self.harmonics.shape[-1])

    def usable(self) -> NDArray[np.bool_]:
        """Return which Gaussians (P,) have finite numbers throughout, and a rotation."""
        found = np.isfinite(self.opacities) & (self.rotations_wxyz != 0).any(axis=1)
        for array in (self.means, self.scales, self.rotations_wxyz):
            found &= np.isfinite(array).all(axis=1)
        return np.asarray(found & np.isfinite(self.harmonics).all(axis=(1, 2)))
