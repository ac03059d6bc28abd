"""`--poses`: a trajectory from a file, at the time of the frames of a stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_path
from da3_ros.pipeline.known_trajectory import KnownTrajectory

if TYPE_CHECKING:
    from da3_ros.cli.stream_reading import StreamSource

_NS_PER_S = 1_000_000_000
_LONGEST_RECORDING_NS = 1_000_000 * _NS_PER_S
"""Stamps below this are seconds since the first frame, where the frames have dates."""


def known_trajectory(path: Path, source: StreamSource) -> tuple[KnownTrajectory, list[str]]:
    """Return the trajectory of a file at the time of the frames, and notes about it.

    Stamps of less than twelve days are taken as seconds since the first frame, where the frames
    have larger ones. Poses without stamps (KITTI) are those of the images, one each.

    Raises:
        SourceError: the file cannot be read, or is not of the time of the frames.
    """
    from da3_ros.sources.trajectory_files import read_trajectory

    found = read_trajectory(path)
    # Stamps that are made up are not used here.
    notes = [note.text for note in found.notes if note.code != 'trajectory_unstamped']
    poses = found.poses
    first_ns, last_ns = source.span_ns
    if not found.is_stamped:
        stamps = source.stamps_ns
        if stamps is None:
            raise SourceError(
                f'--poses {plain_path(path)}: expected stamps, as a TUM file has them: frames of '
                'a video have times, poses of this kind none'
            )
        if len(stamps) != len(poses):
            raise SourceError(
                f'--poses {plain_path(path)}: expected {len(stamps)} poses, one for every image, '
                f'got {len(poses)}'
            )
        poses = tuple(
            replace(pose, stamp_ns=stamp) for pose, stamp in zip(poses, stamps, strict=True)
        )
    elif poses[-1].stamp_ns < _LONGEST_RECORDING_NS < first_ns:
        poses = tuple(replace(pose, stamp_ns=pose.stamp_ns + first_ns) for pose in poses)
        notes.append(f'{plain_path(path)}: stamps are taken as seconds since the first frame')
    known = KnownTrajectory(poses, source.rig)
    known.check_overlap(first_ns, last_ns)
    return known, notes
