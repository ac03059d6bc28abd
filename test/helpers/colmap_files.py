"""A reader of COLMAP models that knows the documentation of the format and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
import struct

import numpy as np

from da3_ros.geometry.arrays import FloatArray

Pose = tuple[float, ...]


@dataclass
class Model:
    """What the five files say, by id."""

    rigs: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Rig to its number of sensors and its reference camera."""
    cameras: dict[int, tuple[int, int, Pose]] = field(default_factory=dict)
    """Camera to width, height, fx fy cx cy."""
    frames: dict[int, tuple[int, Pose, tuple[int, int]]] = field(default_factory=dict)
    """Frame to rig, pose, and camera and image of its only data."""
    images: dict[int, tuple[Pose, int, str, list[tuple[float, float, int]]]] = field(
        default_factory=dict
    )
    """Image to qw qx qy qz tx ty tz, camera, name and key points x, y, point."""
    points: dict[int, tuple[Pose, tuple[int, ...], float, list[tuple[int, int]]]] = field(
        default_factory=dict
    )
    """Point to position, colour, error and track of image and key point."""


class Bytes:
    """Little-endian values out of a file, one after the other."""

    def __init__(self, path: Path) -> None:
        self.data, self.at = path.read_bytes(), 0

    def take(self, kinds: str) -> tuple[float, ...]:
        values = struct.unpack_from('<' + kinds, self.data, self.at)
        self.at += struct.calcsize('<' + kinds)
        return values

    def whole(self, kinds: str) -> tuple[int, ...]:
        return tuple(int(value) for value in self.take(kinds))

    def name(self) -> str:
        end = self.data.index(b'\0', self.at)
        text, self.at = self.data[self.at : end].decode(), end + 1
        return text

    def records(self) -> Iterator[None]:
        (count,) = self.whole('Q')
        for _ in range(count):
            yield
        assert self.at == len(self.data), 'bytes behind the last record'


def read_binary(folder: Path) -> Model:
    model = Model()
    file = Bytes(folder / 'rigs.bin')
    for _ in file.records():
        rig, sensors, kind, camera = file.whole('IIiI')
        assert kind == 0, 'sensor type CAMERA'
        model.rigs[rig] = (sensors, camera)
    file = Bytes(folder / 'cameras.bin')
    for _ in file.records():
        camera, kind, width, height = file.whole('IiQQ')
        assert kind == 1, 'camera model PINHOLE'
        model.cameras[camera] = (width, height, file.take('4d'))
    file = Bytes(folder / 'frames.bin')
    for _ in file.records():
        frame, rig = file.whole('II')
        pose = file.take('7d')
        count, kind, camera, image = file.whole('IiIQ')
        assert (count, kind) == (1, 0)
        model.frames[frame] = (rig, pose, (camera, image))
    file = Bytes(folder / 'images.bin')
    for _ in file.records():
        (image,) = file.whole('I')
        pose, (camera,), name = file.take('7d'), file.whole('I'), file.name()
        (count,) = file.whole('Q')
        keys = [(*file.take('dd'), *file.whole('q')) for _ in range(count)]
        model.images[image] = (pose, camera, name, keys)  # type: ignore[assignment]
    file = Bytes(folder / 'points3D.bin')
    for _ in file.records():
        (point,) = file.whole('Q')
        xyz, rgb, (error,), (length,) = (
            file.take('3d'), file.whole('3B'), file.take('d'), file.whole('Q'),
        )  # fmt: skip
        track = [file.whole('II') for _ in range(length)]
        model.points[point] = (xyz, rgb, error, track)  # type: ignore[assignment]
    return model


def _lines(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding='utf-8').split('\n')
    assert lines.pop() == ''
    return [line.split() for line in lines if not line.startswith('#')]


def _floats(words: list[str]) -> Pose:
    return tuple(map(float, words))


def read_text(folder: Path) -> Model:
    model = Model()
    for rig, sensors, kind, camera in _lines(folder / 'rigs.txt'):
        assert kind == 'CAMERA'
        model.rigs[int(rig)] = (int(sensors), int(camera))
    for camera, kind, width, height, *params in _lines(folder / 'cameras.txt'):
        assert kind == 'PINHOLE'
        model.cameras[int(camera)] = (int(width), int(height), _floats(params))
    for frame, rig, *words in _lines(folder / 'frames.txt'):
        assert words[7:9] == ['1', 'CAMERA']
        data = (int(words[9]), int(words[10]))
        model.frames[int(frame)] = (int(rig), _floats(words[:7]), data)
    lines = _lines(folder / 'images.txt')
    for (image, *words), keys in zip(lines[::2], lines[1::2], strict=True):
        triples = zip(keys[::3], keys[1::3], keys[2::3], strict=True)
        seen = [(float(x), float(y), int(point)) for x, y, point in triples]
        model.images[int(image)] = (_floats(words[:7]), int(words[7]), words[8], seen)
    for point, *words in _lines(folder / 'points3D.txt'):
        track = [(int(i), int(k)) for i, k in zip(words[7::2], words[8::2], strict=True)]
        rgb = tuple(map(int, words[3:6]))
        model.points[int(point)] = (_floats(words[:3]), rgb, float(words[6]), track)
    return model


READERS = {'binary': read_binary, 'text': read_text}


def rotation(pose: Pose) -> FloatArray:
    """Return the matrix of Hamilton's unit quaternion w x y z."""
    w, x, y, z = pose[:4]
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
