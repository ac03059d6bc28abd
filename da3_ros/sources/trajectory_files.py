"""Trajectories in text files: TUM, KITTI and the CSV of EuRoC, told apart by what they hold.

TUM: `timestamp tx ty tz qx qy qz qw`, seconds; separated by blanks, tabs or commas, `#` begins a
comment (Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems", 2012, file formats).
KITTI: the twelve numbers of the upper rows of world_from_camera, row by row, without stamps; those
are in a `times.txt`, one a line in seconds (readme.txt of the KITTI odometry development kit).
EuRoC: `timestamp,px,py,pz,qw,qx,qy,qz` and more columns, nanoseconds (Burri et al., "The EuRoC
micro aerial vehicle datasets", 2016, ASL dataset format).

Lines that cannot be used are left out, and a note says how many and why; a file in which more are
bad than good is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
import math
from pathlib import Path
import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.sources.text_poses import DEVIATION, exact_poses
from da3_ros.sources.text_rows import (
    LeftOut,
    numbers,
    rows,
    stamp_of_nanoseconds,
    stamp_of_seconds,
)

TrajectoryKind = Literal['tum', 'kitti', 'euroc']

STEP_NS = 1_000_000_000
"""Between poses of a file without stamps: pose i is at i seconds, as images without stamps are."""

_TUM_FIELDS = 8
_KITTI_FIELDS = (12, 16)
_EUROC_FIELDS = 8
# Columns of an orientation, as `qw`, `q_RS_w []` or `orientation.w`, in lower case.
_OF_QUATERNION = re.compile(r'(?:q|rot|orient)[a-z_.]*?([wxyz])')
_ORDERS = {'tum': 'xyzw', 'euroc': 'wxyz'}
_UNIT_UNKNOWN = 'unit unknown'
# Lines in which a file has to show what it is.
_LOOKED_AT = 200
# Seconds beyond the year 5000: SLAM systems write nanoseconds in the layout of TUM, too.
_NOT_SECONDS = 1e11
_SMALLEST_LENGTH = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class TrajectoryFile:
    """A trajectory as a file has it."""

    poses: tuple[StampedPose, ...]
    """In the order of stamps, none twice; at least one."""
    kind: TrajectoryKind
    is_stamped: bool
    """False where the file has no stamps and pose i stands at i seconds."""
    notes: tuple[Note, ...] = ()
    """What was left out or changed."""


def read_trajectory(path: Path, times: Path | None = None) -> TrajectoryFile:
    """Read a trajectory of any of the kinds.

    Args:
        path: of the file.
        times: of the stamps of a KITTI file; None looks for those of the official layout,
            `times.txt` beside it or in `../sequences/<name>/`, and for `<name>_times.txt`, as
            `export.kitti` writes them.

    Raises:
        SourceError: there is no such file, it is of no known kind, or none of its poses can be
            used.
    """
    kind = trajectory_kind(path)
    if kind == 'tum':
        return read_tum(path)
    if kind == 'euroc':
        return read_euroc(path)
    times = times or _times_beside(path)
    return read_kitti(path, None if times is None else read_times(times))


def trajectory_kind(path: Path) -> TrajectoryKind:
    """Return of which kind a file is, by its first lines.

    Raises:
        SourceError: it cannot be read, or is of none.
    """
    ignored = LeftOut(path)
    for _, text in islice(rows(path, ignored), _LOOKED_AT):
        if text.startswith('#'):
            if 'q_RS_w' in text:
                return 'euroc'
            continue
        fields = _fields(text)
        if not _are_numbers(fields):
            continue
        if len(fields) in _KITTI_FIELDS:
            return 'kitti'
        if ',' in text and len(fields) >= _EUROC_FIELDS and float(fields[0]) > _NOT_SECONDS:
            return 'euroc'
        if len(fields) == _TUM_FIELDS:
            return 'tum'
    raise SourceError(
        f'trajectory {plain_path(path)}: expected lines of 8 numbers (TUM), of 12 or 16 (KITTI), '
        'or the CSV of EuRoC; its first lines are none of them'
    )


def read_tum(path: Path) -> TrajectoryFile:
    """Read a file in the layout of TUM.

    Quaternions of any length are taken. Stamps that can only be nanoseconds (ORB-SLAM3 writes
    such) are taken as such, and a note says so.

    Raises:
        SourceError: it cannot be read, or none of its poses can be used.
    """
    return _of_quaternions(path, 'tum')


def read_euroc(path: Path) -> TrajectoryFile:
    """Read a `data.csv` of EuRoC's ground truth: the body in the world.

    Raises:
        SourceError: it cannot be read, or none of its poses can be used.
    """
    return _of_quaternions(path, 'euroc')


def read_kitti(path: Path, stamps_ns: Sequence[int] | None = None) -> TrajectoryFile:
    """Read a file in the layout of KITTI; lines of sixteen numbers have the last row, too.

    Args:
        path: of the file.
        stamps_ns: one a line of the file; None puts pose i at i seconds, and a note says so.

    Raises:
        SourceError: it cannot be read, none of its poses can be used, or there are not as many
            stamps as lines.
    """
    left_out = LeftOut(path)
    lines, matrices = list[int](), list[list[float]]()
    places, count, refused = list[int](), 0, 0
    for number, text in rows(path, left_out):
        if text.startswith('#'):
            continue
        # A line that is no text at all is a pose that is missing: the next keep their stamps.
        place = count + left_out.count - refused
        count += 1
        try:
            matrices.append(_upper_rows(_fields(text)))
            lines.append(number)
            places.append(place)
        except ValueError as error:
            left_out.add(number, str(error))
            refused += 1
    count += left_out.count - refused
    if stamps_ns is not None and len(stamps_ns) != count:
        raise SourceError(
            f'trajectory {plain_path(path)}: expected as many stamps as poses, got '
            f'{len(stamps_ns)} stamps for {count} poses'
        )
    poses, usable = exact_poses(np.array(matrices).reshape(-1, 3, 4))
    for index in np.flatnonzero(~usable).tolist():
        left_out.add(lines[index], 'expected a pose, got numbers that are none')
    _check_enough(path, int(usable.sum()), left_out)
    kept = [place for place, is_pose in zip(places, usable.tolist(), strict=True) if is_pose]
    stamps = [place * STEP_NS if stamps_ns is None else stamps_ns[place] for place in kept]
    notes = []
    if stamps_ns is None:
        text = f'{plain_path(path)} has no stamps: pose i is put at i seconds'
        notes.append(Note('trajectory_unstamped', text))
    return _file(path, 'kitti', stamps, poses[usable], left_out, notes)


def read_times(path: Path) -> list[int]:
    """Return the stamps of a `times.txt`, one of every line, nanoseconds.

    Raises:
        SourceError: a line is no stamp: which pose the others belong to would be unknown.
    """
    left_out = LeftOut(path)
    stamps = []
    for number, text in rows(path, left_out):
        if text.startswith('#'):
            continue
        try:
            stamps.append(stamp_of_seconds(text))
        except ValueError as error:
            raise SourceError(f'{plain_path(path)}: line {number}: {error}') from error
    if left_out.count:
        raise SourceError(f'{left_out.said()}; every line has to be a stamp in seconds')
    return stamps


def _of_quaternions(path: Path, kind: Literal['tum', 'euroc']) -> TrajectoryFile:
    left_out = LeftOut(path)
    in_nanoseconds = kind == 'euroc'
    odd_lengths, is_first = 0, True
    stamps, values = list[int](), list[list[float]]()
    said, columns = _Said(), 0
    for number, text in rows(path, left_out):
        if text.startswith('#'):
            said.take(text)
            continue
        fields = _fields(text)
        if is_first and not _are_numbers(fields[:1]):
            said.take(text)
            continue  # the names of the columns
        columns = columns or len(fields)
        if is_first and kind == 'tum':
            in_nanoseconds = float(fields[0]) > _NOT_SECONDS
        is_first = False
        try:
            pose = _seven(fields, kind, said.order or _ORDERS[kind])
            stamp = stamp_of_nanoseconds if in_nanoseconds else stamp_of_seconds
            stamps.append(stamp(fields[0]))
        except ValueError as error:
            left_out.add(number, str(error))
            continue
        odd_lengths += abs(math.hypot(*pose[3:]) - 1) > DEVIATION
        values.append(pose)
    _check_enough(path, len(stamps), left_out)
    notes = []
    if in_nanoseconds and kind == 'tum':
        text = f'{plain_path(path)}: its stamps are taken as nanoseconds, seconds would be absurd'
        notes.append(Note('trajectory_nanoseconds', text))
    notes += said.notes(path, kind, columns)
    if odd_lengths:
        text = f'{plain_path(path)}: {odd_lengths} quaternions are not of length 1; made so'
        notes.append(Note('trajectory_quaternions', text, {'quaternions': odd_lengths}))
    table = np.array(values).reshape(-1, 7)
    poses = rigid(matrix_from_quaternion_xyzw(table[:, 3:]), table[:, :3])
    return _file(path, kind, stamps, poses, left_out, notes)


class _Said:
    """What the lines of a file say that are no poses."""

    def __init__(self) -> None:
        self.order: str | None = None
        """Of quaternions, by the names of columns: wxyz or xyzw."""
        self._has_unit = True

    def take(self, text: str) -> None:
        """Read a comment, or the names of the columns."""
        self.order = self.order or _quaternion_order(text)
        self._has_unit = self._has_unit and _UNIT_UNKNOWN not in text

    def notes(self, path: Path, kind: Literal['tum', 'euroc'], columns: int) -> list[Note]:
        """Return what there is to say."""
        notes = []
        if self.order is None and kind == 'euroc' and columns == _EUROC_FIELDS:
            text = (
                f'{plain_path(path)}: quaternions are taken as w x y z, as EuRoC has them; a '
                'first line that names the columns (... qx qy qz qw) says otherwise'
            )
            notes.append(Note('trajectory_quaternions', text))
        if self.order not in (None, _ORDERS[kind]):
            text = f'{plain_path(path)}: quaternions are {self.order}, as its columns are named'
            notes.append(Note('trajectory_quaternions', text))
        if not self._has_unit:
            text = f'{plain_path(path)}: its positions are in a unit of its own, as it says'
            notes.append(Note('unit_unknown', text))
        return notes


def _quaternion_order(text: str) -> str | None:
    """Return the order of a quaternion that the names of columns say: wxyz, xyzw, or none."""
    names = re.split(r'[,;\s]+', text.lower())
    found = ''.join(match[1] for name in names if (match := _OF_QUATERNION.fullmatch(name)))
    return found if found in _ORDERS.values() else None


def _seven(fields: list[str], kind: TrajectoryKind, order: str) -> list[float]:
    """Return position and quaternion x y z w of a line's fields."""
    if kind == 'tum' and len(fields) != _TUM_FIELDS:
        raise ValueError(f'expected 8 fields, got {len(fields)}')
    if len(fields) < _EUROC_FIELDS:
        raise ValueError(f'expected at least 8 fields, got {len(fields)}')
    x, y, z, *quaternion = numbers(fields[1:8])
    if order == 'wxyz':
        quaternion = [*quaternion[1:], quaternion[0]]
    pose = [x, y, z, *quaternion]
    if not all(map(math.isfinite, pose)):
        raise ValueError('expected a pose, a number is not finite')
    if math.hypot(*quaternion) < _SMALLEST_LENGTH:
        raise ValueError('expected an orientation, the quaternion is zero')
    return pose


def _upper_rows(fields: list[str]) -> list[float]:
    """Return the twelve numbers of a pose."""
    if len(fields) not in _KITTI_FIELDS:
        raise ValueError(f'expected 12 numbers, or 16, got {len(fields)}')
    values = numbers(fields)
    if values[12:] and values[12:] != [0, 0, 0, 1]:
        raise ValueError(f'expected the last row 0 0 0 1, got {values[12:]}')
    return values[:12]


def _file(
    path: Path,
    kind: TrajectoryKind,
    stamps_ns: list[int],
    poses: FloatArray,
    left_out: LeftOut,
    notes: list[Note],
) -> TrajectoryFile:
    """Return the poses in the order of stamps, none twice, with what there is to say."""
    if left_out.count:
        numbers_of = {'lines': float(left_out.count)}
        notes.append(Note('trajectory_lines_left_out', left_out.said(), numbers_of))
    stamps: NDArray[np.int64] = np.array(stamps_ns, np.int64)
    order = np.argsort(stamps, kind='stable')
    unordered = int((np.diff(stamps) < 0).sum())
    is_new = np.concatenate([[True], np.diff(stamps[order]) > 0])
    doubled = int((~is_new).sum())
    if unordered:
        text = f'{plain_path(path)}: stamps go back {unordered} times; put in their order'
        notes.append(Note('trajectory_unordered', text, {'times': unordered}))
    if doubled:
        text = f'{plain_path(path)}: {doubled} stamps come again; the first pose counts'
        notes.append(Note('trajectory_doubled', text, {'poses': doubled}))
    kept = order[is_new]
    found = zip(stamps[kept].tolist(), poses[kept], strict=True)
    return TrajectoryFile(
        tuple(StampedPose(stamp, pose) for stamp, pose in found),
        kind,
        not any(note.code == 'trajectory_unstamped' for note in notes),
        tuple(notes),
    )


def _check_enough(path: Path, good: int, left_out: LeftOut) -> None:
    if good == 0 and left_out.count == 0:
        raise SourceError(f'trajectory {plain_path(path)}: expected poses, there are none')
    if left_out.count > good:
        raise SourceError(f'trajectory {left_out.said()}: that is more than the {good} good ones')


def _times_beside(path: Path) -> Path | None:
    """Return where the official layout has the stamps of a KITTI file; None without one."""
    places = (
        path.with_name(f'{path.stem}_times.txt'),
        path.parent / 'times.txt',
        path.parent.parent / 'sequences' / path.stem / 'times.txt',
    )
    return next((place for place in places if place.is_file()), None)


def _fields(text: str) -> list[str]:
    return text.replace(',', ' ').replace(';', ' ').split()


def _are_numbers(fields: list[str]) -> bool:
    try:
        numbers(fields)
    except ValueError:
        return False
    return True
