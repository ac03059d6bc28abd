"""PLY files of foreign programs, read by their own headers, and small ones for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KINDS = {'float': '<f4', 'float32': '<f4', 'double': '<f8', 'uchar': 'u1', 'uint8': 'u1'}


@dataclass(frozen=True)
class Vertices:
    """The points of a file."""

    xyz: NDArray[np.float64]
    """(P, 3)."""
    rgb: NDArray[np.uint8]
    """(P, 3); empty columns where the file has no colours."""
    other: Mapping[str, NDArray[Any]]
    """Further columns by name."""


def read_ply(path: Path) -> Vertices:
    """Return the vertices of a binary little-endian PLY file whose first element they are."""
    head, body = path.read_bytes().split(b'end_header\n', 1)
    lines = head.decode('latin-1').splitlines()
    assert lines[1] == 'format binary_little_endian 1.0', lines
    first = next(i for i, line in enumerate(lines) if line.startswith('element '))
    count = int(lines[first].split()[2])
    layout: list[tuple[str, str]] = []
    for line in lines[first + 1 :]:
        if line.startswith('element '):
            break
        if line.startswith('property '):
            _, kind, name = line.split()
            layout.append((name, _KINDS[kind]))
    vertices = np.frombuffer(body, np.dtype(layout), count)
    colours = [vertices[name] for name in ('red', 'green', 'blue') if name in dict(layout)]
    used = {'x', 'y', 'z', 'red', 'green', 'blue'}
    return Vertices(
        np.stack([vertices[axis] for axis in 'xyz'], axis=1).astype(np.float64),
        np.stack(colours, axis=1) if colours else np.empty((count, 0), np.uint8),
        {name: vertices[name] for name, _ in layout if name not in used},
    )


def write_ply(path: Path, xyz: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
    """Write points (P, 3) and colours (P, 3), NaN as it is, as plain text."""
    head = [
        'ply',
        'format ascii 1.0',
        f'element vertex {len(xyz)}',
        *(f'property float {axis}' for axis in 'xyz'),
        *(f'property uchar {name}' for name in ('red', 'green', 'blue')),
        'end_header',
    ]
    rows = [
        ' '.join([*(repr(float(v)) for v in point), *(str(int(c)) for c in colour)])
        for point, colour in zip(xyz, rgb, strict=True)
    ]
    path.write_text('\n'.join([*head, *rows]) + '\n', encoding='ascii')
