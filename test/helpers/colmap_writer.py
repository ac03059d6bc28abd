"""Writes COLMAP models byte by byte, from COLMAP's documentation of its formats."""

from collections.abc import Sequence
from pathlib import Path
import struct

Camera = tuple[int, str, int, int, Sequence[float]]
"""id, model, width, height, params"""
Image = tuple[int, Sequence[float], int, str, Sequence[tuple[float, float, int]]]
"""id, qw qx qy qz tx ty tz, camera id, name, key points"""

NUMBERS = {
    'SIMPLE_PINHOLE': 0,
    'PINHOLE': 1,
    'SIMPLE_RADIAL': 2,
    'RADIAL': 3,
    'OPENCV': 4,
    'OPENCV_FISHEYE': 5,
}


def write_binary(folder: Path, cameras: Sequence[Camera], images: Sequence[Image]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = struct.pack('<Q', len(cameras))
    for number, model, width, height, params in cameras:
        data += struct.pack('<IiQQ', number, NUMBERS[model], width, height)
        data += struct.pack(f'<{len(params)}d', *params)
    (folder / 'cameras.bin').write_bytes(data)
    data = struct.pack('<Q', len(images))
    for number, pose, camera, name, points in images:
        data += struct.pack('<I7dI', number, *pose, camera) + name.encode() + b'\x00'
        data += struct.pack('<Q', len(points))
        data += b''.join(struct.pack('<ddq', *point) for point in points)
    (folder / 'images.bin').write_bytes(data)


def write_text(folder: Path, cameras: Sequence[Camera], images: Sequence[Image]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ['# a comment', '']
    for number, model, width, height, params in cameras:
        lines.append(f'{number} {model} {width} {height} {" ".join(map(repr, params))}')
    (folder / 'cameras.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    lines = ['# a comment']
    for number, pose, camera, name, points in images:
        lines.append(f'{number} {" ".join(map(repr, pose))} {camera} {name}')
        lines.append(' '.join(f'{x!r} {y!r} {point}' for x, y, point in points))
    (folder / 'images.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
