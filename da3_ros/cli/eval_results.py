"""Poses of views in a `results.npz`, ours or the official exporter's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_line, plain_path
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.sources.npz_file import read_arrays


@dataclass(frozen=True, slots=True, eq=False)
class ResultPoses:
    """The trajectory of the one camera of a file."""

    poses: tuple[StampedPose, ...]
    """Of the optical frame; pose i at i seconds without stamps."""
    is_stamped: bool
    is_metric: bool
    """False where the file says that it is not; the official one says nothing."""


def result_poses(path: Path) -> ResultPoses:
    """Read the poses of a file.

    Raises:
        SourceError: it cannot be read, has no `extrinsics`, or views of several cameras.
    """
    from da3_ros.sources.results import results_of

    arrays = read_arrays(path)
    if not any(name.startswith(('extrinsics', 'exts')) for name in arrays):
        names = ', '.join(map(plain_line, arrays))
        raise SourceError(f'{plain_path(path)}: expected extrinsics among its arrays, got {names}')
    scene = results_of(arrays, path).scene
    cameras = sorted({view.id.camera for view in scene.views})
    if len(cameras) > 1:
        raise SourceError(
            f'{plain_path(path)}: expected views of one camera, they are of '
            f'{plain_line(", ".join(cameras), 200)}; --export-format tum writes one of each'
        )
    return ResultPoses(
        tuple(StampedPose(view.id.stamp_ns, view.world_from_camera) for view in scene.views),
        any(name.startswith('stamp_ns') for name in arrays),
        scene.is_metric or 'is_metric' not in arrays,
    )
