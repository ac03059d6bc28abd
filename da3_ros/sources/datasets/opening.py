"""Which datasets are known, and which of them a folder is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from da3_ros.errors import SourceError
from da3_ros.foreign import expanded, foreign_file, plain_line, plain_path
from da3_ros.sources.datasets.cameras_json import KIND as CAMERAS_JSON
from da3_ros.sources.datasets.colmap import KIND as COLMAP
from da3_ros.sources.datasets.dataset import Dataset
from da3_ros.sources.datasets.euroc import KIND as EUROC
from da3_ros.sources.datasets.icl_nuim import KIND as ICL_NUIM
from da3_ros.sources.datasets.kind import Kind
from da3_ros.sources.datasets.kitti import KIND as KITTI
from da3_ros.sources.datasets.seven_scenes import KIND as SEVEN_SCENES
from da3_ros.sources.datasets.tum import KIND as TUM

KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in (TUM, ICL_NUIM, KITTI, EUROC, SEVEN_SCENES, CAMERAS_JSON, COLMAP)}
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
