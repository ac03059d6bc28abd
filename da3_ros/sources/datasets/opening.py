"""Which datasets are known, and which of them a folder is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from da3_ros.errors import SourceError
from da3_ros.foreign import expanded, foreign_file, plain_line, plain_path
from da3_ros.sources.datasets import (
    cameras_json,
    colmap,
    euroc,
    icl_nuim,
    kitti,
    seven_scenes,
    tum,
)
from da3_ros.sources.datasets.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Kind:
    """One layout of datasets."""

    layout: str
    """By what it is recognised, for people."""
    is_it: Callable[[Path], bool]
    """Whether a path has the layout; looks at names only."""
    read: Callable[[Path], Dataset]


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        'icl_nuim': Kind(icl_nuim.LAYOUT, icl_nuim.is_it, icl_nuim.read),
        'tum': Kind(tum.LAYOUT, tum.is_it, tum.read),
        'euroc': Kind(euroc.LAYOUT, euroc.is_it, euroc.read),
        'kitti': Kind(kitti.LAYOUT, kitti.is_it, kitti.read),
        '7scenes': Kind(seven_scenes.LAYOUT, seven_scenes.is_it, seven_scenes.read),
        'cameras_json': Kind(cameras_json.LAYOUT, cameras_json.is_it, cameras_json.read),
        'colmap': Kind(colmap.LAYOUT, colmap.is_it, colmap.read),
    }
)
"""By name."""


def open_dataset(path: Path, kind: str = 'auto') -> Dataset:
    """Open a dataset; images and depth are read later, one by one.

    Args:
        path: its folder; for 7-Scenes also a file that lists sequences.
        kind: one of `KINDS`, or `auto` for the only one whose layout the folder has.

    Raises:
        SourceError: there is no such folder, it has no known layout, several, or not that of the
            kind, or nothing in it can be used.
    """
    path = expanded(path)
    if not path.exists():
        raise SourceError(f'dataset {plain_path(path)}: expected a folder, there is none')
    if kind != 'auto' and kind not in KINDS:
        names = ', '.join(('auto', *KINDS))
        raise SourceError(f'dataset: expected a kind of {names}, got {plain_line(kind, 60)!r}')
    with foreign_file(path, 'dataset'):
        found = [name for name in KINDS if kind in ('auto', name) and KINDS[name].is_it(path)]
    if not found:
        tried = KINDS if kind == 'auto' else (kind,)
        layouts = '; '.join(f'{name}: {KINDS[name].layout}' for name in tried)
        raise SourceError(
            f'dataset {plain_path(path)}: expected one of these layouts, it has none: {layouts}'
        )
    if len(found) > 1:
        raise SourceError(
            f'dataset {plain_path(path)}: it has the layouts of {" and ".join(found)}; name the '
            'kind that is meant'
        )
    with foreign_file(path, 'dataset'):
        return KINDS[found[0]].read(path)
