"""Depth images from whatever a user names: folders, results, bags, datasets; read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
import re
from typing import Any

import numpy as np

from da3_ros.cli.describe_scene import scenes_of_batch
from da3_ros.cli.eval_bags import BagImages, bag_part
from da3_ros.errors import SourceError
from da3_ros.foreign import expanded, foreign_file, open_regular, plain_line, plain_path
from da3_ros.plain_data import read_json
from da3_ros.sources.datasets.depth_files import read_steps
from da3_ros.sources.datasets.opening import KINDS, open_dataset
from da3_ros.sources.images import natural_order
from da3_ros.sources.npz_file import read_arrays
from da3_ros.types import FloatImage

Array = np.ndarray[Any, Any]
Load = Callable[[], FloatImage]

METRES_PER_STEP = 0.001
"""Of images of whole numbers, unless the user says otherwise."""
SUFFIXES = ('.png', '.npy', '.npz')
RESULTS = ('exports/npz/results.npz', 'exports/mini_npz/results.npz', 'results.npz')
FRAME_FOLDERS = ('results_output', 'depth_png')
CONFIDENCE = 'conf'
"""Its key in npz files of ours and of the official tool."""

_STREAM_RECORD = 'stream.json'
_NO_METRES = 'the results say that their depth is in a unit of its own, not metres'
_DEPTH_KEYS = ('depth', 'depths')
_SIZE_SUFFIX = re.compile(r'_\d+x\d+\Z')
_STAMP_IN_NAME = re.compile(r'_(\d{15,19})\Z')
_MAX_NPY_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class DepthMap:
    """One depth image, not read yet."""

    name: str
    load: Load
    """Reads it: (H, W) in metres, what is not positive or not finite is unknown."""
    place: int
    """Among all images of the source, those without depth included."""
    stamp_ns: int | None = None
    beside: Mapping[str, Load] = field(default_factory=dict)
    """What lies beside the depth in the same file, by its key."""


@dataclass(frozen=True, slots=True)
class DepthSource:
    """Depth images of one place."""

    source: str
    """As it was named."""
    maps: tuple[DepthMap, ...]
    total: int
    """Images of the source, those without depth included."""
    has_steps: bool = False
    """Whether its values are whole numbers in a unit that has to be known."""
    notes: tuple[str, ...] = ()
    numbered_ns: tuple[int, ...] = ()
    """Stamps that stand for the numbers of all its images, of a dataset that has no clock."""
    is_counted: bool = False
    """Whether names are but the count of the images of a run, whatever these are called."""


def named_depth(text: str, step_m: float | None, stack: ExitStack) -> DepthSource:
    """Open the depth images that a user names.

    Args:
        text: `BAG#/TOPIC`, an npz or npy, a folder of them or of 16-bit PNG, a folder of results,
            or the folder of a dataset with depth.
        step_m: metres of a step in images of whole numbers; None for millimetres.
        stack: closes what stays open.

    Raises:
        SourceError: it is none of them, or holds no depth.
    """
    part = bag_part(text)
    if part is not None:
        images = stack.enter_context(BagImages(part))
        maps = tuple(
            DepthMap(str(stamp), partial(images.depth, place), place, stamp)
            for place, stamp in enumerate(images.stamps_ns)
        )
        found = DepthSource(text, maps, len(maps), notes=images.notes)
    else:
        found = _of_path(expanded(text), text, METRES_PER_STEP if step_m is None else step_m)
    if not found.maps:
        raise SourceError(f'{plain_line(text)}: expected depth images, there are none')
    if step_m is not None and not found.has_steps:
        raise SourceError(
            f'{plain_line(text)}: expected images of whole numbers, since a unit of their steps '
            'is given; what it holds is in metres already'
        )
    return found


def _of_path(path: Path, text: str, step_m: float) -> DepthSource:
    if path.is_file():
        if path.name == 'results.npz':
            return _of_results(path, text)
        maps = tuple(_file_maps(path, 0, step_m))
        return DepthSource(text, maps, len(maps), has_steps=_is_png(path))
    if not path.is_dir():
        raise SourceError(f'{plain_path(path)}: expected a file or a folder, there is none')
    results = results_in(path)
    if results is not None:
        return _of_results(results, text)
    scenes = scenes_of_batch(path)
    if scenes:
        return _of_batch(scenes, text)
    if any(kind.is_it(path) for kind in KINDS.values()):
        return _of_dataset(path, text)
    for name in ('', *FRAME_FOLDERS):
        folder = path / name
        if folder.is_dir() and (files := _depth_files(folder)):
            found = _of_folder(files, text, step_m)
            return _with_record(replace(found, is_counted=bool(name)), path)
    raise SourceError(
        f'{plain_path(path)}: expected depth as {", ".join(SUFFIXES)} files, results of da3, or a '
        f'dataset ({", ".join(KINDS)}); there is none of them'
    )


def _depth_files(folder: Path) -> list[Path]:
    files = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(files, key=lambda p: natural_order(p.name))


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == '.png'


def _of_folder(files: list[Path], text: str, step_m: float) -> DepthSource:
    maps: list[DepthMap] = []
    for file in files:
        if file.suffix.lower() == '.npz':
            maps.append(_frame_file(file, len(maps)))
        else:
            maps += _file_maps(file, len(maps), step_m)
    return DepthSource(text, tuple(maps), len(maps), has_steps=any(map(_is_png, files)))


def _file_maps(path: Path, place: int, step_m: float) -> Iterator[DepthMap]:
    """Yield the images of a file: of an npz there may be several."""
    suffix = path.suffix.lower()
    if suffix == '.npz':
        yield from _of_results(path, str(path)).maps
    elif suffix in SUFFIXES:
        read = partial(_read_png if suffix == '.png' else _read_npy, path, step_m)
        yield DepthMap(path.stem, read, place, _stamp_in(path.stem))
    else:
        raise SourceError(
            f'{plain_path(path)}: expected depth as {", ".join(SUFFIXES)}, or BAG#/TOPIC'
        )


def _frame_file(path: Path, place: int) -> DepthMap:
    """Return the one image of an npz of a folder, of which nothing is read yet."""
    beside = _Beside(path)
    return DepthMap(
        path.stem, partial(_read_key, path, _DEPTH_KEYS), place, _stamp_in(path.stem), beside
    )


class _Beside(Mapping[str, Load]):
    """Whatever key is asked for, to be looked for when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: tuple[str, ...] | None = None

    def __getitem__(self, key: str) -> Load:
        if key not in self._names():
            raise KeyError(key)
        return partial(_read_key, self._path, (key,))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> tuple[str, ...]:
        if self._keys is None:
            self._keys = tuple(_arrays(self._path))
        return self._keys


def _stamp_in(name: str) -> int | None:
    match = _STAMP_IN_NAME.search(name)
    return int(match[1]) if match else None


def _with_record(found: DepthSource, folder: Path) -> DepthSource:
    """Return frames of a stream with the stamps of its record, and with its unit."""
    path = folder / _STREAM_RECORD
    if not path.is_file():
        return found
    with foreign_file(path, 'record of a stream'):
        record = read_json(path)
        stamps = record['stamps_ns']
        if len(stamps) != len(found.maps) or not all(type(ns) is int for ns in stamps):
            raise ValueError(f'expected a stamp for each of {len(found.maps)} frames')
    maps = zip(found.maps, stamps, strict=True)
    notes = (*found.notes, *([_NO_METRES] if record.get('is_metric') is False else []))
    return replace(found, maps=tuple(replace(one, stamp_ns=ns) for one, ns in maps), notes=notes)


def _of_batch(scenes: list[Path], text: str) -> DepthSource:
    """Return the scenes of `da3 images --each`: one image each, named as it."""
    files = [results_in(scene) for scene in scenes]
    maps = tuple(
        replace(_frame_file(file, place), name=scene.name)
        for place, (scene, file) in enumerate(zip(scenes, files, strict=True))
        if file is not None
    )
    return DepthSource(text, maps, len(scenes))


def results_in(folder: Path) -> Path | None:
    """Return the `results.npz` of a folder; None where there is none."""
    return next((folder / place for place in RESULTS if (folder / place).is_file()), None)


def _of_results(path: Path, text: str) -> DepthSource:
    """Return the views of a `results.npz`, ours or the official exporter's."""
    arrays = read_arrays(path)
    groups: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        match = _SIZE_SUFFIX.search(name)
        suffix = match[0] if match else ''
        groups.setdefault(suffix, {})[name.removesuffix(suffix)] = array
    maps: list[DepthMap] = []
    for group in groups.values():
        key = next((key for key in _DEPTH_KEYS if key in group), None)
        if key is not None:
            maps += _views(group, key, len(maps), path)
    if not maps:
        names = ', '.join(map(plain_line, arrays)) or 'none'
        raise SourceError(f'{plain_path(path)}: expected depth among its arrays, got {names}')
    notes = [_NO_METRES] if not bool(arrays.get('is_metric', True)) else []
    is_counted = any(one.stamp_ns is None for one in maps)
    return DepthSource(text, tuple(maps), len(maps), notes=tuple(notes), is_counted=is_counted)


def _views(group: Mapping[str, Array], key: str, first: int, path: Path) -> Iterator[DepthMap]:
    depth = group[key] if group[key].ndim == 3 else group[key][None]
    if depth.ndim != 3 or depth.dtype.kind not in 'fiu' or not depth.size:
        raise SourceError(
            f'{plain_path(path)}: {key}: expected numbers (views, height, width), got '
            f'{depth.dtype} {depth.shape}'
        )
    per_view = {
        name: array.reshape(depth.shape)
        for name, array in group.items()
        if array.size == depth.size and array.dtype.kind in 'fiub' and name != key
    }
    sky = per_view.get('sky')
    stamps = group.get('stamp_ns')
    is_stamped = stamps is not None and stamps.shape == (len(depth),)
    for index in range(len(depth)):
        hidden = None if sky is None else sky[index].astype(bool)
        stamp = int(stamps[index]) if stamps is not None and is_stamped else None
        name = f'{first + index:04d}'
        if stamp is not None:
            camera = str(group['camera'][index]) if 'camera' in group else 'image'
            name = f'{camera}_{stamp}'
        yield DepthMap(
            name,
            partial(_without, depth[index], hidden),
            first + index,
            stamp,
            {name: partial(_without, array[index], None) for name, array in per_view.items()},
        )


def _without(depth: Array, hidden: Array | None) -> FloatImage:
    image = depth.astype(np.float32)
    if hidden is not None:
        image[hidden] = np.nan
    return image


def _of_dataset(path: Path, text: str) -> DepthSource:
    dataset = open_dataset(path)
    is_one = len(dataset.cameras) == 1
    maps = tuple(
        DepthMap(
            frame.image.stem if is_one else f'{frame.camera}_{frame.image.stem}',
            partial(dataset.read_depth, frame),
            place,
            frame.stamp_ns,
        )
        for place, frame in enumerate(dataset.frames)
        if frame.depth is not None
    )
    notes = [note.text for note in dataset.notes]
    if not dataset.is_metric:
        notes.append('depth is in a unit of the dataset, not metres')
    numbered = () if dataset.is_stamped else tuple(frame.stamp_ns for frame in dataset.frames)
    return DepthSource(text, maps, len(dataset.frames), notes=tuple(notes), numbered_ns=numbered)


def _read_png(path: Path, step_m: float) -> FloatImage:
    return np.asarray(read_steps(path) * np.float32(step_m), np.float32)


def _read_npy(path: Path, step_m: float) -> FloatImage:
    with foreign_file(path, 'npy'), open_regular(path) as file:
        if file.seek(0, 2) > _MAX_NPY_BYTES:
            raise ValueError(f'expected at most {_MAX_NPY_BYTES} bytes')
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
        return _image(array, step_m if array.dtype.kind in 'iu' else 1.0)


def _read_key(path: Path, keys: tuple[str, ...]) -> FloatImage:
    arrays = _arrays(path)
    with foreign_file(path, 'npz'):
        key = next((key for key in keys if key in arrays), None)
        if key is None:
            raise ValueError(f'expected {" or ".join(keys)}, it has {", ".join(arrays) or "none"}')
        return _image(arrays[key], 1.0)


@lru_cache(maxsize=1)
def _arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of a frame; depth and what lies beside it are asked for in turn."""
    return read_arrays(path)


def _image(array: Array, factor: float) -> FloatImage:
    is_one = array.ndim > 2 and array.size == np.prod(array.shape[-2:])
    squeezed = array.reshape(array.shape[-2:]) if is_one else array
    if squeezed.ndim != 2 or array.dtype.kind not in 'fiu' or not array.size:
        raise ValueError(f'expected numbers (height, width), got {array.dtype} {array.shape}')
    return np.asarray(squeezed.astype(np.float32) * np.float32(factor), np.float32)
