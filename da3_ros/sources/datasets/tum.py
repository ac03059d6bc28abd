"""TUM RGB-D sequences, and what others have in the same layout.

`rgb.txt` and `depth.txt` list `timestamp filename`, seconds; `groundtruth.txt` is the optical
frame of the colour camera in the world of the motion capture system. Depth PNGs have 16 bits, 5000
to the metre, 0 unknown, registered to the colour image and scaled already (no factor 1.035 any
more).

Intrinsics: by the folder's name the table "Intrinsic Camera Calibration of the Kinect", which
OpenCV made, whose first pixel has its centre at (0, 0); that of freiburg3 is of images whose
distortion is undone. Else a `calibration.txt` with `fx fy cx cy`, by the same rule, as ETH3D SLAM
has it (its reader adds half a pixel), with `d0 d1 d2 d3 d4` (k1 k2 p1 p2 k3) behind where there is
distortion. Registration took the Kinect's default camera for the colour image's; its authors
advise to leave distortion as it is for that reason. Here image and depth are undone alike.

Source: Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", 2012, file formats;
ETH3D, libvis/rgbd_video_io_tum_dataset.h.
"""

from __future__ import annotations

from pathlib import Path
import re

from da3_ros.errors import Da3Error, SourceError
from da3_ros.foreign import foreign_file, plain_path, read_bounded
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame
from da3_ros.sources.datasets.depth_files import DepthFiles
from da3_ros.sources.datasets.file_lists import Listed, inside, listed, notes_of
from da3_ros.sources.datasets.intrinsics import lens_of
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.datasets.times import nearest_of, poses_at
from da3_ros.sources.images import read_header
from da3_ros.sources.lenses import Lens
from da3_ros.sources.text_rows import LeftOut, numbers, rows, stamp_of_seconds
from da3_ros.sources.trajectory_files import read_tum

CAMERA = 'rgb'
DEPTH = DepthFiles(1 / 5000)

_LIST, _DEPTHS, _TRUTH, _CALIBRATION = 'rgb.txt', 'depth.txt', 'groundtruth.txt', 'calibration.txt'
_SIZE = ImageSize(480, 640)
_NAME = re.compile(r'(?:freiburg|fr)([123])(?![0-9])')
_KINECTS = {
    '1': (517.3, 516.5, 318.6, 255.3, 0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    '2': (520.9, 521.0, 325.1, 249.7, 0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
    '3': (535.4, 539.2, 320.1, 247.6),
}
_CALIBRATION_BYTES = 4096


def is_it(path: Path) -> bool:
    """Return whether a folder has the layout."""
    is_icl_nuim = (path / 'associations.txt').is_file() and any(path.glob('*.gt.freiburg'))
    return (path / _LIST).is_file() and not is_icl_nuim


def read(path: Path) -> Dataset:
    """Open a sequence.

    Raises:
        SourceError: none of its images is there, or a list cannot be read.
    """
    images, notes = read_list(path, _LIST)
    if not images.files:
        raise SourceError(
            f'{plain_path(path / _LIST)}: expected images, none of the '
            f'{len(images.missing)} that it lists is there'
        )
    stamps = [stamp for stamp, _ in images.files]
    depths = _depths(path, stamps, notes)
    truth = _truth(path, notes)
    lens = _lens(path, images.files[0][1], notes)
    poses = poses_at(truth, stamps)
    without = sum(pose is None for pose in poses)
    if truth and without:
        text = f'{without} of {len(poses)} images have no true pose near their stamp'
        notes.append(Note('dataset_truth_missing', text, {'images': without}))
    frames = tuple(
        DatasetFrame(CAMERA, stamp, file, lens, pose, depth)
        for (stamp, file), pose, depth in zip(images.files, poses, depths, strict=True)
    )
    return Dataset(
        path.resolve().name,
        'tum',
        (CAMERA,),
        frames,
        truth,
        CAMERA if truth else '',
        notes=tuple(notes),
        depth_files=DEPTH,
    )


def read_list(folder: Path, name: str) -> tuple[Listed, list[Note]]:
    """Return the files of a list `timestamp filename` that are there, and what there is to say.

    Raises:
        SourceError: the list cannot be read.
    """
    left_out = LeftOut(folder / name)
    entries = []
    for number, text in rows(folder / name, left_out):
        if text.startswith('#'):
            continue
        stamp, _, file = text.replace('\t', ' ').replace(',', ' ', 1).partition(' ')
        try:
            entries.append((stamp_of_seconds(stamp), inside(file.strip())))
        except ValueError as error:
            left_out.add(number, str(error))
    found = listed(folder, entries)
    return found, notes_of(found, left_out)


def _depths(folder: Path, stamps_ns: list[int], notes: list[Note]) -> list[Path | None]:
    """Return the depth image of every stamp."""
    if not (folder / _DEPTHS).is_file():
        notes.append(Note('dataset_depth_missing', f'there is no {_DEPTHS}'))
        return [None] * len(stamps_ns)
    found, said = read_list(folder, _DEPTHS)
    notes += said
    partners = nearest_of(stamps_ns, [stamp for stamp, _ in found.files])
    without = sum(partner is None for partner in partners)
    if without:
        text = f'{without} of {len(stamps_ns)} images have no depth image within 20 ms'
        notes.append(Note('dataset_depth_missing', text, {'images': without}))
    return [None if partner is None else found.files[partner][1] for partner in partners]


def _truth(folder: Path, notes: list[Note]) -> tuple[StampedPose, ...]:
    path = folder / _TRUTH
    if not path.is_file():
        notes.append(Note('dataset_truth_missing', f'there is no {_TRUTH}'))
        return ()
    try:
        found = read_tum(path)
    except SourceError as error:
        notes.append(Note('dataset_truth_missing', str(error)))
        return ()
    notes += found.notes
    return found.poses


def _stated(path: Path, size: ImageSize) -> Lens:
    """Return the lens of a `calibration.txt`."""
    with foreign_file(path):
        given = numbers(read_bounded(path, _CALIBRATION_BYTES).decode('utf-8-sig').split())
        if len(given) not in (4, 9):
            raise ValueError(f'expected fx fy cx cy, or nine numbers, got {len(given)}')
    return lens_of(given[:4], size, size, 'radtan', given[4:])


def _lens(folder: Path, first: Path, notes: list[Note]) -> Lens | None:
    """Return the lens as `calibration.txt` has it, or by the folder's name."""
    size = read_header(first).stored_size
    path = folder / _CALIBRATION
    named = _NAME.search(folder.resolve().name)
    try:
        if path.is_file():
            return _stated(path, size)
        if named is not None:
            given = list(_KINECTS[named.group(1)])
            return lens_of(given[:4], _SIZE, size, 'radtan', given[4:])
        text = f'intrinsics are not known: the name has no freiburg in it, there is no {path.name}'
    except Da3Error as error:
        text = str(error)
    notes.append(Note('dataset_calibration', text))
    return None


KIND = Kind('tum', 'rgb.txt, and not the *.gt.freiburg of ICL-NUIM', is_it, read)
