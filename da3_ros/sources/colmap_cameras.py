"""Cameras as COLMAP names them, and what its distortions do to a ray.

COLMAP puts the centre of the first pixel at (0.5, 0.5); so do `ColmapCamera.params` and the pixels
that `project` returns.

Source: COLMAP documentation, "Camera Models", and the definitions that it refers to: Zhang (1999)
for the polynomial ones, Kannala and Brandt (2006) for fisheye, Devernay and Faugeras (2001) for
FOV, Fitzgibbon (2001) for division, Khomutenko et al. (2016) for EUCM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from da3_ros.errors import SourceError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera

_Distortion = Callable[[FloatArray, FloatArray, tuple[float, ...]], tuple[FloatArray, FloatArray]]
"""x / z, y / z and coefficients to the same after the lens."""

_TINY = 1e-12


def _ideal(x: FloatArray, y: FloatArray, _: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    return x, y


def _radial(x: FloatArray, y: FloatArray, k: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    factor = _polynomial(x * x + y * y, k)
    return x * factor, y * factor


def _opencv(x: FloatArray, y: FloatArray, k: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    k1, k2, p1, p2 = k
    factor = _polynomial(x * x + y * y, (k1, k2))
    shift_x, shift_y = _tangential(x, y, p1, p2)
    return x * factor + shift_x, y * factor + shift_y


def _full_opencv(
    x: FloatArray, y: FloatArray, k: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    k1, k2, p1, p2, k3, k4, k5, k6 = k
    r2 = x * x + y * y
    factor = _polynomial(r2, (k1, k2, k3)) / _polynomial(r2, (k4, k5, k6))
    shift_x, shift_y = _tangential(x, y, p1, p2)
    return x * factor + shift_x, y * factor + shift_y


def _fisheye(x: FloatArray, y: FloatArray, k: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    x, y = _by_angle(x, y)
    return _radial(x, y, k)


def _thin_prism_fisheye(
    x: FloatArray, y: FloatArray, k: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    k1, k2, p1, p2, k3, k4, sx, sy = k
    x, y = _by_angle(x, y)
    r2 = x * x + y * y
    factor = _polynomial(r2, (k1, k2, k3, k4))
    shift_x, shift_y = _tangential(x, y, p1, p2)
    return x * factor + shift_x + sx * r2, y * factor + shift_y + sy * r2


def _rad_tan_thin_prism_fisheye(
    x: FloatArray, y: FloatArray, k: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    radial, (p0, p1), (s0, s1, s2, s3) = k[:6], k[6:8], k[8:]
    x, y = _radial(*_by_angle(x, y), radial)
    r2 = x * x + y * y
    # Its p0 belongs to x, other than in the models above.
    shift_x, shift_y = _tangential(x, y, p1, p0)
    return x + shift_x + s0 * r2 + s1 * r2**2, y + shift_y + s2 * r2 + s3 * r2**2


def _fov(x: FloatArray, y: FloatArray, k: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    (omega,) = k
    radius = np.hypot(x, y)
    slope = 2 * np.tan(omega / 2)
    safe = np.maximum(radius, _TINY)
    factor = np.where(radius > _TINY, np.arctan(safe * slope) / safe, slope) / omega
    return x * factor, y * factor


def _division(x: FloatArray, y: FloatArray, k: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    root = 1 - 4 * k[0] * (x * x + y * y)
    factor = 2 / (1 + np.sqrt(np.where(root >= 0, root, np.nan)))
    return x * factor, y * factor


def _eucm(x: FloatArray, y: FloatArray, k: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    alpha, beta = k
    factor = 1 / (alpha * np.sqrt(beta * (x * x + y * y) + 1) + 1 - alpha)
    return x * factor, y * factor


def _polynomial(r2: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    factor, power = np.ones_like(r2), np.ones_like(r2)
    for coefficient in coefficients:
        power = power * r2
        factor = factor + coefficient * power
    return factor


def _tangential(
    x: FloatArray, y: FloatArray, p1: float, p2: float
) -> tuple[FloatArray, FloatArray]:
    r2 = x * x + y * y
    shift_x = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    shift_y = 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
    return shift_x, shift_y


def _by_angle(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the direction with the angle to the axis, in radians, as its length."""
    radius = np.hypot(x, y)
    safe = np.maximum(radius, _TINY)
    factor = np.where(radius > _TINY, np.arctan(safe) / safe, 1.0)
    return x * factor, y * factor


@dataclass(frozen=True, slots=True)
class CameraModel:
    """One of COLMAP's camera models."""

    number: int
    """In binary files."""
    focals: int
    """1 for f, 2 for fx and fy; cx and cy follow, then the coefficients."""
    coefficients: int
    distort: _Distortion
    is_angular: bool = False
    """Whether coefficients of 0 are still no pinhole."""

    @property
    def params(self) -> int:
        """How many numbers a camera of this model has."""
        return self.focals + 2 + self.coefficients


MODELS: dict[str, CameraModel] = {
    'SIMPLE_PINHOLE': CameraModel(0, 1, 0, _ideal),
    'PINHOLE': CameraModel(1, 2, 0, _ideal),
    'SIMPLE_RADIAL': CameraModel(2, 1, 1, _radial),
    'RADIAL': CameraModel(3, 1, 2, _radial),
    'OPENCV': CameraModel(4, 2, 4, _opencv),
    'OPENCV_FISHEYE': CameraModel(5, 2, 4, _fisheye, is_angular=True),
    'FULL_OPENCV': CameraModel(6, 2, 8, _full_opencv),
    'FOV': CameraModel(7, 2, 1, _fov, is_angular=True),
    'SIMPLE_RADIAL_FISHEYE': CameraModel(8, 1, 1, _fisheye, is_angular=True),
    'RADIAL_FISHEYE': CameraModel(9, 1, 2, _fisheye, is_angular=True),
    'THIN_PRISM_FISHEYE': CameraModel(10, 2, 8, _thin_prism_fisheye, is_angular=True),
    'RAD_TAN_THIN_PRISM_FISHEYE': CameraModel(
        11, 2, 12, _rad_tan_thin_prism_fisheye, is_angular=True
    ),
    'SIMPLE_DIVISION': CameraModel(12, 1, 1, _division),
    'DIVISION': CameraModel(13, 2, 1, _division),
    'SIMPLE_FISHEYE': CameraModel(14, 1, 0, _fisheye, is_angular=True),
    'FISHEYE': CameraModel(15, 2, 0, _fisheye, is_angular=True),
    'EUCM': CameraModel(16, 2, 2, _eucm, is_angular=True),
}
"""All models with one centre and less than half the world in view."""

NAMES: dict[int, str] = {model.number: name for name, model in MODELS.items()}
"""Model names by their number in binary files."""


@dataclass(frozen=True, slots=True)
class ColmapCamera:
    """A camera of a COLMAP model.

    Raises:
        SourceError: on construction, when the model is not known or the numbers do not fit it.
    """

    camera_id: int
    model: str
    """One of `MODELS`."""
    size: ImageSize
    params: tuple[float, ...]
    """In the model's order, pixels; the first pixel's centre at (0.5, 0.5)."""

    def __post_init__(self) -> None:
        """Check model and numbers."""
        if self.model not in MODELS:
            raise SourceError(
                f'camera {self.camera_id}: the camera model {self.model} cannot be turned into a '
                f'pinhole image; known are {", ".join(MODELS)}'
            )
        expected = MODELS[self.model].params
        sound = len(self.params) == expected and bool(np.isfinite(self.params).all())
        if not sound or min(self.params[: MODELS[self.model].focals]) <= 0:
            raise SourceError(
                f'camera {self.camera_id}: expected {expected} finite numbers for {self.model}, '
                f'focal lengths above 0, got {list(self.params)}'
            )

    @property
    def described(self) -> str:
        """Number and model, for messages."""
        return f'camera {self.camera_id} ({self.model})'

    @property
    def pinhole(self) -> PinholeCamera:
        """The ideal camera with the same focal lengths and centre."""
        focals = MODELS[self.model].focals
        fx, fy = self.params[0], self.params[focals - 1]
        cx, cy = self.params[focals : focals + 2]
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
        return PinholeCamera.from_corner_origin(matrix, self.size)

    @property
    def coefficients(self) -> tuple[float, ...]:
        """The numbers of the distortion."""
        return self.params[MODELS[self.model].focals + 2 :]

    @property
    def is_distorted(self) -> bool:
        """Whether its images differ from those of a pinhole camera."""
        return MODELS[self.model].is_angular or any(self.coefficients)

    def project(self, rays: FloatArray) -> FloatArray:
        """Return where rays (..., 2), as x / z and y / z, meet the image, (..., 2) pixels.

        The first pixel's centre is at (0, 0). NaN where the lens shows no such ray.
        """
        with np.errstate(all='ignore'):
            x, y = MODELS[self.model].distort(rays[..., 0], rays[..., 1], self.coefficients)
        (fx, _, cx), (_, fy, cy), _ = self.pinhole.K.tolist()
        return np.stack([fx * x + cx, fy * y + cy], axis=-1)

    def resized(self, size: ImageSize) -> ColmapCamera:
        """Return the camera of the same image at another size."""
        across, down = size.width / self.size.width, size.height / self.size.height
        focals = MODELS[self.model].focals
        if focals == 1:
            # Rounding of the sides to whole pixels makes the two differ a little.
            focal_scales: tuple[float, ...] = ((across + down) / 2,)
        else:
            focal_scales = (across, down)
        scales = (*focal_scales, across, down, *[1.0] * len(self.coefficients))
        params = tuple(p * s for p, s in zip(self.params, scales, strict=True))
        return ColmapCamera(self.camera_id, self.model, size, params)
