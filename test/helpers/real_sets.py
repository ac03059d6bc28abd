"""Real pictures with measured depth: where they are, and what is in them.

A set is a folder with `images/`, `depth/` (16 bit PNG, millimetres, 0 unknown) and `cameras.json`.
A few pictures are committed; larger sets lie beside the checkout where the project is developed
and tested, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path

import cv2
import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import nearest_rigid
from da3_ros.types import CameraFrame, ColourImage, FloatImage
from helpers.middlebury import MissingSetError, motorcycle_folder

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / 'test' / 'data' / 'real'
SHARED = ROOT.parent / 'shared' / 'real'
BUILT = ROOT / '.build' / 'real'

CAMERA = 'front'
MOTORCYCLE = 'middlebury_motorcycle'

_MM_PER_M = 1000.0
# What sensors say below this is none of theirs.
_NEAREST_M = 0.1
# Sets without stamps are given some; a day before which no stamp lies.
_FIRST_NS = 10**18
_STEP_NS = 200_000_000


@dataclass(frozen=True, slots=True, eq=False)
class RealFrame:
    """A picture and what was measured of it."""

    name: str
    image: ColourImage
    """(H, W, 3) uint8 RGB."""
    depth: FloatImage
    """(H, W) metres; NaN unknown, everywhere where nothing was measured."""
    camera: PinholeCamera
    world_from_camera: FloatArray
    """(4, 4) metres."""
    stamp_ns: int

    def resized(self, size: ImageSize) -> RealFrame:
        """Return the frame at another size; depth is picked, never mixed."""
        shape = (size.width, size.height)
        return RealFrame(
            self.name,
            np.asarray(cv2.resize(self.image, shape, interpolation=cv2.INTER_AREA), np.uint8),
            _picked(self.depth, size),
            self.camera.resized(size),
            self.world_from_camera,
            self.stamp_ns,
        )

    def as_input(self, camera: str = CAMERA) -> CameraFrame:
        """Return what a camera driver would send."""
        return CameraFrame(
            camera, self.stamp_ns, f'{camera}_optical_frame', self.image, self.camera
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    """One picture as `cameras.json` has it."""

    image: Path
    depth: Path | None
    K: tuple[tuple[float, ...], ...]
    size: ImageSize
    world_from_camera: tuple[tuple[float, ...], ...]
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class RealSet:
    """Pictures of one place; they are read when they are asked for."""

    name: str
    folder: Path
    entries: tuple[_Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def frames(self, indices: Sequence[int] | None = None) -> list[RealFrame]:
        """Return some frames, all by default."""
        chosen = range(len(self)) if indices is None else indices
        return [_read(self.entries[index]) for index in chosen]


def load_set(folder: Path) -> RealSet:
    """Return the set in a folder.

    Raises:
        MissingSetError: there is none.
    """
    path = folder / 'cameras.json'
    if not path.is_file():
        raise MissingSetError(f'{folder} has no cameras.json')
    listed = json.loads(path.read_text(encoding='utf-8'))['frames']
    return RealSet(
        folder.name, folder, tuple(_entry(folder, index, f) for index, f in enumerate(listed))
    )


def committed_set(name: str) -> RealSet:
    """Return a set of which some pictures are committed."""
    return load_set(COMMITTED / name)


def shared_set(name: str) -> RealSet:
    """Return a set beside the checkout.

    Raises:
        MissingSetError: it is not there, as on every machine of a user.
    """
    if not (SHARED / name).is_dir():
        raise MissingSetError(f'../shared/real/{name} is not beside this checkout')
    return load_set(SHARED / name)


def find_set(name: str, *, is_fetched: bool = False) -> RealSet:
    """Return a set from wherever it is: committed, beside the checkout, in `.build`.

    Args:
        name: of the set.
        is_fetched: download the stereo pair when it is nowhere.

    Raises:
        MissingSetError: it is nowhere; says why.
    """
    for folder in (COMMITTED / name, SHARED / name, BUILT / name):
        if (folder / 'cameras.json').is_file():
            return load_set(folder)
    if name == MOTORCYCLE and is_fetched:
        return load_set(motorcycle_folder(BUILT))
    raise MissingSetError(f'{name} is neither committed nor in ../shared/real')


def groups(count: int, length: int, stride: int = 1, step: int = 1) -> list[list[int]]:
    """Return indices of at most 14 windows, as the measurements of this project take them.

    Args:
        count: of pictures in the set.
        length: pictures of a window.
        stride: between pictures of a window.
        step: between the first pictures of windows.
    """
    starts = range(0, count - length * stride + 1, step)
    return [list(range(i, i + length * stride, stride)) for i in starts][:14]


def _entry(folder: Path, index: int, said: dict[str, object]) -> _Entry:
    height, width = np.asarray(said['size_hw'], int).tolist()
    depth = said.get('depth')
    stamp = said.get('stamp_ns', index * _STEP_NS)
    return _Entry(
        image=folder / str(said['image']),
        depth=None if depth is None else folder / str(depth),
        K=_rows(said['K']),
        size=ImageSize(height, width),
        world_from_camera=_rows(said['world_from_camera']),
        stamp_ns=_FIRST_NS + int(str(stamp)),
    )


def _rows(matrix: object) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in np.asarray(matrix, np.float64).tolist())


def _read(entry: _Entry) -> RealFrame:
    image = cv2.imread(str(entry.image))
    if image is None:
        raise MissingSetError(f'{entry.image} cannot be read')
    depth = np.full((entry.size.height, entry.size.width), np.nan, np.float32)
    if entry.depth is not None:
        stored = cv2.imread(str(entry.depth), cv2.IMREAD_UNCHANGED)
        if stored is None or stored.dtype != np.uint16:
            raise MissingSetError(f'{entry.depth} is no 16 bit image')
        measured = np.asarray(stored, np.float32) / np.float32(_MM_PER_M)
        depth = _picked(np.where(measured > _NEAREST_M, measured, np.nan), entry.size)
    return RealFrame(
        entry.image.stem,
        np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8),
        depth,
        PinholeCamera(np.array(entry.K), entry.size),
        nearest_rigid(entry.world_from_camera),  # trackers write few digits
        entry.stamp_ns,
    )


def _picked(depth: FloatImage, size: ImageSize) -> FloatImage:
    shape = (size.width, size.height)
    picked = cv2.resize(depth, shape, interpolation=cv2.INTER_NEAREST)
    return np.asarray(picked, np.float32)
