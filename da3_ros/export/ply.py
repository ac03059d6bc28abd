"""Coloured points of a scene as binary little-endian PLY.

Points are in the world frame of the scene, in metres when it is metric; a comment says which.
Every vertex has x y z (float), red green blue (uchar) and, when every view has it, confidence
(float, raw).

Source: G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, ViewPoints, selected_points

OWNED: tuple[str, ...] = ()

_BASE_FIELDS = [
    ('x', '<f4'), ('y', '<f4'), ('z', '<f4'),
    ('red', 'u1'), ('green', 'u1'), ('blue', 'u1'),
]  # fmt: skip
_PLY_TYPES = {'<f4': 'float', 'u1': 'uchar'}


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the one file of this format."""
    return ('points.ply',)


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the scene and return the number of points in the file.

    Raises:
        ExportError: no view has a single known pixel.
    """
    fields = list(_BASE_FIELDS)
    if all(view.confidence is not None for view in scene.views):
        fields.append(('confidence', '<f4'))
    layout = np.dtype(fields)
    parts = [_vertices(points, layout) for points in selected_points(scene, options, progress)]
    count = sum(len(part) for part in parts)
    header = [
        'ply',
        'format binary_little_endian 1.0',
        f'comment {scene.world_text}',
        *([f'comment {scene.comment}'] if scene.comment else []),
        f'element vertex {count}',
        *(f'property {_PLY_TYPES[kind]} {name}' for name, kind in fields),
        'end_header',
    ]
    with (folder / 'points.ply').open('wb') as file:
        file.write(('\n'.join(header) + '\n').encode('ascii'))
        for part in parts:
            file.write(part.tobytes())
    progress(1.0)
    return count


def _vertices(points: ViewPoints, layout: np.dtype[np.void]) -> NDArray[np.void]:
    vertices = np.empty(len(points.xyz), layout)
    for column, name in enumerate('xyz'):
        vertices[name] = points.xyz[:, column]
    for column, name in enumerate(('red', 'green', 'blue')):
        vertices[name] = points.rgb[:, column]
    if 'confidence' in (layout.names or ()):
        vertices['confidence'] = points.confidence
    return vertices
