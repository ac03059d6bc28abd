"""What exported files hold: results, GLB, PLY, and folders of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import struct
from typing import Any

from da3_ros.foreign import foreign_file, open_regular, plain_line
from da3_ros.plain_data import MAX_JSON_BYTES, json_of

Description = dict[str, Any]

_GLB_MAGIC = b'glTF'
_JSON_CHUNK = b'JSON'
_MAX_PLY_HEADER_LINES = 1000
_MAX_PLY_LINE = 1000
_POINTS_MODE, _TRIANGLES_MODE = 0, 4
_SHOWN_NODES = 20
_MAX_COUNT = 1 << 32
_SCENE_FILES = {
    'exports/npz/results.npz': 'npz', 'exports/mini_npz/results.npz': 'mini_npz',
    'scene.glb': 'glb', 'points.ply': 'ply', 'cameras.bin': 'colmap', 'cameras.txt': 'colmap',
    'depth_vis/*': 'depth_vis', 'depth_png/*': 'depth_png', 'gs_ply/*.ply': 'gs_ply',
    'depth_image/*': 'depth_image', 'gs_video/*.mp4': 'gs_video', 'feat_vis/*.mp4': 'feat_vis',
    'results.npz': 'npz',
}  # fmt: skip


def describe_results(path: Path) -> Description:
    """Return what a `results.npz` holds.

    Raises:
        SourceError: it is no npz, or damaged.
    """
    import numpy as np

    from da3_ros.sources.npz_file import read_arrays
    from da3_ros.sources.results import results_of

    arrays = read_arrays(path)
    listed = [
        {'array': name, 'type': str(value.dtype), 'shape': value.shape}
        for name, value in arrays.items()
    ]
    if not any(name.split('_')[0] == 'depth' for name in arrays):
        return {'kind': 'npz', 'arrays': listed}
    saved = results_of(arrays, path)
    depths = [view.depth[np.isfinite(view.depth) & (view.depth > 0)] for view in saved.scene.views]
    depth = np.concatenate(depths) if depths else np.empty(0)
    found: Description = {
        'kind': 'results',
        'views': len(saved.scene.views),
        'is_metric': saved.scene.is_metric,
        'has_images': saved.has_images,
        'cameras': sorted({view.id.camera for view in saved.scene.views}),
    }
    if depth.size:
        low, middle, high = np.percentile(depth, [2, 50, 98]).tolist()
        found['depth'] = {'percentile_2': low, 'median': middle, 'percentile_98': high}
    return {**found, 'arrays': listed}


def describe_glb(path: Path) -> Description:
    """Return what a GLB holds, from its header alone.

    Raises:
        SourceError: it is no GLB.
    """
    with foreign_file(path, 'GLB'):
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            magic, version, _ = struct.unpack('<4sII', file.read(12))
            length, kind = struct.unpack('<I4s', file.read(8))
            if magic != _GLB_MAGIC or kind != _JSON_CHUNK:
                raise ValueError('it does not begin like one')
            if length > min(size, MAX_JSON_BYTES):
                raise ValueError(
                    f'its header declares {length} bytes, of at most {MAX_JSON_BYTES} and a file '
                    f'of {size}'
                )
            content = _mapping(json_of(file.read(length)), 'its header')
        counts = {'points': 0, 'other': 0}
        accessors = _entries(content, 'accessors')
        for mesh in _entries(content, 'meshes'):
            for primitive in _entries(mesh, 'primitives'):
                is_points = primitive.get('mode', _TRIANGLES_MODE) == _POINTS_MODE
                attributes = _mapping(primitive.get('attributes'), 'attributes')
                number = _count(attributes.get('POSITION'), 'POSITION')
                if number >= len(accessors):
                    raise ValueError(f'POSITION: there is no accessor {number}')
                points = _count(accessors[number].get('count'), 'count')
                counts['points' if is_points else 'other'] += points if is_points else 1
        nodes = [node for node in _entries(content, 'nodes') if 'mesh' in node]
        names = [plain_line(node.get('name', ''), 80) for node in nodes[:_SHOWN_NODES]]
    return {
        'kind': 'GLB scene',
        'version': version,
        'points': counts['points'],
        'cameras_and_meshes': counts['other'],
        'nodes': names,
    }


def describe_ply(path: Path) -> Description:
    """Return what a PLY holds, from its header alone.

    Raises:
        SourceError: it is no PLY.
    """
    elements: list[Description] = []
    encoding = ''
    with foreign_file(path, 'PLY'), open_regular(path) as file:
        if file.readline(_MAX_PLY_LINE).strip() != b'ply':
            raise ValueError('it does not begin like one')
        for _ in range(_MAX_PLY_HEADER_LINES):
            line = file.readline(_MAX_PLY_LINE).decode('ascii', errors='backslashreplace')
            words = line.split()
            if not line or words == ['end_header']:
                break
            if words[:1] == ['format']:
                encoding = _word(words, 1)
            elif words[:1] == ['element']:
                count = int(_word(words, 2))
                if count < 0:
                    raise ValueError(f'element {_word(words, 1)}: {count} is no number of them')
                elements.append({'element': _word(words, 1), 'count': count, 'columns': []})
            elif words[:1] == ['property']:
                if not elements:
                    raise ValueError('a property comes before the first element')
                elements[-1]['columns'].append(_word(words, -1))
        if words != ['end_header']:
            raise ValueError('its header has no end')
    is_splat = any('opacity' in element['columns'] for element in elements)
    return {
        'kind': 'Gaussians (PLY)' if is_splat else 'points (PLY)',
        'encoding': encoding,
        'elements': elements,
    }


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f'{what}: expected a mapping, got {plain_line(repr(value), 60)}')
    return value


def _entries(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return a list of mappings in a header; empty where there is none."""
    value = content.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f'{key}: expected a list, got {plain_line(repr(value), 60)}')
    return [_mapping(entry, key) for entry in value]


def _count(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < _MAX_COUNT:
        raise ValueError(f'{what}: expected a whole number, got {plain_line(repr(value), 60)}')
    return value


def _word(words: list[str], index: int) -> str:
    if not -len(words) <= index < len(words):
        raise ValueError(f'{" ".join(words)}: the line is cut short')
    return plain_line(words[index], 80)


def scenes_of_batch(path: Path) -> list[Path]:
    """Return the folders of finished scenes that a batch left in a folder, in order of names."""
    return sorted(record.parent for record in path.glob('*/da3.json') if record.is_file())


def describe_batch(path: Path) -> Description | None:
    """Return which scenes a batch left in a folder; None when it left none."""
    scenes = scenes_of_batch(path)
    if not scenes:
        return None
    return {
        'kind': 'batch of exported scenes',
        'scenes': len(scenes),
        'first': scenes[0].name,
        'last': scenes[-1].name,
        'formats': sorted({name for scene in scenes for name in _formats_in(scene)}),
    }


def _formats_in(path: Path) -> set[str]:
    return {name for glob, name in _SCENE_FILES.items() if any(path.glob(glob))}


def describe_scene_folder(path: Path) -> Description | None:
    """Return which formats an export left in a folder; None when it left none."""
    formats = sorted(_formats_in(path))
    record = path / 'da3.json'
    if not formats and not record.is_file():
        return None
    files = [file for file in path.rglob('*') if file.is_file()]
    found: Description = {
        'kind': 'exported scene',
        'formats': formats,
        'files': len(files),
        'bytes': sum(file.stat().st_size for file in files),
    }
    for place in ('exports/npz/results.npz', 'exports/mini_npz/results.npz', 'results.npz'):
        if (path / place).is_file():
            return {**found, 'results': describe_results(path / place)}
    return found
