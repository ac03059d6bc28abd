"""A COLMAP model as its five binary files, little-endian throughout.

Source: COLMAP documentation, "Output Format"; file layout of COLMAP 3.12 and later, whose
cameras, images and points3D older versions read too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import struct

import numpy as np

from da3_ros.export.colmap_model import PINHOLE_ID, ColmapImage, ColmapModel

_CAMERA_SENSOR = 0
_KEY_POINT = np.dtype([('xy', '<f8', 2), ('point_id', '<i8')])
_POINT = np.dtype([
    ('point_id', '<u8'), ('xyz', '<f8', 3), ('rgb', 'u1', 3), ('error', '<f8'),
    ('track_length', '<u8'), ('image_id', '<u4'), ('key_point', '<u4'),
])  # fmt: skip


def write_model(model: ColmapModel, folder: Path, progress: Callable[[float], None]) -> None:
    """Write rigs, cameras, frames, images and points3D into the folder."""
    parts: tuple[tuple[str, int, Iterator[bytes]], ...] = (
        ('rigs', len(model.cameras), _rigs(model)),
        ('cameras', len(model.cameras), _cameras(model)),
        ('frames', len(model.images), _frames(model)),
        ('images', len(model.images), map(_image, model.images)),
        ('points3D', model.point_count, map(_points, model.images)),
    )
    for index, (name, count, records) in enumerate(parts):
        with (folder / f'{name}.bin').open('wb') as file:
            file.write(struct.pack('<Q', count))
            file.writelines(records)
        progress((index + 1) / len(parts))


def _rigs(model: ColmapModel) -> Iterator[bytes]:
    for camera in model.cameras:
        yield struct.pack('<IIiI', camera.camera_id, 1, _CAMERA_SENSOR, camera.camera_id)


def _cameras(model: ColmapModel) -> Iterator[bytes]:
    for camera in model.cameras:
        size = camera.size
        yield struct.pack('<IiQQ', camera.camera_id, PINHOLE_ID, size.width, size.height)
        yield struct.pack('<4d', *camera.params)


def _frames(model: ColmapModel) -> Iterator[bytes]:
    for image in model.images:
        yield struct.pack('<II7dI', image.image_id, image.camera_id, *image.pose, 1)
        yield struct.pack('<iIQ', _CAMERA_SENSOR, image.camera_id, image.image_id)


def _image(image: ColmapImage) -> bytes:
    key_points = np.empty(len(image.xyz), _KEY_POINT)
    key_points['xy'] = image.pixels
    key_points['point_id'] = image.point_ids
    head = struct.pack('<I7dI', image.image_id, *image.pose, image.camera_id)
    # Names of files are bytes, and need not be UTF-8.
    name = image.name.encode('utf-8', 'surrogateescape') + b'\x00'
    return head + name + struct.pack('<Q', len(key_points)) + key_points.tobytes()


def _points(image: ColmapImage) -> bytes:
    points = np.zeros(len(image.xyz), _POINT)
    points['point_id'] = image.point_ids
    points['xyz'] = image.xyz
    points['rgb'] = image.rgb
    points['track_length'] = 1
    points['image_id'] = image.image_id
    points['key_point'] = np.arange(len(points))
    return points.tobytes()
