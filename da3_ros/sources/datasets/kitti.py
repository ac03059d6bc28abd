"""Sequences of the KITTI odometry benchmark: rectified stereo pairs of a car.

`sequences/NN/` has `image_0` to `image_3` (grey left and right, colour left and right) with
images by number, `calib.txt` and `times.txt`; `poses/NN.txt` beside `sequences` has the truth of
sequences 00 to 10: the left grey camera in the frame that it had at the beginning.

`Pi` of `calib.txt` is K [I | t] of camera i, t in the frame of camera 0; the first pixel's centre
is taken to be at (0, 0), which the description does not say. The body is at camera 0, with the
axes of any body.

Source: readme.txt of the odometry development kit; Geiger et al., "Are we ready for autonomous
driving?", 2012.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import re

import numpy as np

from da3_ros.errors import Da3Error, SourceError
from da3_ros.foreign import plain_line, plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame, in_order
from da3_ros.sources.datasets.file_lists import names_in
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.images import read_header
from da3_ros.sources.lenses import OpenCvLens
from da3_ros.sources.text_rows import LeftOut, numbers, rows
from da3_ros.sources.trajectory_files import read_kitti, read_times
from da3_ros.types import RigCalibration

CAMERAS = ('image_0', 'image_1', 'image_2', 'image_3')

_NUMBER = re.compile(r'[0-9]{1,9}(?=\.(?:png|jpg|jpeg)\Z)')
_STEP_NS = 100_000_000


def is_it(path: Path) -> bool:
    """Return whether a folder is a sequence, or has some."""
    return bool(_sequences(path))


def read(path: Path) -> Dataset:
    """Open a sequence.

    Args:
        path: of the sequence, or of a folder that has one.

    Raises:
        SourceError: it has several, or none of its images can be used.
    """
    folder = _only(path)
    notes: list[Note] = []
    files = {camera: _images(folder / camera) for camera in CAMERAS}
    files = {camera: found for camera, found in files.items() if found}
    if not files:
        raise SourceError(f'{plain_path(folder)}: expected images in image_0 to image_3')
    stamps = _stamps(folder, max(max(found) for found in files.values()), notes)
    _say_gaps(files, len(stamps), notes)
    projections = _projections(folder / 'calib.txt', notes)
    lenses = _lenses(files, projections, notes)
    offsets = {camera: _first_from_camera(projections[camera]) for camera in lenses}
    truth = _truth(folder, stamps, notes)
    of_stamp = {pose.stamp_ns: pose.world_from_base for pose in truth}
    frames = [
        DatasetFrame(
            camera, stamp, file, lenses.get(camera),
            _pose(of_stamp.get(stamp), offsets.get(camera)), None,
        )
        for camera, found in files.items()
        for stamp, file in ((stamps[i], file) for i, file in found.items() if i < len(stamps))
    ]  # fmt: skip
    if not frames:
        raise SourceError(f'{plain_path(folder)}: expected images that times.txt has a stamp for')
    return Dataset(
        folder.resolve().name,
        'kitti',
        tuple(files),
        in_order(frames, tuple(files), notes),
        truth,
        CAMERAS[0] if truth else '',
        RigCalibration({name: BODY_FROM_OPTICAL @ pose for name, pose in offsets.items()}),
        tuple(notes),
        is_stamped=(folder / 'times.txt').is_file(),
    )


def _pose(first: FloatArray | None, offset: FloatArray | None) -> FloatArray | None:
    return None if first is None or offset is None else first @ offset


def _sequences(path: Path) -> list[Path]:
    """Return the sequences that a folder is or holds, by name."""
    for inner in (path, path / 'sequences'):
        candidates = [inner] if (inner / 'calib.txt').is_file() else sorted(inner.glob('[0-9]*'))
        found = [folder for folder in candidates if _is_sequence(folder)]
        if found:
            return found
    return []


def _is_sequence(path: Path) -> bool:
    has_images = any((path / camera).is_dir() for camera in CAMERAS)
    return has_images and (path / 'calib.txt').is_file()


def _only(path: Path) -> Path:
    found = _sequences(path)
    if len(found) != 1:
        names = ', '.join(folder.name for folder in found)
        raise SourceError(
            f'KITTI dataset {plain_path(path)}: expected one sequence, it has {names or "none"}; '
            'name the folder of one'
        )
    return found[0]


def _images(folder: Path) -> dict[int, Path]:
    """Return the images of a camera by their number, growing."""
    if not folder.is_dir():
        return {}
    found = {
        int(match.group()): folder / name
        for name in names_in(folder)
        if (match := _NUMBER.match(name)) is not None
    }
    return dict(sorted(found.items()))


def _stamps(folder: Path, last: int, notes: list[Note]) -> list[int]:
    path = folder / 'times.txt'
    if path.is_file():
        return read_times(path)
    text = 'there is no times.txt: image i is put at i / 10 s, the rate of the cameras'
    notes.append(Note('dataset_stamps', text))
    return [number * _STEP_NS for number in range(last + 1)]


def _say_gaps(files: Mapping[str, Mapping[int, Path]], count: int, notes: list[Note]) -> None:
    for camera, found in files.items():
        beyond = sum(number >= count for number in found)
        if beyond:
            text = f'{camera}: {beyond} images are left out, times.txt has {count} stamps'
            notes.append(Note('dataset_stamps', text, {'images': beyond}))
        missing = count - (len(found) - beyond)
        if missing:
            text = f'{camera}: {missing} of {count} images are missing'
            notes.append(Note('dataset_files_missing', text, {'files': missing}))


def _projections(path: Path, notes: list[Note]) -> dict[str, FloatArray]:
    """Return P (3, 4) by camera."""
    left_out = LeftOut(path)
    found: dict[str, FloatArray] = {}
    for number, text in rows(path, left_out):
        name, _, values = text.partition(':')
        if not re.fullmatch('P[0-3]', name):
            continue
        try:
            matrix = np.array(numbers(values.split()))
            if matrix.shape != (12,) or not np.isfinite(matrix).all():
                raise ValueError(f'expected 12 finite numbers, got {plain_line(values, 60)!r}')
            found.setdefault(f'image_{name[1]}', matrix.reshape(3, 4))
        except ValueError as error:
            left_out.add(number, str(error))
    if left_out.count:
        numbers_of = {'lines': float(left_out.count)}
        notes.append(Note('dataset_lines_left_out', left_out.said(), numbers_of))
    return found


def _lenses(
    files: Mapping[str, Mapping[int, Path]],
    projections: Mapping[str, FloatArray],
    notes: list[Note],
) -> dict[str, OpenCvLens]:
    lenses = {}
    for camera, found in files.items():
        lens = _lens(next(iter(found.values())), projections.get(camera))
        if isinstance(lens, str):
            text = f'{camera}: intrinsics are not known: {lens}'
            notes.append(Note('dataset_calibration', text))
        else:
            lenses[camera] = lens
    return lenses


def _lens(first: Path, projection: FloatArray | None) -> OpenCvLens | str:
    """Return the lens of a camera, or why it is not known."""
    if projection is None:
        return 'calib.txt has no P of it'
    try:
        size = read_header(first).stored_size
        return OpenCvLens(PinholeCamera(projection[:, :3], size))
    except Da3Error as error:
        return str(error)


def _first_from_camera(projection: FloatArray) -> FloatArray:
    """Return the pose (4, 4) of a camera in the frame of camera 0."""
    offset = np.linalg.solve(projection[:, :3], projection[:, 3])
    return rigid(np.eye(3), -offset)


def _truth(folder: Path, stamps: list[int], notes: list[Note]) -> tuple[StampedPose, ...]:
    folder = folder.resolve()
    name = f'{folder.name}.txt'
    places = (folder.parent.parent / 'poses' / name, folder / 'poses.txt', folder / name)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        notes.append(Note('dataset_truth_missing', f'there is no poses/{name}'))
        return ()
    try:
        found = read_kitti(path, stamps)
    except SourceError as error:
        notes.append(Note('dataset_truth_missing', str(error)))
        return ()
    notes += found.notes
    return found.poses


KIND = Kind('kitti', 'calib.txt and image_0 to image_3 of sequences/NN', is_it, read)
