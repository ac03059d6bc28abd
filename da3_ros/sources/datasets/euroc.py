"""Sequences in the ASL layout: EuRoC MAV, TUM-VI and others.

`mav0/cam0`, `cam1`, ...: `data.csv` lists `stamp,filename`, nanoseconds, files in `data/`;
`sensor.yaml` has the intrinsics, fu fv cu cv by the rule that the first pixel's centre is (0, 0),
the distortion (radial-tangential k1 k2 p1 p2, or equidistant k1 to k4), which is undone on
reading, and `T_BS`, the pose of the camera in the body. `state_groundtruth_estimate0/data.csv` is
the truth of the body, which is the IMU: its axes are not those of REP 103. TUM-VI has that in
`mocap0` and no `sensor.yaml` of its cameras.

Source: Burri et al., "The EuRoC micro aerial vehicle datasets", 2016, and the page "kmavvisual
inertialdatasets"; Schubert et al., "The TUM VI Benchmark", 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Any

from da3_ros.errors import Da3Error, SourceError
from da3_ros.foreign import foreign_file, plain_line, plain_path, read_bounded
from da3_ros.geometry.arrays import FloatArray, as_float
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert, nearest_rigid
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.plain_data import MAX_YAML_BYTES, yaml_of
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame, in_order
from da3_ros.sources.datasets.file_lists import Listed, inside, listed, notes_of
from da3_ros.sources.datasets.intrinsics import lens_of
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.datasets.times import poses_at
from da3_ros.sources.images import read_header
from da3_ros.sources.lenses import Distortion, Lens
from da3_ros.sources.text_poses import exact_poses
from da3_ros.sources.text_rows import LeftOut, rows, stamp_of_nanoseconds
from da3_ros.sources.trajectory_files import read_euroc
from da3_ros.types import RigCalibration

_LAYOUT = 'mav0/cam0/data.csv'
BODY = 'body'

_CAMERA = re.compile(r'cam([0-9]{1,3})')
_TRUTHS = ('state_groundtruth_estimate0', 'mocap0')
_DISTORTIONS: Mapping[str, Distortion] = {
    'radial-tangential': 'radtan',
    'radtan': 'radtan',
    'plumb_bob': 'radtan',
    'equidistant': 'equidistant',
    'none': 'none',
}
# OpenCV begins its YAML with a directive that no YAML has.
_DIRECTIVE = re.compile(rb'\A(?:\xef\xbb\xbf)?%YAML:[^\n]*\n')


@dataclass(frozen=True, slots=True, eq=False)
class _Sensor:
    """What a `sensor.yaml` says of a camera."""

    body_from_camera: FloatArray | None
    lens: Lens | None


def is_it(path: Path) -> bool:
    """Return whether a folder has the layout, or is the `mav0` of one."""
    return _root(path) is not None


def read(path: Path) -> Dataset:
    """Open a sequence.

    Raises:
        SourceError: none of its images is there, or a list cannot be read.
    """
    root = _root(path)
    if root is None:
        raise SourceError(f'{plain_path(path)}: expected {_LAYOUT}')
    notes: list[Note] = []
    truth = _truth(root, notes)
    cameras: dict[str, list[tuple[int, Path]]] = {}
    sensors: dict[str, _Sensor] = {}
    for folder in _cameras(root):
        found = _images(folder, notes)
        if found.files:
            cameras[folder.name] = found.files
            sensors[folder.name] = _sensor(folder, found.files[0][1], notes)
        else:
            text = f'{folder.name} has no image; left out'
            notes.append(Note('dataset_files_missing', text))
    if not cameras:
        raise SourceError(f'{plain_path(root)}: expected images, none of its cameras has one')
    frames = [
        frame
        for camera, files in cameras.items()
        for frame in _frames(camera, files, sensors[camera], truth)
    ]
    without = sum(frame.world_from_camera is None for frame in frames)
    if truth and without:
        text = f'{without} of {len(frames)} images have no true pose near their stamp'
        notes.append(Note('dataset_truth_missing', text, {'images': without}))
    name = root.resolve()
    mounts = {camera: sensor.body_from_camera for camera, sensor in sensors.items()}
    return Dataset(
        name.parent.name if name.name == 'mav0' else name.name,
        'euroc',
        tuple(cameras),
        in_order(frames, tuple(cameras), notes),
        truth,
        BODY if truth else '',
        RigCalibration({name: pose for name, pose in mounts.items() if pose is not None}),
        tuple(notes),
    )


def _root(path: Path) -> Path | None:
    candidates = (path / 'mav0', path)
    return next((c for c in candidates if (c / 'cam0' / 'data.csv').is_file()), None)


def _cameras(root: Path) -> list[Path]:
    """Return the folders of the cameras, by number."""
    found = [
        (int(match.group(1)), folder)
        for folder in root.iterdir()
        if (match := _CAMERA.fullmatch(folder.name)) and (folder / 'data.csv').is_file()
    ]
    return [folder for _, folder in sorted(found)]


def _images(folder: Path, notes: list[Note]) -> Listed:
    left_out = LeftOut(folder / 'data.csv')
    entries, is_first = [], True
    for number, text in rows(left_out.path, left_out):
        if text.startswith('#'):
            continue
        stamp, _, name = text.partition(',')
        if is_first and not stamp.strip().isdigit():
            is_first = False  # the names of the columns
            continue
        is_first = False
        try:
            # TUM-VI parts columns by a blank, too; some lists leave the name out.
            name = name.strip() or f'{stamp.strip()}.png'
            entries.append((stamp_of_nanoseconds(stamp.strip()), inside(name)))
        except ValueError as error:
            left_out.add(number, str(error))
    found = listed(folder / 'data', entries)
    notes += notes_of(found, left_out)
    return found


def _frames(
    camera: str, files: list[tuple[int, Path]], sensor: _Sensor, truth: tuple[StampedPose, ...]
) -> list[DatasetFrame]:
    mount = sensor.body_from_camera
    poses = poses_at(truth, [stamp for stamp, _ in files])
    return [
        DatasetFrame(
            camera, stamp, file, sensor.lens,
            None if pose is None or mount is None else pose @ mount, None,
        )
        for (stamp, file), pose in zip(files, poses, strict=True)
    ]  # fmt: skip


def _sensor(folder: Path, first: Path, notes: list[Note]) -> _Sensor:
    path = folder / 'sensor.yaml'
    said = _yaml(path, notes, f'{folder.name}: intrinsics and place on the body are not known')
    if said is None:
        return _Sensor(None, None)
    mount, lens = None, None
    try:
        mount = _mount(said)
    except Da3Error as error:
        text = f'{plain_path(path)}: its place on the body is not known: {error}'
        notes.append(Note('dataset_calibration', text))
    try:
        lens = _lens(said, read_header(first).stored_size)
    except Da3Error as error:
        text = f'{plain_path(path)}: intrinsics are not known: {error}'
        notes.append(Note('dataset_calibration', text))
    return _Sensor(mount, lens)


def _yaml(path: Path, notes: list[Note], without: str) -> Mapping[Any, Any] | None:
    """Return a mapping of a file; None, and a note, where there is none."""
    try:
        with foreign_file(path):
            said = yaml_of(_DIRECTIVE.sub(b'', read_bounded(path, MAX_YAML_BYTES)))
            if not isinstance(said, dict):
                raise ValueError(f'expected a mapping, got {type(said).__name__}')
            return said
    except SourceError as error:
        notes.append(Note('dataset_calibration', f'{without}: {error}'))
        return None


def _mount(said: Mapping[Any, Any]) -> FloatArray:
    """Return `T_BS`, the pose of a sensor in the body."""
    entry = said.get('T_BS')
    data = entry.get('data') if isinstance(entry, dict) else entry
    flat = as_float('T_BS', data, (16,)) if _depth(data) == 1 else as_float('T_BS', data, (4, 4))
    _, usable = exact_poses(flat.reshape(1, 4, 4))
    if not usable[0]:
        raise SourceError(f'T_BS: expected a pose, got {flat.tolist()}')
    return nearest_rigid(flat.reshape(4, 4))


def _depth(data: Any) -> int:
    is_nested = isinstance(data, list) and bool(data) and isinstance(data[0], list)
    return 2 if is_nested else 1


def _lens(said: Mapping[Any, Any], seen: ImageSize) -> Lens:
    model = said.get('camera_model', 'pinhole')
    if model != 'pinhole':
        raise SourceError(f'expected camera_model pinhole, got {plain_line(model, 40)!r}')
    distortion = _DISTORTIONS.get(str(said.get('distortion_model', 'none')))
    if distortion is None:
        shown = plain_line(said['distortion_model'], 40)
        raise SourceError(f'expected a distortion of {", ".join(_DISTORTIONS)}, got {shown!r}')
    width, height = as_float('resolution', said.get('resolution'), (2,)).tolist()
    given = as_float('intrinsics', said.get('intrinsics'), (4,)).tolist()
    coefficients = as_float(
        'distortion_coefficients', said.get('distortion_coefficients', []), (None,)
    )
    stated = ImageSize(int(height), int(width))
    return lens_of(given, stated, seen, distortion, coefficients.tolist())


def _truth(root: Path, notes: list[Note]) -> tuple[StampedPose, ...]:
    """Return the true poses of the body."""
    folder = next((root / t for t in _TRUTHS if (root / t / 'data.csv').is_file()), None)
    if folder is None:
        text = f'there is neither {" nor ".join(f"{t}/data.csv" for t in _TRUTHS)}'
        notes.append(Note('dataset_truth_missing', text))
        return ()
    try:
        found = read_euroc(folder / 'data.csv')
    except SourceError as error:
        notes.append(Note('dataset_truth_missing', str(error)))
        return ()
    notes += found.notes
    path = folder / 'sensor.yaml'
    said = _yaml(path, notes, 'truth is taken for that of the body') if path.is_file() else None
    if said is None or 'T_BS' not in said:
        return found.poses
    sensor_from_body = invert(_mount(said))
    return tuple(
        StampedPose(p.stamp_ns, p.world_from_base @ sensor_from_body) for p in found.poses
    )


KIND = Kind('euroc', _LAYOUT, is_it, read)
