"""Ways of a camera around a scene, made from the poses of its views.

Distances are in world units, except that `wander` says in pixels how far a point at depth 1 goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from da3_ros.errors import ExportError
from da3_ros.export.gs_pivot import pivot_poses
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid
from da3_ros.options.choices import TrajectoryMode

_STEPS = 8
_LEAST_FRAMES, _MOST_FRAMES, _WANTED_FRAMES = 48, 432, 240
_SMOOTHING_FRAMES = 50
_LONE_FRAMES = 120
_SWAY_PX = 24.0
_WOBBLE_FRAMES, _WOBBLE_SKIP = 30, 3
# Axes that cancel out when averaged (a camera that spins) have no direction.
_DEGENERATE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """Frames of a camera path, all of one image size."""

    poses: FloatArray
    """(F, 4, 4) world_from_camera."""
    matrices: FloatArray
    """(F, 3, 3) K by the pixel-centre rule of `geometry.camera`."""

    def __len__(self) -> int:
        return len(self.poses)

    def part(self, frames: slice) -> _Path:
        return _Path(self.poses[frames], self.matrices[frames])


def trajectory_mode(mode: TrajectoryMode, cameras: int) -> TrajectoryMode:
    """Return the mode that so many cameras allow: a single one cannot be moved along.

    It wanders then, unless it was asked to zoom.
    """
    return 'wander' if cameras < 2 and mode != 'dolly_zoom' else mode


def make_trajectory(
    cameras: Sequence[PosedCamera], mode: TrajectoryMode, size: ImageSize | None = None
) -> tuple[PosedCamera, ...]:
    """Return the cameras of a video's frames.

    original: the given poses. smooth: these without jitter. interpolate: on curves from pose to
    pose, slow at each; interpolate_smooth: these without jitter. extend: the latter, in whose
    middle the camera sways and zooms. wander, dolly_zoom: about the first pose only. wobble,
    wobble_inter: on spirals from every third pose to the third after it.

    Args:
        cameras: at least one; their order is the path.
        mode: replaced by 'wander' for a single camera, except 'dolly_zoom'.
        size: of all pictures; None for that of the first camera. The others see the same as
            before, resampled to it.

    Raises:
        ExportError: no camera, or an unknown mode.
    """
    if not cameras:
        raise ExportError('camera path: expected at least one camera, got none')
    size = size or cameras[0].camera.size
    given = _Path(
        np.stack([camera.world_from_camera for camera in cameras]),
        np.stack([camera.camera.resized(size).K for camera in cameras]),
    )
    mode = trajectory_mode(mode, len(cameras))
    if mode not in _MODES:
        raise ExportError(f'camera path: expected one of {", ".join(_MODES)}, got {mode!r}')
    path = _MODES[mode](given)
    return tuple(
        PosedCamera(pose, PinholeCamera(matrix, size))
        for pose, matrix in zip(path.poses, path.matrices, strict=True)
    )


def interpolation_steps(cameras: int) -> int:
    """Return how many frames lead from one of at least two cameras to the next, both counted."""
    pairs = cameras - 1
    frames = pairs * _STEPS
    if frames > _MOST_FRAMES:
        return max(1, _WANTED_FRAMES // pairs)
    if frames < _LEAST_FRAMES:
        return max(1, _LEAST_FRAMES // pairs)
    return _STEPS


def _interpolated(path: _Path) -> _Path:
    """Return the path with frames between its own; many cameras stay as they are."""
    steps = interpolation_steps(len(path))
    if steps <= 2:
        return path
    # Slow at both ends: half a period of a cosine.
    shares = (np.cos(np.pi * (np.linspace(0, 1, steps) + 1)) + 1) / 2
    poses, matrices = [path.poses[:1]], [path.matrices[:1]]
    for index in range(len(path) - 1):
        later = shares[1:]
        poses.append(pivot_poses(path.poses[index], path.poses[index + 1], later))
        first, second = path.matrices[index], path.matrices[index + 1]
        matrices.append(first + later[:, None, None] * (second - first))
    return _Path(np.concatenate(poses), np.concatenate(matrices))


def _smoothed(path: _Path) -> _Path:
    """Return the path with positions and axes averaged over neighbours by a Gaussian.

    The x axis and the look direction are those of the averaged x and y axes; the y axis is made
    normal to them, so that the poses stay rigid.
    """
    wanted = _SMOOTHING_FRAMES + 1 - _SMOOTHING_FRAMES % 2
    length = min(wanted, len(path) - 1 + len(path) % 2)
    if length < 3:
        return path
    kernel = cv2.getGaussianKernel(length, -1).ravel().astype(np.float64)
    columns = path.poses[:, :3, [0, 1, 3]]
    half = length // 2
    padded = np.pad(columns, [(half, half), (0, 0), (0, 0)], mode='reflect')
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)
    x, y, position = np.moveaxis(windows @ kernel, 2, 0)
    z = np.cross(x, y)
    lengths = [np.linalg.norm(axis, axis=1, keepdims=True) for axis in (x, z)]
    if min(length.min() for length in lengths) < _DEGENERATE:
        return path
    x, z = x / lengths[0], z / lengths[1]
    return _Path(rigid(np.stack([x, np.cross(z, x), z], axis=2), position), path.matrices)


def _interpolated_and_smoothed(path: _Path) -> _Path:
    return _smoothed(_interpolated(path))


def _extended(path: _Path) -> _Path:
    """Return the smooth path with a sway and a zoom in its middle."""
    smooth = _interpolated_and_smoothed(path)
    middle = len(smooth) // 2
    frames = max(36, min(60, middle // 2))
    still = smooth.part(slice(middle, middle + 1))
    return _joined(
        smooth.part(slice(0, middle)),
        _sway(still, frames, _SWAY_PX),
        _zoom(still, frames, focus=10.0, travel=0.1),
        smooth.part(slice(middle, None)),
    )


def _wander(path: _Path) -> _Path:
    return _sway(path.part(slice(0, 1)), _LONE_FRAMES, _SWAY_PX)


def _dolly_zoom(path: _Path) -> _Path:
    return _zoom(path.part(slice(0, 1)), _LONE_FRAMES, focus=30.0, travel=2.0)


def _sway(still: _Path, frames: int, sway_px: float) -> _Path:
    """Return a loop on a tilted ellipse beside a pose, which comes before and after it.

    Args:
        still: the one pose.
        frames: on the ellipse; there are two more.
        sway_px: how far a point at depth 1 moves in the image at most.
    """
    radius = sway_px / still.matrices[0, 0, 0]
    angle = np.linspace(0, 2 * np.pi, frames)
    offsets = np.zeros((frames + 2, 3))
    offsets[1:-1, 0] = -radius * np.sin(angle)
    offsets[1:-1, 1] = offsets[1:-1, 2] = -radius * np.cos(angle) / 3
    return _moved(still, offsets)


def _zoom(still: _Path, frames: int, focus: float, travel: float) -> _Path:
    """Return a path back and forth on which the field of view widens and narrows.

    Args:
        still: the one pose.
        frames: of the path.
        focus: depth that decides how much it widens, world units.
        travel: how far back the path leads, world units.
    """
    back = (1 - np.cos(np.pi * np.linspace(0, 2, frames))) / 2 * travel
    offsets = np.zeros((frames, 3))
    offsets[:, 2] = -back
    moved = _moved(still, offsets)
    matrices = moved.matrices.copy()
    matrices[:, :2, :2] *= np.maximum(focus / (focus + back), 1e-6)[:, None, None]
    return _Path(moved.poses, matrices)


def _wobble(path: _Path) -> _Path:
    """Return turns of a spiral on the path from every third pose to the third after it."""
    skip = min(_WOBBLE_SKIP, len(path) - 1)
    last_start = max(len(path) - _WOBBLE_SKIP, 1)
    shares = np.linspace(0, 1, _WOBBLE_FRAMES)
    circle = np.zeros((_WOBBLE_FRAMES, 3))
    circle[:, 0] = np.sin(2 * np.pi * shares)
    circle[:, 1] = -np.cos(2 * np.pi * shares)
    parts, distances = [], []
    for start in range(0, last_start, _WOBBLE_SKIP):
        first, second = path.poses[start], path.poses[start + skip]
        distances.append(np.linalg.norm(second[:3, 3] - first[:3, 3]))
        radius = 0.5 * np.mean(distances)
        poses = pivot_poses(first, second, shares)
        k_first, k_second = path.matrices[start], path.matrices[start + skip]
        matrices = k_first + shares[:, None, None] * (k_second - k_first)
        parts.append(_Path(poses @ _steps(radius * circle), matrices))
    return _joined(*parts)


def _moved(still: _Path, offsets: FloatArray) -> _Path:
    """Return a pose moved by offsets (F, 3) in its own axes."""
    return _Path(still.poses @ _steps(offsets), np.repeat(still.matrices, len(offsets), axis=0))


def _steps(offsets: FloatArray) -> FloatArray:
    """Return transforms (F, 4, 4) that move by offsets (F, 3) without a turn."""
    return rigid(np.broadcast_to(np.eye(3), (len(offsets), 3, 3)), offsets)


def _joined(*parts: _Path) -> _Path:
    return _Path(
        np.concatenate([part.poses for part in parts]),
        np.concatenate([part.matrices for part in parts]),
    )


_MODES: dict[str, Callable[[_Path], _Path]] = {
    'original': lambda path: path,
    'smooth': _smoothed,
    'interpolate': _interpolated,
    'interpolate_smooth': _interpolated_and_smoothed,
    'extend': _extended,
    'wander': _wander,
    'dolly_zoom': _dolly_zoom,
    'wobble': _wobble,
    'wobble_inter': _wobble,
}
