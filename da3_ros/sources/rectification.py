"""Images of a camera with a real lens as images of an ideal one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import SourceError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.sources.lenses import Lens
from da3_ros.types import ColourImage, FloatImage

# Beyond this the rectified image would show less than a sixty-fourth of the view.
_MAX_ZOOM = 8.0
_ZOOM_STEPS = 24
# Places in the image at which the lens is looked at to find the zoom.
_GRID = 64
# Maps of VGA images take 2.5 MB each; a rig has few lenses.
_KEPT = 8


@dataclass(frozen=True, slots=True, eq=False)
class Rectification:
    """Where every pixel of a rectified image comes from; made once per camera."""

    camera: PinholeCamera
    """The ideal camera; the size of the image stays."""
    _columns: NDArray[np.float32]
    _rows: NDArray[np.float32]

    def apply(self, image: ColourImage) -> ColourImage:
        """Return the rectified image (H, W, 3), all of it shown by the source image.

        With an alpha (H, W, 4) of 0 or 255 it has one too: 0 where anything of a pixel is.

        Raises:
            SourceError: the image is not of the camera's size.
        """
        if image.shape[:2] != self._rows.shape:
            raise SourceError(
                f'expected an image of {self._rows.shape}, got {image.shape[:2]} (height, width)'
            )
        done = cv2.remap(
            image, self._columns, self._rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        if done.ndim == 3 and done.shape[2] == 4:
            done[..., 3][done[..., 3] < 255] = 0
        return np.asarray(done, dtype=np.uint8)

    def pick(self, values: FloatImage) -> FloatImage:
        """Return a rectified image of values (H, W), each that of the nearest pixel, never mixed.

        Depth along the axis stays what it is: the ideal camera looks the same way.

        Raises:
            SourceError: the image is not of the camera's size.
        """
        if values.shape != self._rows.shape:
            raise SourceError(
                f'expected values of {self._rows.shape}, got {values.shape} (height, width)'
            )
        done = cv2.remap(
            values, self._columns, self._rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(done, dtype=np.float32)


@lru_cache(maxsize=_KEPT)
def rectification_of(camera: Lens) -> Rectification:
    """Return `rectify` of a lens; those used last are kept."""
    return rectify(camera)


def rectify(camera: Lens) -> Rectification:
    """Return what makes pinhole images of a camera's images.

    The ideal camera keeps the centre and, where the lens shows enough, the focal lengths; they
    grow as far as is needed for an image without empty borders.

    Raises:
        SourceError: the lens shows no usable part of the view.
    """
    ideal = camera.pinhole
    if not _is_covered(camera, _zoomed(ideal, _MAX_ZOOM)):
        raise SourceError(
            f'{camera.described}: its distortion cannot be undone, the coefficients describe no '
            'image'
        )
    zoom = 1.0
    if not _is_covered(camera, ideal):
        low, zoom = 1.0, _MAX_ZOOM
        for _ in range(_ZOOM_STEPS):
            middle = (low + zoom) / 2
            low, zoom = (
                (low, middle) if _is_covered(camera, _zoomed(ideal, middle)) else (middle, zoom)
            )
    target = _zoomed(ideal, zoom)
    places = camera.project(target.rays()[..., :2])
    return Rectification(
        target, places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
    )


def _zoomed(camera: PinholeCamera, zoom: float) -> PinholeCamera:
    return PinholeCamera(camera.K @ np.diag([zoom, zoom, 1.0]), camera.size)


def _is_covered(camera: Lens, target: PinholeCamera) -> bool:
    """Return whether every pixel of the target is in the source image, and only once.

    Far outside the calibrated part a polynomial turns back and would show a second, folded copy
    of the image: there the map's orientation changes sign.
    """
    pixels = _grid(target.size)
    centre = target.K[:2, 2]
    rays = (pixels - centre) / (target.K[0, 0], target.K[1, 1])
    places = camera.project(rays)
    # Half a pixel around the outermost centres still belongs to the image.
    high = (camera.size.width - 0.5, camera.size.height - 0.5)
    if not (np.isfinite(places).all() and (places >= -0.5).all() and (places <= high).all()):
        return False
    down, across = (np.gradient(places, axis=axis) for axis in (0, 1))
    turn = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    # Mirrored at the centre the orientation stays, but places lie on the other side.
    outward = ((places - centre) * rays).sum()
    return bool((turn > 0).all() and outward > 0)


def _grid(size: ImageSize) -> FloatArray:
    """Return pixel centres spread over an image with its border, (n, n, 2)."""
    across = np.linspace(0, size.width - 1, _GRID)
    down = np.linspace(0, size.height - 1, _GRID)
    return np.stack(np.meshgrid(across, down), axis=-1)
