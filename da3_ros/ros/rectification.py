"""Lens distortion undone: images of a real lens to images of an ideal pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.message_fields import CameraInfoFields
from da3_ros.types import ColourImage, Mask

# Names: sensor_msgs/distortion_models.hpp, with the numbers of coefficients OpenCV knows for them.
# The two polynomials are one series, in which those left out are zero: image_geometry gives
# either to the same function.
_POLYNOMIAL = (4, 5, 8, 12, 14)
_COEFFICIENTS = {
    'plumb_bob': _POLYNOMIAL,
    'rational_polynomial': _POLYNOMIAL,
    'equidistant': (4,),
}
_SHOWN = 14
_FAR_PX = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Rectifier:
    """Where every pixel of a rectified image comes from; made once per calibration."""

    camera: PinholeCamera
    """The ideal camera of the rectified image."""
    valid: Mask | None
    """(H, W), False where the source image shows nothing; None when it covers everything."""
    _across: NDArray[np.int16]
    _weights: NDArray[np.uint16]

    def apply(self, image: ColourImage) -> ColourImage:
        """Return the rectified image; black where the source shows nothing."""
        done = cv2.remap(image, self._across, self._weights, cv2.INTER_LINEAR)
        return np.asarray(done, dtype=np.uint8)


def make_rectifier(
    info: CameraInfoFields, raw: PinholeCamera, target: PinholeCamera, source: str
) -> Rectifier:
    """Return what takes images of `raw`, distorted as `info` says, to those of `target`.

    Args:
        info: model and coefficients of the distortion.
        raw: K and size of the distorted image.
        target: K and size of the rectified image; it may be a part of the view.
        source: who sent it, for error messages.

    Raises:
        FieldError: a model that is not known, or coefficients that do not fit it or leave
            nothing of the image.
    """
    model, coefficients = _model(info, source)
    make = _fisheye_maps if model == 'equidistant' else _polynomial_maps
    columns, rows = (_bounded(places) for places in make(raw.K, coefficients, target))
    valid = _shown(columns, rows, raw.size, raw.K, target)
    if not valid.any():
        raise FieldError(
            source, 'd', f'with {coefficients.tolist()} nothing is left of the image; dropped'
        )
    across, weights = cv2.convertMaps(columns, rows, cv2.CV_16SC2)
    return Rectifier(
        camera=target,
        valid=None if valid.all() else valid,
        _across=np.asarray(across, dtype=np.int16),
        _weights=np.asarray(weights, dtype=np.uint16),
    )


def _model(info: CameraInfoFields, source: str) -> tuple[str, FloatArray]:
    """Return the name and the coefficients of the distortion, as many as OpenCV takes."""
    model = str(info.distortion_model)
    given = np.array(info.d, dtype=np.float64)
    if model not in _COEFFICIENTS:
        raise FieldError(
            source,
            'distortion_model',
            f'rectify knows {", ".join(_COEFFICIENTS)}, got {model[:40]!r}; dropped. Rectify '
            'upstream, or set rectify to false and take the error',
        )
    # Some drivers fill up with zeros (five numbers for a fisheye lens), others leave them out.
    significant = np.trim_zeros(given, 'b')
    counts = [n for n in _COEFFICIENTS[model] if n >= len(significant)]
    if len(given) >= _COEFFICIENTS[model][0] and counts and np.isfinite(given).all():
        return model, np.pad(significant, (0, counts[0] - len(significant)))
    numbers = ' or '.join(map(str, _COEFFICIENTS[model]))
    shown = f'{given[:_SHOWN].tolist()}{" and more" if len(given) > _SHOWN else ""}'
    raise FieldError(
        source,
        'd',
        f'expected {numbers} numbers for {model}, got {len(given)}: {shown}; dropped',
    )


_Map = NDArray[np.float32]


def _polynomial_maps(
    K: FloatArray, coefficients: FloatArray, target: PinholeCamera
) -> tuple[_Map, _Map]:
    size = (target.size.width, target.size.height)
    columns, rows = cv2.initUndistortRectifyMap(
        K, coefficients, np.eye(3), target.K, size, cv2.CV_32FC1
    )
    return np.asarray(columns, np.float32), np.asarray(rows, np.float32)


def _fisheye_maps(
    K: FloatArray, coefficients: FloatArray, target: PinholeCamera
) -> tuple[_Map, _Map]:
    size = (target.size.width, target.size.height)
    columns, rows = cv2.fisheye.initUndistortRectifyMap(
        K, coefficients, np.eye(3), target.K, size, cv2.CV_32FC1
    )
    return np.asarray(columns, np.float32), np.asarray(rows, np.float32)


def _bounded(places: _Map) -> _Map:
    """Return coordinates that are numbers; those of no pixel lie far outside."""
    finite = np.nan_to_num(places, nan=-_FAR_PX, posinf=_FAR_PX, neginf=-_FAR_PX)
    return np.asarray(np.clip(finite, -_FAR_PX, _FAR_PX), np.float32)


def _shown(
    columns: _Map, rows: _Map, raw_size: ImageSize, K: FloatArray, target: PinholeCamera
) -> Mask:
    """Return for every target pixel (H, W) whether the source image shows it.

    Far outside the calibrated part a polynomial turns back and would show a second, folded copy
    of the image: there the map's orientation changes sign, or it leads across the centre.
    """
    inside = (columns >= 0) & (columns <= raw_size.width - 1)
    inside &= (rows >= 0) & (rows <= raw_size.height - 1)
    if min(columns.shape) < 2:
        return np.asarray(inside)
    across_v, across_u = np.gradient(columns)
    down_v, down_u = np.gradient(rows)
    unfolded = across_u * down_v - across_v * down_u > 0
    rays = target.rays()
    outward = rays[..., 0] * (columns - K[0, 2]) + rays[..., 1] * (rows - K[1, 2])
    return np.asarray(inside & unfolded & (outward >= -1.0))
