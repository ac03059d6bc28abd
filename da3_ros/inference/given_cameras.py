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
    given = _numbers('intrinsics', intrinsics, (count, 3, 3))
    has_focal = (given[:, (0, 1), (0, 1)] > 0).all(axis=1)
    if not has_focal.all():
        index = int(has_focal.argmin())
        raise PreprocessError(f'intrinsics of image {index}: focal lengths must be positive')
    pairs = zip(processed.placements, given, strict=True)
    return GivenCameras(poses, np.stack([placement.matrix(K) for placement, K in pairs]))


def _extrinsics(values: ArrayLike, count: int) -> NDArray[np.float32]:
    poses = np.asarray(values)
    rows = 3 if poses.shape[-2:] == (3, 4) else 4
    poses = _numbers('extrinsics', poses, (count, rows, 4))
    rotations = poses[:, :3, :3]
    deviation = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    is_rotation = (deviation <= ROTATION_TOLERANCE) & (np.linalg.det(rotations) > 0)
    if not is_rotation.all():
        index = int(is_rotation.argmin())
        raise PreprocessError(
            f'extrinsics of image {index}: expected a rigid camera_from_world, but the upper left '
            f'3 x 3 part is no rotation: {rotations[index].tolist()}'
        )
    full = np.empty((count, 4, 4), np.float32)
    full[:] = np.eye(4)
    full[:, :3] = poses[:, :3]
    return full


def _numbers(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PreprocessError(f'{name}: expected numbers of shape {shape}: {error}') from error
    if array.shape != shape:
        raise PreprocessError(f'{name}: expected shape {shape}, got {array.shape}')
    if not np.isfinite(array).all():
        index = int(np.argwhere(~np.isfinite(array))[0][0])
        raise PreprocessError(f'{name} of image {index}: expected finite numbers')
    return array
