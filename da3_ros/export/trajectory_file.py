"""The whole trajectory of the robot as one TUM file, beside the scenes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from da3_ros.errors import ExportError
from da3_ros.export.files import resolve_inside, staged
from da3_ros.export.tum import write_poses
from da3_ros.geometry.trajectory import StampedPose

DEFAULT_NAME = 'trajectory.tum'


def save_trajectory(
    export_dir: Path,
    file: str,
    poses: Iterable[StampedPose],
    *,
    is_metric: bool,
    overwrite: bool,
    caution: str = '',
) -> tuple[Path, int]:
    """Write the poses as a TUM file; return its path and their number.

    Args:
        export_dir: folder that nothing leaves.
        file: name relative to it; empty for `trajectory.tum`.
        poses: in the order of stamps.
        is_metric: whether positions are metres; the file says so.
        overwrite: whether a file already there may be replaced.
        caution: what has to be known of the network; ASCII, one line, empty for nothing.

    Raises:
        ExportError: there is no pose, the path leads outside, a file is in the way, or the disk
            refuses. Nothing is left behind then.
    """
    target = resolve_inside(export_dir, file.strip() or DEFAULT_NAME)
    unit = 'metres' if is_metric else 'unit unknown'
    what = f'pose of the base in the world frame (z up), {unit}'
    with staged(target.parent, [target.name], overwrite=overwrite) as folder:
        count = write_poses(folder / target.name, poses, what, caution)
        if not count:
            raise ExportError(
                'trajectory: expected at least one pose, there is none yet; wait for a window'
            )
    return target, count
