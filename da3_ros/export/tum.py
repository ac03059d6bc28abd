"""Trajectories as text, one pose a line, as the TUM RGB-D benchmark writes them.

A line is `timestamp tx ty tz qx qy qz qw`: stamp in seconds with all nine decimals, position and
orientation of a frame in the world, sorted by stamp. `tum/base.txt` is the robot's base (absent
when the scene does not know it); `tum/camera_<name>.txt` is the optical frame of each camera.
Still images have no stamps: image i has i seconds.

Source: Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", 2012, file formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, distinct, require_world, safe_name
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.geometry.trajectory import StampedPose

OWNED: tuple[str, ...] = ('tum/base.txt', 'tum/camera_*.txt')

_NS_PER_S = 1_000_000_000


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return one file for the base, when it is known, and one per camera."""
    return tuple(_paths(scene))


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the trajectories; there are no points in them, so return 0.

    Raises:
        ExportError: nobody knows where the views stand.
    """
    require_world(scene)
    paths = _paths(scene)
    for index, (name, poses) in enumerate(paths.items()):
        in_order = sorted(poses, key=lambda pose: pose.stamp_ns)
        write_poses(folder / name, in_order, f'pose in the {scene.world_text}', scene.comment)
        progress((index + 1) / len(paths))
    return 0


def write_poses(file: Path, poses: Iterable[StampedPose], what: str, comment: str = '') -> int:
    """Write poses in the order of stamps and return their number.

    Args:
        file: where to.
        poses: in the order of stamps.
        what: which pose of what in which frame; ASCII.
        comment: what a reader has to know; ASCII, one line, empty for nothing.
    """
    count = 0
    with file.open('w', encoding='ascii', newline='\n') as stream:
        stream.write(f'# timestamp tx ty tz qx qy qz qw\n# {what}\n')
        if comment:
            stream.write(f'# {comment}\n')
        for pose in poses:
            stream.write(_line(pose) + '\n')
            count += 1
    return count


def _line(pose: StampedPose) -> str:
    position = pose.world_from_base[:3, 3]
    quaternion_xyzw = quaternion_xyzw_from_matrix(pose.world_from_base[:3, :3])
    numbers = ' '.join(f'{x:.12g}' for x in (*position, *quaternion_xyzw))
    return f'{stamp_text(pose.stamp_ns)} {numbers}'


def stamp_text(stamp_ns: int) -> str:
    """Return nanoseconds as seconds with nine decimals, exactly."""
    seconds, rest = divmod(abs(stamp_ns), _NS_PER_S)
    return f'{"-" if stamp_ns < 0 else ""}{seconds}.{rest:09d}'


def trajectories(scene: ExportScene) -> dict[str, list[StampedPose]]:
    """Return the poses of the base, where it is known, and of the cameras, by names for files."""
    by_camera: dict[str, list[StampedPose]] = {}
    for view in scene.views:
        pose = StampedPose(view.id.stamp_ns, view.world_from_camera)
        by_camera.setdefault(view.id.camera, []).append(pose)
    names = distinct(f'camera_{safe_name(camera)}' for camera in by_camera)
    paths = {'base': list(scene.base_path)} if scene.base_path else {}
    paths.update(zip(names, by_camera.values(), strict=True))
    return paths


def _paths(scene: ExportScene) -> dict[str, list[StampedPose]]:
    return {f'tum/{name}.txt': poses for name, poses in trajectories(scene).items()}
