"""Scenes and sequences of the RGB-D dataset 7-Scenes.

`seq-NN/` has `frame-NNNNNN.color.png`, `.depth.png` (16 bits, millimetres, 65535 invalid) and
`.pose.txt` (4x4, camera in the world, by KinectFusion). `TrainSplit.txt` and `TestSplit.txt` of a
scene list `sequenceN`, one a line. There are no stamps: frame i is at i / 30 s, the rate of the
Kinect; of several sequences, sequence N begins at N times 1000 s.

The dataset states the default intrinsics of the depth camera, 585 px and (320, 240) of 640x480,
without a rule for pixel centres, for colour too: the two were not calibrated against each other,
and depth is not registered to colour, whose focal length is about 525 px. So a note says.

Source: Shotton et al., "Scene Coordinate Regression Forests", 2013, and the dataset's page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import re

import numpy as np

from da3_ros.errors import SourceError
from da3_ros.foreign import open_regular, plain_line, plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame
from da3_ros.sources.datasets.depth_files import METRES_FROM_MM, DepthFiles
from da3_ros.sources.datasets.file_lists import names_in
from da3_ros.sources.datasets.intrinsics import lens_of
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.images import read_header
from da3_ros.sources.lenses import Lens
from da3_ros.sources.text_poses import exact_poses
from da3_ros.sources.text_rows import LeftOut, rows

CAMERA = 'color'
DEPTH = DepthFiles(METRES_FROM_MM, unknown=(0, 65535))

_IMAGE = re.compile(r'frame-([0-9]{6})\.color\.(?:png|jpg)\Z')
_SEQUENCE = re.compile(r'seq-([0-9]{2,4})\Z')
_LISTED = re.compile(r'(?:sequence|seq-)?0*([0-9]{1,4})\Z')
_INTRINSICS = (585.0, 585.0, 320.0, 240.0)
_SIZE = ImageSize(480, 640)
_NS_PER_S = 1_000_000_000
_RATE_HZ = 30
_BETWEEN_SEQUENCES_S = 1000
_POSE_BYTES = 2000
_POSE_NUMBERS = 16


@dataclass(frozen=True, slots=True)
class _Frame:
    """Files of a frame; pose and depth may be missing."""

    stamp_ns: int
    image: Path
    pose: Path | None
    depth: Path | None


def is_it(path: Path) -> bool:
    """Return whether a path is a sequence, a scene, or a list of sequences in a scene."""
    if path.is_file():
        return path.suffix == '.txt' and bool(_sequences_in(path.parent))
    return _is_sequence(path) or bool(_sequences_in(path))


def read(path: Path) -> Dataset:
    """Open a sequence, all sequences of a scene, or those that a file of a scene lists.

    Raises:
        SourceError: none of its images is there, or the list cannot be read.
    """
    notes: list[Note] = []
    sequences = _sequences(path, notes)
    begins = [number * _BETWEEN_SEQUENCES_S for number in sequences]
    if len(sequences) == 1:
        begins = [0]
    found = [
        frame
        for begin, folder in zip(begins, sequences.values(), strict=True)
        for frame in _frames(folder, begin * _NS_PER_S)
    ]
    if not found:
        raise SourceError(f'{plain_path(path)}: expected frame-000000.color.png, there are none')
    text = f'there are no stamps: frame i is put at i / {_RATE_HZ} s'
    if len(sequences) > 1:
        text += f', sequence N begins at N times {_BETWEEN_SEQUENCES_S} s'
    notes.append(Note('dataset_stamps', text))
    poses = _poses(found, notes)
    without = sum(frame.depth is None for frame in found)
    if without:
        text = f'{without} of {len(found)} frames have no depth image'
        notes.append(Note('dataset_depth_missing', text, {'images': without}))
    lens = _lens(found[0].image, notes)
    truth = tuple(
        StampedPose(frame.stamp_ns, pose)
        for frame, pose in zip(found, poses, strict=True)
        if pose is not None
    )
    return Dataset(
        path.resolve().name,
        '7scenes',
        (CAMERA,),
        tuple(
            DatasetFrame(CAMERA, frame.stamp_ns, frame.image, lens, pose, frame.depth)
            for frame, pose in zip(found, poses, strict=True)
        ),
        truth,
        CAMERA if truth else '',
        notes=tuple(notes),
        is_stamped=False,
        depth_files=DEPTH,
    )


def _is_sequence(path: Path) -> bool:
    return any(_IMAGE.match(name) for name in names_in(path))


def _sequences_in(scene: Path) -> dict[int, Path]:
    """Return the sequences of a scene by their number, growing."""
    found = {
        int(match.group(1)): folder
        for folder in scene.glob('seq-*')
        if (match := _SEQUENCE.match(folder.name)) and folder.is_dir() and _is_sequence(folder)
    }
    return dict(sorted(found.items()))


def _sequences(path: Path, notes: list[Note]) -> dict[int, Path]:
    if not path.is_file():
        return {0: path} if _is_sequence(path) else _sequences_in(path)
    there = _sequences_in(path.parent)
    left_out = LeftOut(path)
    chosen: set[int] = set()
    for line, text in rows(path, left_out):
        match = _LISTED.match(text)
        if match is None or int(match.group(1)) not in there:
            left_out.add(line, f'expected a sequence of the scene, got {plain_line(text, 60)!r}')
        else:
            chosen.add(int(match.group(1)))
    if not chosen:
        raise SourceError(f'{plain_path(path)}: expected sequences; {left_out.said()}')
    if left_out.count:
        numbers = {'lines': float(left_out.count)}
        notes.append(Note('dataset_lines_left_out', left_out.said(), numbers))
    return {number: folder for number, folder in there.items() if number in chosen}


def _frames(folder: Path, begin_ns: int) -> list[_Frame]:
    names = names_in(folder)
    found: dict[int, _Frame] = {}
    there = set(names)
    for name in names:
        match = _IMAGE.match(name)
        if match is None or int(match.group(1)) in found:
            continue
        number, stem = int(match.group(1)), name[: match.end(1)]
        pose, depth = f'{stem}.pose.txt', f'{stem}.depth.png'
        found[number] = _Frame(
            begin_ns + number * _NS_PER_S // _RATE_HZ,
            folder / name,
            folder / pose if pose in there else None,
            folder / depth if depth in there else None,
        )
    return [found[number] for number in sorted(found)]


def _poses(frames: list[_Frame], notes: list[Note]) -> list[FloatArray | None]:
    """Return the poses (4, 4) of frames, made exactly rigid; None where there is none."""
    stored = np.full((len(frames), 4, 4), np.nan)
    for index, frame in enumerate(frames):
        if frame.pose is not None:
            stored[index] = _stored_pose(frame.pose)
    poses, usable = exact_poses(stored)
    missing = sum(frame.pose is None for frame in frames)
    if missing:
        text = f'{missing} of {len(frames)} frames have no pose'
        notes.append(Note('dataset_truth_missing', text, {'images': missing}))
    bad = [i for i in np.flatnonzero(~usable).tolist() if frames[i].pose is not None]
    if bad:
        text = (
            f'{len(bad)} of {len(frames)} poses are none (not finite, no rotation, or no 16 '
            f'numbers), first {plain_path(frames[bad[0]].pose or "")}'
        )
        notes.append(Note('dataset_poses_left_out', text, {'poses': len(bad)}))
    return [pose if ok else None for pose, ok in zip(poses, usable.tolist(), strict=True)]


def _stored_pose(path: Path) -> FloatArray:
    """Return the numbers of a file (4, 4), NaN where it has no sixteen."""
    try:
        with open_regular(path) as file:
            values = [float(text) for text in file.read(_POSE_BYTES).split()]
    except (OSError, ValueError):
        values = []
    if len(values) != _POSE_NUMBERS:
        return np.full((4, 4), np.nan)
    return np.array(values).reshape(4, 4)


def _lens(first: Path, notes: list[Note]) -> Lens | None:
    try:
        lens = lens_of(_INTRINSICS, _SIZE, read_header(first).stored_size)
    except SourceError as error:
        notes.append(Note('dataset_calibration', str(error)))
        return None
    text = (
        'intrinsics are the default ones of the depth camera, which the dataset states for colour '
        'too; depth is not registered to colour, whose focal length is about a tenth shorter'
    )
    notes.append(Note('dataset_calibration', text))
    return lens


KIND = Kind(
    '7scenes',
    'frame-000000.color.png in it or in seq-01, or a file that lists sequences',
    is_it,
    read,
)
