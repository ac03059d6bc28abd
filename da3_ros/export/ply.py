"""Coloured points of a scene as binary little-endian PLY.

Points are in the world frame of the scene, in metres when it is metric; a comment says which.
Every vertex has x y z (float), red green blue (uchar) and, when every view has it, confidence
(float, raw).

Source: G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, selected_points

OWNED: tuple[str, ...] = ()


class ColouredVertices(Protocol):
    """Points with colours."""

    @property
    def xyz(self) -> NDArray[np.floating[Any]]:
        """(P, 3)."""
        ...

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(P, 3)."""
        ...

    @property
    def confidence(self) -> NDArray[np.float32] | None:
        """(P,), if there is one."""
        ...


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
    has_confidence = all(view.confidence is not None for view in scene.views)
    layout = vertex_layout(with_confidence=has_confidence)
    parts = [vertices(points, layout) for points in selected_points(scene, options, progress)]
    count = sum(len(part) for part in parts)
    comments = [scene.world_text, *([scene.comment] if scene.comment else [])]
    write_vertices(folder / 'points.ply', parts, layout, comments)
    progress(1.0)
    return count


def write_vertices(
    file: Path,
    parts: Sequence[NDArray[np.void]],
    layout: np.dtype[np.void],
    comments: Sequence[str],
) -> None:
    """Write vertices as one file.

    Args:
        file: where to.
        parts: vertices of the layout.
        layout: fields of a vertex, float32 or uint8, little-endian, without gaps.
        comments: lines of ASCII.
    """
    with file.open('wb') as stream:
        stream.write(header(layout, sum(len(part) for part in parts), comments))
        for part in parts:
            stream.write(part.tobytes())


def header(layout: np.dtype[np.void], count: int, comments: Sequence[str]) -> bytes:
    """Return what stands before the vertices of a file.

    Args:
        layout: as of `write_vertices`.
        count: of the vertices.
        comments: lines of ASCII.
    """
    kinds = {name: kind[0].str.lstrip('|') for name, kind in (layout.fields or {}).items()}
    lines = [
        'ply',
        'format binary_little_endian 1.0',
        *(f'comment {comment}' for comment in comments),
        f'element vertex {count}',
        *(f'property {_PLY_TYPES[kind]} {name}' for name, kind in kinds.items()),
        'end_header',
    ]
    return ('\n'.join(lines) + '\n').encode('ascii')


def vertex_layout(*, with_confidence: bool) -> np.dtype[np.void]:
    """Return the fields of a vertex: place, colour and, if wanted, confidence."""
    return np.dtype([*_BASE_FIELDS, *([('confidence', '<f4')] if with_confidence else [])])


def vertices(points: ColouredVertices, layout: np.dtype[np.void]) -> NDArray[np.void]:
    """Return points as vertices of a layout, see `vertex_layout`."""
    made = np.empty(len(points.xyz), layout)
    for column, name in enumerate('xyz'):
        made[name] = points.xyz[:, column]
    for column, name in enumerate(('red', 'green', 'blue')):
        made[name] = points.rgb[:, column]
    if 'confidence' in (layout.names or ()):
        made['confidence'] = points.confidence
    return made
