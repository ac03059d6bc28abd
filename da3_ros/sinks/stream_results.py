"""The finished results of a stream: DA3-Streaming's files, ours beside them.

`camera_poses.txt` has 16 numbers a line, world_from_camera (4x4, row by row) in the world of frame
0: its optical frame, x right, y down, z forward. `intrinsic.txt` has fx fy cx cy a line, first
pixel centre at (0.5, 0.5) as the network has it. Where the unit became the metre on the way,
everything before is brought to metres here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene, safe_name
from da3_ros.export.tum import write_poses
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.sinks.stream_cloud import (
    CLOUDS,
    COMBINED,
    cloud_name,
    combine_clouds,
    rescale_cloud,
)
from da3_ros.sinks.stream_folder import StreamCounts, StreamFolder, UnitChange
from da3_ros.sinks.stream_frames import (
    FRAMES,
    RECORD,
    Records,
    StoredViews,
    frame_name,
    network_intrinsics,
    rescale_frame,
)

PER_VIEW_FORMATS = ('depth_png', 'depth_image', 'depth_vis')
"""Formats with a file for every frame."""
FUSED_FORMATS = ('glb', 'ply', 'colmap')
"""Formats that join frames: they get some of a long stream, evenly chosen."""
POSE_FORMATS = ('tum', 'kitti')
"""Formats of poses alone, of every frame."""
STREAM_FORMATS = (*FUSED_FORMATS, *PER_VIEW_FORMATS, *POSE_FORMATS)
"""Formats of which a stream of any length can be written."""
MOST_FUSED = 300
"""Frames that are joined at most."""

POSES, INTRINSICS, POSES_PLY = 'camera_poses.txt', 'intrinsic.txt', 'camera_poses.ply'
SUMMARY, TRAJECTORY = 'stream.json', 'trajectory.tum'
OWNED = (
    f'{FRAMES}/frame_[0-9]*.npz', f'{CLOUDS}/[0-9]*_pcd.ply', 'trajectory_*.tum',
)  # fmt: skip
"""Globs of files that an earlier and longer stream may have left."""
FINAL = 'final'
"""Folder in that of the unfinished run: what is moved into place."""

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Finish:
    """What is written at the end, beside what the windows have left."""

    formats: tuple[str, ...]
    """Of `STREAM_FORMATS`."""
    export: ExportOptions
    save_frames: bool
    """Whether the archives of frames are results."""
    caution: str
    """What has to be known of the network; empty for nothing."""
    summary: Mapping[str, Any]
    """What `stream.json` says beside what is known here."""
    notes: tuple[str, ...] = ()
    """What a user should know, beside the notes of the windows."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Files that are ready to be moved into place."""

    folder: Path
    names: tuple[str, ...]
    """Relative to the folder."""
    points: int
    """Of the clouds together."""
    notes: tuple[str, ...]
    """Everything that a user should know."""


def finish(
    stream: StreamFolder,
    wanted: Finish,
    progress: Callable[[float, str], None] = lambda share, stage: None,
) -> Finished:
    """Make the files of a stream that has come to its end, in a folder of their own.

    It can be done again after having been interrupted.

    Args:
        stream: committed.
        wanted: what is written.
        progress: called with the share done in 0..1 and what is being written.

    Raises:
        ExportError: no frame was placed, or the files cannot be made.
        OSError: the disk refuses.
    """
    counts = stream.counts
    if not counts.frames:
        raise ExportError('no frame was placed: there is nothing to write')
    final = stream.folder / FINAL
    if final.is_dir():
        shutil.rmtree(final)
    for name in (FRAMES, CLOUDS):
        (final / name).mkdir(parents=True)
    records = np.memmap(stream.records_file, RECORD, 'r', shape=(counts.frames,))
    cameras = stream.options.cameras
    progress(0.0, 'frames')
    stored = _frames(stream.folder, final, counts, stream.options.store_every)
    progress(0.3, 'clouds')
    clouds = _clouds(stream.folder, final, counts)
    progress(0.4, 'poses')
    texts = _texts(final, records, counts, cameras, wanted.caution)
    notes = [*wanted.notes, *_notes(counts)]
    exported: list[str] = []
    for formats, places in _shares(wanted.formats, stored, counts.frames):
        if len(places) < counts.frames:
            notes.append(
                f'{", ".join(formats)}: {len(places)} of {counts.frames} frames, evenly chosen'
            )
        scene = _scene(final, records, counts, cameras, places, formats, wanted.caution)
        report = export_scene(
            scene,
            '-'.join(formats),
            final,
            overwrite=True,
            options=wanted.export,
            progress=lambda share, stage: progress(0.4 + 0.6 * share, stage),
        )
        root = final.resolve()
        exported += [path.relative_to(root).as_posix() for path in report.files]
    _write_summary(final / SUMMARY, records, counts, cameras, wanted.summary, notes)
    frames = [frame_name(index) for index in stored] if wanted.save_frames else []
    names = (*texts, SUMMARY, *clouds, *frames, *exported)
    return Finished(final, tuple(dict.fromkeys(names)), counts.points, tuple(notes))


def _factors(changes: Sequence[UnitChange], count: int) -> NDArray[np.float64]:
    """Return for every frame how many of the last units one of its own is."""
    factors = np.ones(count)
    for change in changes:
        factors[: change.frame] *= change.factor
    return factors


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # A file system without hard links.
        shutil.copyfile(source, target)


def _frames(folder: Path, final: Path, counts: StreamCounts, every: int) -> Sequence[int]:
    """Put the archives into the final folder, all in one unit; return their numbers."""
    stored = range(0, counts.frames, every) if every else range(0)
    factors = _factors(counts.changes, counts.frames)
    for index in stored:
        source, target = folder / frame_name(index), final / frame_name(index)
        if factors[index] == 1.0:
            _link(source, target)
        else:
            rescale_frame(source, target, float(factors[index]))
    return stored


def _clouds(folder: Path, final: Path, counts: StreamCounts) -> list[str]:
    names = [cloud_name(number) for number in range(counts.clouds)]
    for number, name in enumerate(names):
        factor = float(np.prod([c.factor for c in counts.changes if number < c.cloud]))
        if factor == 1.0:
            _link(folder / name, final / name)
        else:
            rescale_cloud(folder / name, final / name, factor)
    comment = f'world of frame 0 (x right, y down, z forward), {_unit(counts)}'
    combine_clouds([final / name for name in names], final / COMBINED, [comment])
    return [*names, COMBINED]


def _unit(counts: StreamCounts) -> str:
    return 'metres' if counts.is_metric else 'unit unknown'


def _blocks(
    records: Records, counts: StreamCounts
) -> Iterator[tuple[Records, FloatArray, FloatArray]]:
    """Yield records with their poses in the world of frame 0 and in that of the stream."""
    first = homogeneous(records[0]['pose'])
    frame0_from_world = invert(first)
    factors = _factors(counts.changes, len(records))
    for begin in range(0, len(records), _BLOCK):
        block = records[begin : begin + _BLOCK]
        poses = homogeneous(block['pose'])
        share = factors[begin : begin + _BLOCK, None]
        poses[:, :3, 3] = first[:3, 3] + share * (poses[:, :3, 3] - first[:3, 3])
        yield block, frame0_from_world @ poses, poses


def _texts(
    final: Path,
    records: Records,
    counts: StreamCounts,
    cameras: Sequence[str],
    caution: str,
) -> list[str]:
    """Write what is text, a line for every frame; return the names."""
    with (
        (final / POSES).open('w', encoding='ascii', newline='\n') as poses,
        (final / INTRINSICS).open('w', encoding='ascii', newline='\n') as intrinsics,
        (final / POSES_PLY).open('w', encoding='ascii', newline='\n') as places,
    ):
        places.write(
            f'ply\nformat ascii 1.0\nelement vertex {len(records)}\nproperty float x\n'
            'property float y\nproperty float z\nproperty uchar red\nproperty uchar green\n'
            'property uchar blue\nend_header\n'
        )
        for block, in_frame0, _ in _blocks(records, counts):
            for record, pose in zip(block, in_frame0, strict=True):
                poses.write(_line(pose.ravel()))
                intrinsics.write(_line(network_intrinsics(record)))
                x, y, z = pose[:3, 3]
                places.write(f'{x:.9g} {y:.9g} {z:.9g} 255 0 0\n')
    names = _trajectory_names(cameras)
    what = f'optical frame of the camera in the world frame (z up), {_unit(counts)}'
    for number, name in enumerate(names):
        write_poses(final / name, _stamped(records, counts, number), what, _ascii(caution))
    return [POSES, INTRINSICS, POSES_PLY, *names]


def _trajectory_names(cameras: Sequence[str]) -> list[str]:
    if len(cameras) == 1:
        return [TRAJECTORY]
    return [f'trajectory_{safe_name(camera)}.tum' for camera in cameras]


def _stamped(records: Records, counts: StreamCounts, camera: int) -> Iterator[StampedPose]:
    for block, _, poses in _blocks(records, counts):
        for record, pose in zip(block, poses, strict=True):
            if record['camera'] == camera:
                yield StampedPose(int(record['stamp_ns']), pose)


def _line(numbers: Iterable[float]) -> str:
    return ' '.join(f'{number:.12g}' for number in numbers) + '\n'


def _ascii(text: str) -> str:
    return ExportScene((), is_metric=False, caution=text).comment


def _shares(
    formats: Sequence[str], stored: Sequence[int], frames: int
) -> Iterator[tuple[tuple[str, ...], Sequence[int]]]:
    """Yield formats that are written together, and the frames that they get."""
    fused = tuple(name for name in formats if name in FUSED_FORMATS)
    if fused:
        yield fused, stored[:: -(-len(stored) // MOST_FUSED)]
    per_view = tuple(name for name in formats if name in PER_VIEW_FORMATS)
    if per_view:
        yield per_view, stored
    poses = tuple(name for name in formats if name in POSE_FORMATS)
    if poses:
        yield poses, range(frames)


def _scene(
    final: Path,
    records: Records,
    counts: StreamCounts,
    cameras: tuple[str, ...],
    places: Sequence[int],
    formats: Sequence[str],
    caution: str,
) -> ExportScene:
    """Return some frames as a scene whose views are read when they are asked for."""
    chosen = np.array(records[list(places)])
    factors = _factors(counts.changes, counts.frames)[list(places), None]
    start = records[0]['pose'][:, 3]
    chosen['pose'][:, :, 3] = start + factors * (chosen['pose'][:, :, 3] - start)
    views = StoredViews(final, chosen, places, cameras, has_pixels=formats[0] not in POSE_FORMATS)
    return ExportScene(views, counts.is_metric, caution=caution)


def _notes(counts: StreamCounts) -> list[str]:
    notes = [
        f'the metre was found at frame {change.frame}: all before was brought to it, 1 of its '
        f'units is {change.factor:.4g} m'
        for change in counts.changes
    ]
    # What was said before that is over.
    over = ('became_metric', 'no_metric_source') if notes and counts.is_metric else ()
    for code, (text, windows) in counts.notes.items():
        if code in over:
            continue
        where = '' if windows == counts.windows else f' ({windows} of {counts.windows} windows)'
        notes.append(f'{text}{where}')
    if counts.cut:
        frame, percent, shape, kept = counts.most_cut
        notes.append(
            f'{counts.cut} of {counts.frames} frames are cut, frame {frame} by {percent:.0f} % '
            f'({shape} to {kept}): the images of a window get one shape, and others beside them '
            'have another'
        )
    if counts.lost:
        notes.append(f'{counts.lost} frames have no place: their windows failed')
    return notes


def _write_summary(
    path: Path,
    records: Records,
    counts: StreamCounts,
    cameras: Sequence[str],
    summary: Mapping[str, Any],
    notes: Sequence[str],
) -> None:
    content: dict[str, Any] = {
        **summary,
        'frames': counts.frames,
        'lost_frames': counts.lost,
        'windows': counts.windows,
        'clouds': counts.clouds,
        'points': counts.points,
        'unit': 'm' if counts.is_metric else 'unknown',
        'is_metric': counts.is_metric,
        'scale_sources': counts.scale_sources,
        'unit_changes': [
            {'frame': change.frame, 'factor': change.factor} for change in counts.changes
        ],
        'cameras': list(cameras),
        'notes': list(notes),
        'numbers': records['number'].tolist(),
        'stamps_ns': records['stamp_ns'].tolist(),
    }
    if len(cameras) > 1:
        content['camera_of_frame'] = records['camera'].tolist()
    path.write_text(json.dumps(content) + '\n', encoding='utf-8')
