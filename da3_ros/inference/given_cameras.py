"""Known cameras as the caller gives them, checked and brought to the processed images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import PreprocessError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.pixel_rule import cameras_of
from da3_ros.inference.pose_alignment import normalise_extrinsics
from da3_ros.inference.preprocess import ProcessedImages

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ROTATION_TOLERANCE = 0.05
"""Largest deviation of R R^T from the identity, entry by entry."""


@dataclass(frozen=True, slots=True, eq=False)
class GivenCameras:
    """What is known of the cameras of N images."""

    extrinsics: NDArray[np.float32] | None
    """(N, 4, 4) camera_from_world; None if unknown."""

    intrinsics: NDArray[np.float32] | None
    """(N, 3, 3) in pixels of the processed images, first pixel centre at (0.5, 0.5); None if
    unknown."""

    def cameras(self, size: ImageSize) -> list[PinholeCamera] | None:
        """Return the intrinsics by the pixel rule of the rest of the package.

        Args:
            size: Of the processed images.

        Raises:
            GeometryError: A K is none.
        """
        if self.intrinsics is None:
            return None
        return cameras_of(self.intrinsics, size)

    def network_input(self, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        """Return what goes into the network: normalised (1, N, 4, 4), and (1, N, 3, 3)."""
        import torch

        extrinsics = intrinsics = None
        if self.extrinsics is not None:
            normalised = normalise_extrinsics(self.extrinsics)
            extrinsics = torch.from_numpy(normalised)[None].to(device)
        if self.intrinsics is not None:
            intrinsics = torch.from_numpy(self.intrinsics)[None].to(device)
        return extrinsics, intrinsics


def read_cameras(
    processed: ProcessedImages, extrinsics: ArrayLike | None, intrinsics: ArrayLike | None
) -> GivenCameras:
    """Check known cameras and bring them to the processed images.

    Args:
        processed: The N images.
        extrinsics: (N, 4, 4) or (N, 3, 4) camera_from_world; None if unknown.
        intrinsics: (N, 3, 3) in pixels of the original images; None if unknown.

    Raises:
        PreprocessError: They are no cameras; the message gives the image's index.
    """
    count = len(processed.placements)
    poses = None if extrinsics is None else _extrinsics(extrinsics, count)
    if intrinsics is None:
        return GivenCameras(poses, None)
    given = _focal(_numbers('intrinsics', intrinsics, (count, 3, 3)))
    pairs = zip(processed.placements, given, strict=True)
    return GivenCameras(poses, np.stack([placement.matrix(K) for placement, K in pairs]))


def checked_camera(
    index: int, extrinsics: ArrayLike | None, intrinsics: ArrayLike | None
) -> tuple[NDArray[np.float32] | None, NDArray[np.float64] | None]:
    """Check what is known of the camera of one image.

    Args:
        index: Of the image, for messages.
        extrinsics: (4, 4) or (3, 4) camera_from_world; None if unknown.
        intrinsics: (3, 3) in pixels of the original image; None if unknown.

    Returns:
        Extrinsics (4, 4) and intrinsics (3, 3).

    Raises:
        PreprocessError: It is no camera.
    """
    pose = matrix = None
    if extrinsics is not None:
        numbers = _numbers(f'extrinsics of image {index}', extrinsics, (_rows(extrinsics), 4))
        pose = _rigid(numbers[None], index)[0]
    if intrinsics is not None:
        numbers = _numbers(f'intrinsics of image {index}', intrinsics, (3, 3))
        matrix = _focal(numbers[None], index)[0]
    return pose, matrix


def _extrinsics(values: ArrayLike, count: int) -> NDArray[np.float32]:
    return _rigid(_numbers('extrinsics', values, (count, _rows(values), 4)))


def _rows(extrinsics: Any) -> int:
    try:
        return 3 if np.shape(extrinsics)[-2:] == (3, 4) else 4
    except ValueError:
        # Rows of different lengths: whoever makes numbers of them says so.
        return 4


def _rigid(poses: NDArray[np.float64], first: int = 0) -> NDArray[np.float32]:
    """Return poses (N, 3 or 4, 4) as (N, 4, 4); `first` is the index of the first image."""
    _check_finite('extrinsics', poses, first)
    rotations = poses[:, :3, :3]
    deviation = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    is_rotation = (deviation <= ROTATION_TOLERANCE) & (np.linalg.det(rotations) > 0)
    if not is_rotation.all():
        index = int(is_rotation.argmin())
        raise PreprocessError(
            f'extrinsics of image {first + index}: expected a rigid camera_from_world, but the '
            f'upper left 3 x 3 part is no rotation: {rotations[index].tolist()}'
        )
    full = np.empty((len(poses), 4, 4), np.float32)
    full[:] = np.eye(4)
    full[:, :3] = poses[:, :3]
    return full


def _focal(matrices: NDArray[np.float64], first: int = 0) -> NDArray[np.float64]:
    """Return intrinsics (N, 3, 3) that are some; `first` is the index of the first image."""
    _check_finite('intrinsics', matrices, first)
    has_focal = (matrices[:, (0, 1), (0, 1)] > 0).all(axis=1)
    if not has_focal.all():
        index = first + int(has_focal.argmin())
        raise PreprocessError(f'intrinsics of image {index}: focal lengths must be positive')
    return matrices


def _numbers(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PreprocessError(f'{name}: expected numbers of shape {shape}: {error}') from error
    if array.shape != shape:
        raise PreprocessError(f'{name}: expected shape {shape}, got {array.shape}')
    return array


def _check_finite(name: str, array: NDArray[np.float64], first: int) -> None:
    if not np.isfinite(array).all():
        index = first + int(np.argwhere(~np.isfinite(array))[0][0])
        raise PreprocessError(f'{name} of image {index}: expected finite numbers')
