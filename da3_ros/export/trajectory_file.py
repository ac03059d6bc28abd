"""The whole trajectory of the robot as one TUM file, beside the scenes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from da3_ros.errors import ExportError
from da3_ros.export.files import resolve_inside, staged
from da3_ros.export.scene import StampedPose
from da3_ros.export.tum import pose_line
from da3_ros.geometry.arrays import FloatArray

DEFAULT_NAME = 'trajectory.tum'


class Posed(Protocol):
    """A pose with its stamp."""

    @property
    def stamp_ns(self) -> int:
        """Nanoseconds."""

    @property
    def world_from_base(self) -> FloatArray:
        """(4, 4)."""


def save_trajectory(
    export_dir: Path,
    file: str,
    poses: Iterable[Posed],
    *,
    is_metric: bool,
    overwrite: bool,
) -> tuple[Path, int]:
    """Write the poses as a TUM file; return its path and their number.

    Args:
        export_dir: folder that nothing leaves.
        file: name relative to it; empty for `trajectory.tum`.
        poses: in the order of stamps.
        is_metric: whether positions are metres; the file says so.
        overwrite: whether a file already there may be replaced.

    Raises:
        ExportError: there is no pose, the path leads outside, a file is in the way, or the disk
            refuses. Nothing is left behind then.
    """
    target = resolve_inside(export_dir, file.strip() or DEFAULT_NAME)
    unit = 'metres' if is_metric else 'unit unknown'
    count = 0
    with staged(target.parent, [target.name], overwrite=overwrite) as folder:
        with (folder / target.name).open('w', encoding='ascii', newline='\n') as stream:
            stream.write('# timestamp tx ty tz qx qy qz qw\n')
            stream.write(f'# pose of the base in the world frame (z up), {unit}\n')
            for pose in poses:
                stream.write(pose_line(StampedPose(pose.stamp_ns, pose.world_from_base)) + '\n')
                count += 1
        if not count:
            raise ExportError(
                'trajectory: expected at least one pose, there is none yet; wait for a window'
            )
    return target, count
