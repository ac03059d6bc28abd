"""Folders of images with a `cameras.json`: measured depth, intrinsics and poses.

`cameras.json` is `{"metric": true, "frames": [...]}`, a frame in the order of taking
`{"image", "depth" (paths in the folder), "K", "size_hw", "world_from_camera", "stamp_ns",
"depth_from_color"}`; all but `image` may be missing. K has the first pixel's centre at (0, 0),
poses have OpenCV axes. Depth has 16 bits, millimetres, 0 unknown, along the axis of the image's
camera; where `depth_from_color` says how that camera stands in the frame of another one, depth is
of that one, with `depth_K` at the size of the depth image, or else K, and is moved on reading.
Frames without stamps are i seconds apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from da3_ros.errors import Da3Error, GeometryError, SourceError
from da3_ros.foreign import foreign_file, plain_line, plain_path
from da3_ros.geometry.arrays import FloatArray, as_float
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.plain_data import read_json
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame, in_order
from da3_ros.sources.datasets.depth_files import DepthView
from da3_ros.sources.datasets.file_lists import inside, is_there
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.images import read_header
from da3_ros.sources.lenses import OpenCvLens
from da3_ros.sources.text_poses import exact_poses
from da3_ros.sources.trajectory_files import STEP_NS

_FILE = 'cameras.json'
CAMERA = 'camera'

_MOST_NS = 2**63 - 1


def is_it(path: Path) -> bool:
    """Return whether a folder has the layout."""
    return (path / _FILE).is_file()


def read(path: Path) -> Dataset:
    """Open a folder.

    Raises:
        SourceError: `cameras.json` cannot be read, or none of its images is there.
    """
    file = path / _FILE
    with foreign_file(file):
        said = read_json(file)
    entries = said.get('frames') if isinstance(said, dict) else None
    if not isinstance(entries, list):
        raise SourceError(f'{plain_path(file)}: expected {{"frames": [{{"image": ...}}, ...]}}')
    found = _Frames(path, said)
    are_stamped = bool(entries) and all(_stamp(entry) is not None for entry in entries)
    for index, entry in enumerate(entries):
        stamp = _stamp(entry) if are_stamped else None
        found.add(entry, index * STEP_NS if stamp is None else stamp)
    made = found.frames()
    if not made:
        raise SourceError(f'{plain_path(file)}: expected images, none of {len(entries)} is there')
    notes = found.notes()
    if not are_stamped:
        notes.append(Note('dataset_stamps', 'there are no stamps: image i is put at i seconds'))
    frames = in_order(made, (CAMERA,), notes)
    truth = tuple(
        StampedPose(frame.stamp_ns, frame.world_from_camera)
        for frame in frames
        if frame.world_from_camera is not None
    )
    return Dataset(
        path.resolve().name,
        'cameras_json',
        (CAMERA,),
        frames,
        truth,
        CAMERA if truth else '',
        notes=tuple(notes),
        is_stamped=are_stamped,
        is_metric=said.get('metric', True) is not False,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    """A frame whose pose is not looked at yet."""

    name: str
    stamp_ns: int
    lens: OpenCvLens | None
    depth: Path | None
    view: DepthView | None


class _Frames:
    """Frames of a folder, and what could not be used of their entries."""

    def __init__(self, folder: Path, said: Mapping[str, Any]) -> None:
        self._folder = folder
        self._shared = said
        self._drafts: list[_Draft] = []
        self._stored_poses: list[FloatArray] = []
        self._lenses: dict[str, OpenCvLens] = {}
        self._missing: list[str] = []
        self._depth_missing = 0
        self._bad: dict[str, list[str]] = {'entries': [], 'intrinsics': [], 'poses': []}

    def add(self, entry: Any, stamp_ns: int) -> None:
        """Take an entry, or count why there is no frame of it."""
        try:
            name = inside(str(entry['image']))
        except (ValueError, KeyError, TypeError) as error:
            self._bad['entries'].append(f'{type(error).__name__}: {error}')
            return
        if not is_there(self._folder / name):
            self._missing.append(name)
            return
        lens = self._lens(entry, name)
        depth, view = self._depth(entry, lens)
        self._drafts.append(_Draft(name, stamp_ns, lens, depth, view))
        self._stored_poses.append(self._stored_pose(entry))

    def frames(self) -> list[DatasetFrame]:
        """Return the frames of all entries that were taken."""
        poses, usable = exact_poses(np.array(self._stored_poses).reshape(-1, 4, 4))
        made = []
        for draft, pose, is_pose in zip(self._drafts, poses, usable.tolist(), strict=True):
            if not is_pose:
                self._bad['poses'].append(f'{draft.name}: world_from_camera is none')
            made.append(
                DatasetFrame(
                    CAMERA,
                    draft.stamp_ns,
                    self._folder / draft.name,
                    draft.lens,
                    pose if is_pose else None,
                    draft.depth,
                    draft.view,
                )
            )
        return made

    def notes(self) -> list[Note]:
        """Return what there is to say."""
        notes = []
        entries, intrinsics, poses = self._bad.values()
        if entries:
            text = f'{len(entries)} entries have no image: {plain_line(entries[0], 150)}'
            notes.append(Note('dataset_lines_left_out', text, {'lines': len(entries)}))
        if self._missing:
            first = plain_line(self._missing[0], 100)
            text = f'{len(self._missing)} files are missing, first {first}'
            notes.append(Note('dataset_files_missing', text, {'files': len(self._missing)}))
        if self._depth_missing:
            text = f'{self._depth_missing} of {len(self._drafts)} images have no usable depth'
            notes.append(Note('dataset_depth_missing', text, {'images': self._depth_missing}))
        if intrinsics:
            text = f'{len(intrinsics)} images have no intrinsics: {plain_line(intrinsics[0], 200)}'
            notes.append(Note('dataset_calibration', text, {'images': len(intrinsics)}))
        if poses:
            text = f'{len(poses)} images have no pose: {plain_line(poses[0], 200)}'
            notes.append(Note('dataset_poses_left_out', text, {'poses': len(poses)}))
        return notes

    def _lens(self, entry: Mapping[str, Any], name: str) -> OpenCvLens | None:
        said = (entry.get('K'), entry.get('size_hw'))
        key = repr(said)
        if key not in self._lenses:
            try:
                matrix = as_float('K', said[0], (3, 3))
                height, width = as_float('size_hw', said[1], (2,)).tolist()
                size = ImageSize(int(height), int(width))
                self._lenses[key] = OpenCvLens(PinholeCamera(matrix, size))
            except GeometryError as error:
                self._bad['intrinsics'].append(f'{name}: {error}')
                return None
        return self._lenses[key]

    def _stored_pose(self, entry: Mapping[str, Any]) -> FloatArray:
        """Return what stands for a pose, NaN where that is no matrix."""
        try:
            return as_float('world_from_camera', entry.get('world_from_camera'), (4, 4))
        except GeometryError:
            return np.full((4, 4), np.nan)

    def _depth(
        self, entry: Mapping[str, Any], lens: OpenCvLens | None
    ) -> tuple[Path | None, DepthView | None]:
        """Return the depth image of an entry and its camera; None where it is the image's."""
        said = entry if 'depth_from_color' in entry else self._shared
        name = entry.get('depth')
        try:
            path = self._folder / inside(str(name or ''))
            if not is_there(path):
                raise ValueError(f'{name} is no file')
            if 'depth_from_color' not in said:
                return path, None
            if lens is None:
                raise ValueError('it cannot be moved to a camera that is not known')
            return path, _view(said, lens, path)
        except (ValueError, Da3Error):
            self._depth_missing += 1
            return None, None


def _view(said: Mapping[str, Any], lens: OpenCvLens, depth: Path) -> DepthView:
    """Return the depth camera as an entry has it, or all of them."""
    stored = as_float('depth_from_color', said['depth_from_color'], (4, 4))
    poses, usable = exact_poses(stored[None])
    if not usable[0]:
        raise SourceError(f'depth_from_color: expected a pose, got {stored.tolist()}')
    camera = lens.pinhole
    if 'depth_K' in said:
        matrix = as_float('depth_K', said['depth_K'], (3, 3))
        camera = PinholeCamera(matrix, read_header(depth).stored_size)
    return DepthView(camera, np.asarray(poses[0]))


def _stamp(entry: Any) -> int | None:
    stamp = entry.get('stamp_ns') if isinstance(entry, dict) else None
    if not isinstance(stamp, int) or isinstance(stamp, bool) or abs(stamp) > _MOST_NS:
        return None
    return stamp


KIND = Kind('cameras_json', _FILE, is_it, read)
