"""Trajectories as text in the layout of the KITTI odometry benchmark.

A line is the upper three rows of the pose of a frame in the world, row by row, sorted by stamp,
and nothing else: the layout has no stamps and no comments. Stamps are in a file beside it, one a
line, in seconds with all nine decimals; what a reader has to know is in `kitti/caution.txt`.

`kitti/base.txt` and `kitti/base_times.txt` are the robot's base (absent when the scene does not
know it); `kitti/camera_<name>.txt` is the optical frame of each camera, which is what the
benchmark compares. Its world is the first frame of camera 0; here it is the scene's.

Source: readme.txt of the KITTI odometry development kit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, require_world
from da3_ros.export.tum import stamp_text, trajectories
from da3_ros.geometry.trajectory import StampedPose

OWNED: tuple[str, ...] = ('kitti/base*.txt', 'kitti/camera_*.txt', 'kitti/caution.txt')

_CAUTION = 'kitti/caution.txt'


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return two files for the base, when it is known, two per camera, and a caution."""
    names = [f'{name}{part}' for name in trajectories(scene) for part in ('', '_times')]
    return (*(f'kitti/{name}.txt' for name in names), *([_CAUTION] if scene.comment else []))


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the trajectories; there are no points in them, so return 0.

    Raises:
        ExportError: nobody knows where the views stand.
    """
    require_world(scene)
    if scene.comment:
        (folder / _CAUTION).write_text(f'{scene.comment}\n', encoding='ascii')
    found = trajectories(scene)
    for index, (name, poses) in enumerate(found.items()):
        in_order = sorted(poses, key=lambda pose: pose.stamp_ns)
        write_kitti_poses(folder / 'kitti' / f'{name}.txt', in_order)
        write_times(folder / 'kitti' / f'{name}_times.txt', [p.stamp_ns for p in in_order])
        progress((index + 1) / len(found))
    return 0


def write_kitti_poses(file: Path, poses: Iterable[StampedPose]) -> int:
    """Write poses, one a line, and return their number.

    Args:
        file: where to.
        poses: in the order of stamps.
    """
    count = 0
    with file.open('w', encoding='ascii', newline='\n') as stream:
        for pose in poses:
            numbers = pose.world_from_base[:3].ravel().tolist()
            stream.write(' '.join(f'{number:.12g}' for number in numbers) + '\n')
            count += 1
    return count


def write_times(file: Path, stamps_ns: Iterable[int]) -> None:
    """Write stamps in seconds, one a line, as the `times.txt` of a sequence."""
    with file.open('w', encoding='ascii', newline='\n') as stream:
        stream.writelines(f'{stamp_text(stamp)}\n' for stamp in stamps_ns)
