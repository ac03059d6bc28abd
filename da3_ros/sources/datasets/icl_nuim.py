"""ICL-NUIM sequences as "TUM RGB-D compatible PNGs".

`associations.txt` lists `number depth number rgb`; a `*.gt.freiburg` has the pose of every number
in the layout of TUM, and may be without that of the first image. There are no stamps: image i is
at i / 30 s, the rate that the sequences were rendered at. Depth is along the axis, 5000 to the
metre.

The poses are those of a renderer with y up, left-handed, whose focal length along y is negative;
the images have their first row on top. Mirrored in y, world and camera alike, they are poses of
the camera that these images are of, with +480 px. First pixel's centre at (0, 0): 319.5 and 239.5
are the middle of 640x480.

Source: Handa et al., "A Benchmark for RGB-D Visual Odometry, 3D Reconstruction and SLAM", 2014,
and its page; the mirror as in the converter of NVIDIA cuVSLAM (its pull request 135), which
measured odometry against poses with it and without.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame
from da3_ros.sources.datasets.file_lists import inside, listed, notes_of
from da3_ros.sources.datasets.intrinsics import lens_of
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.datasets.tum import DEPTH
from da3_ros.sources.images import read_header
from da3_ros.sources.lenses import Lens
from da3_ros.sources.text_rows import LeftOut, rows
from da3_ros.sources.trajectory_files import STEP_NS, read_tum

CAMERA = 'rgb'

_LIST = 'associations.txt'
_INTRINSICS = (481.2, 480.0, 319.5, 239.5)
_SIZE = ImageSize(480, 640)
_RATE_HZ = 30
_NS_PER_S = 1_000_000_000
_MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])
_MOST_NUMBER = 10_000_000


def is_it(path: Path) -> bool:
    """Return whether a folder has the layout."""
    if not (path / _LIST).is_file():
        return False
    return not (path / 'rgb.txt').is_file() or _truth_file(path) is not None


def read(path: Path) -> Dataset:
    """Open a sequence.

    Raises:
        SourceError: none of its images is there, or the list cannot be read.
    """
    left_out = LeftOut(path / _LIST)
    images, depths = _associations(path / _LIST, left_out)
    found = listed(path, ((_stamp_ns(number), name) for number, name in images.items()))
    notes = notes_of(found, left_out)
    if not found.files:
        raise SourceError(
            f'{plain_path(path / _LIST)}: expected images, none of the {len(images)} that it '
            'lists is there'
        )
    of_stamp = dict(listed(path, ((_stamp_ns(n), name) for n, name in depths.items())).files)
    without = sum(stamp not in of_stamp for stamp, _ in found.files)
    if without:
        text = f'{without} of {len(found.files)} depth images are missing'
        notes.append(Note('dataset_depth_missing', text, {'images': without}))
    text = f'there are no stamps: image i is put at i / {_RATE_HZ} s'
    notes.append(Note('dataset_stamps', text))
    poses = _truth(path, notes)
    unposed = sum(stamp not in poses for stamp, _ in found.files)
    if poses and unposed:
        text = f'{unposed} of {len(found.files)} images have no true pose'
        notes.append(Note('dataset_truth_missing', text, {'images': unposed}))
    lens = _lens(found.files[0][1], notes)
    frames = tuple(
        DatasetFrame(CAMERA, stamp, file, lens, poses.get(stamp), of_stamp.get(stamp))
        for stamp, file in found.files
    )
    truth = tuple(StampedPose(stamp, pose) for stamp, pose in poses.items())
    return Dataset(
        path.resolve().name,
        'icl_nuim',
        (CAMERA,),
        frames,
        truth,
        CAMERA if truth else '',
        notes=tuple(notes),
        is_stamped=False,
        depth_files=DEPTH,
    )


def _stamp_ns(number: int) -> int:
    return number * _NS_PER_S // _RATE_HZ


def _truth_file(path: Path) -> Path | None:
    return next(iter(sorted(path.glob('*.gt.freiburg'))), None)


def _associations(path: Path, left_out: LeftOut) -> tuple[dict[int, str], dict[int, str]]:
    """Return image and depth by number; which is which is said by the folder's name."""
    images: dict[int, str] = {}
    depths: dict[int, str] = {}
    for line, text in rows(path, left_out):
        if text.startswith('#'):
            continue
        try:
            first, name, second, other = text.split()
            if int(first) != int(second) or not 0 <= int(first) < _MOST_NUMBER:
                raise ValueError('expected one number twice')
            depth, image = (name, other) if 'depth' in name else (other, name)
            images.setdefault(int(first), inside(image))
            depths.setdefault(int(first), inside(depth))
        except ValueError as error:
            left_out.add(line, f'expected "number depth number rgb": {error}')
    return images, depths


def _truth(folder: Path, notes: list[Note]) -> dict[int, FloatArray]:
    """Return true poses by the stamps of their images."""
    path = _truth_file(folder)
    if path is None:
        notes.append(Note('dataset_truth_missing', 'there is no *.gt.freiburg'))
        return {}
    try:
        found = read_tum(path)
    except SourceError as error:
        notes.append(Note('dataset_truth_missing', str(error)))
        return {}
    notes += found.notes
    return {
        _stamp_ns(pose.stamp_ns // STEP_NS): _MIRROR @ pose.world_from_base @ _MIRROR
        for pose in found.poses
    }


def _lens(first: Path, notes: list[Note]) -> Lens | None:
    try:
        return lens_of(_INTRINSICS, _SIZE, read_header(first).stored_size)
    except SourceError as error:
        notes.append(Note('dataset_calibration', str(error)))
        return None


KIND = Kind('icl_nuim', 'associations.txt with a *.gt.freiburg, or without rgb.txt', is_it, read)
