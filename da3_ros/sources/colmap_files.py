"""COLMAP's `cameras` and `images` files, binary and text; key points are skipped unread.

Source: COLMAP documentation, "Output Format".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
import struct
from typing import TypeVar

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_line, plain_path, reason_of
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.colmap_cameras import MODELS, NAMES, ColmapCamera

_KEY_POINT_BYTES = 24
_POSE_NUMBERS = 7
_POINT_NUMBERS = 3
# More than any lens has: a larger one means that these bytes are no camera file.
_MAX_SIDE_PX = 1_000_000
_MAX_MESSAGE = 1000
_Entry = TypeVar('_Entry')


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One entry of an `images` file."""

    image_id: int
    camera_id: int
    name: str
    """Relative to the folder of images."""
    pose: tuple[float, ...]
    """camera_from_world: qw qx qy qz tx ty tz, as it is stored."""


def model_suffix(folder: Path) -> str | None:
    """Return `.bin` or `.txt` where a folder holds a model, None where it does not.

    Binary files win where both are there, as in COLMAP.
    """
    for suffix in ('.bin', '.txt'):
        if all((folder / f'{part}{suffix}').is_file() for part in ('cameras', 'images')):
            return suffix
    return None


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """Return the cameras of a `cameras.bin` or `cameras.txt` by their number.

    Raises:
        SourceError: the file is damaged, or holds a camera that is not understood.
    """
    reader = _cameras_binary if path.suffix == '.bin' else _cameras_text
    return {camera.camera_id: camera for camera in _read(path, reader)}


def read_images(path: Path) -> list[StoredImage]:
    """Return the entries of an `images.bin` or `images.txt` in the file's order.

    Raises:
        SourceError: the file is damaged.
    """
    return _read(path, _images_binary if path.suffix == '.bin' else _images_text)


def _read(path: Path, reader: Callable[[Path], Iterator[_Entry]]) -> list[_Entry]:
    try:
        return list(reader(path))
    except SourceError as error:
        raise SourceError(plain_line(f'{path}: {error}', _MAX_MESSAGE)) from error
    except Exception as error:
        raise SourceError(
            f'{plain_path(path)}: cannot be read, it is incomplete or no COLMAP file: '
            f'{reason_of(error)}'
        ) from error


class _Bytes:
    """A file's bytes and how far they have been read."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._at = 0

    def take(self, layout: str) -> tuple[int | float, ...]:
        values = struct.unpack_from(f'<{layout}', self._data, self._at)
        self._at += struct.calcsize(f'<{layout}')
        return values

    def name(self) -> str:
        end = self._data.index(b'\x00', self._at)
        text = self._data[self._at : end].decode('utf-8', 'surrogateescape')
        self._at = end + 1
        return text

    def skip(self, count: int) -> None:
        if not 0 <= count <= len(self._data) - self._at:
            raise ValueError(f'{count} bytes are missing after byte {self._at}')
        self._at += count


def _cameras_binary(path: Path) -> Iterator[ColmapCamera]:
    data = _Bytes(path)
    (count,) = data.take('Q')
    for _ in range(int(count)):
        camera_id, number, width, height = map(int, data.take('IiQQ'))
        if number not in NAMES:
            raise SourceError(
                f'camera {camera_id}: camera model number {number} is not one of the pinhole, '
                f'radial and fisheye models ({", ".join(MODELS)})'
            )
        params = data.take(f'{MODELS[NAMES[number]].params}d')
        yield _camera(camera_id, NAMES[number], width, height, params)


def _cameras_text(path: Path) -> Iterator[ColmapCamera]:
    for line in path.read_text(encoding='utf-8-sig', errors='replace').splitlines():
        if line.strip() and not line.startswith('#'):
            camera_id, model, width, height, *params = line.split()
            yield _camera(
                int(camera_id), model, int(width), int(height), tuple(map(float, params))
            )


def _camera(
    camera_id: int, model: str, width: int, height: int, params: tuple[int | float, ...]
) -> ColmapCamera:
    if not (0 < width <= _MAX_SIDE_PX and 0 < height <= _MAX_SIDE_PX):
        raise SourceError(f'camera {camera_id}: expected an image size, got {width}x{height}')
    return ColmapCamera(
        camera_id, model, ImageSize(height, width), tuple(float(value) for value in params)
    )


def _images_binary(path: Path) -> Iterator[StoredImage]:
    data = _Bytes(path)
    (count,) = data.take('Q')
    for _ in range(int(count)):
        image_id, *pose, camera_id = data.take(f'I{_POSE_NUMBERS}dI')
        name = data.name()
        (key_points,) = data.take('Q')
        data.skip(int(key_points) * _KEY_POINT_BYTES)
        yield StoredImage(int(image_id), int(camera_id), name, tuple(pose))


def _images_text(path: Path) -> Iterator[StoredImage]:
    with path.open(encoding='utf-8-sig', errors='surrogateescape') as lines:
        for line in lines:
            if not line.strip() or line.startswith('#'):
                continue
            # The name is the rest of the line: it may hold spaces.
            parts = line.strip().split(maxsplit=_POSE_NUMBERS + 2)
            pose = tuple(map(float, parts[1 : _POSE_NUMBERS + 1]))
            yield StoredImage(
                int(parts[0]), int(parts[_POSE_NUMBERS + 1]), parts[_POSE_NUMBERS + 2], pose
            )
            # Its key points, maybe none: an empty line.
            points = next(lines, '').split()
            if len(points) % _POINT_NUMBERS or not all(map(_is_number, points[-1:])):
                raise SourceError(
                    f'image {parts[_POSE_NUMBERS + 2]}: expected the line of its key points '
                    '(x y id, or nothing), got one of something else; every image has two lines'
                )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
