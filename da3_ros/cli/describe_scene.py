"""What exported files hold: results, GLB, PLY, and folders of them."""

from __future__ import annotations

import json
from pathlib import Path
import struct
from typing import Any

from da3_ros.errors import SourceError

Description = dict[str, Any]

_GLB_MAGIC = b'glTF'
_JSON_CHUNK = b'JSON'
_MAX_HEADER_BYTES = 64 * 2**20
_MAX_PLY_HEADER_LINES = 1000
_POINTS_MODE = 0
_SCENE_FILES = {
    'exports/npz/results.npz': 'npz', 'exports/mini_npz/results.npz': 'mini_npz',
    'scene.glb': 'glb', 'points.ply': 'ply', 'cameras.bin': 'colmap', 'cameras.txt': 'colmap',
    'depth_vis/*': 'depth_vis', 'depth_png/*': 'depth_png', 'gs_ply/*.ply': 'gs_ply',
    'gs_video/*.mp4': 'gs_video', 'feat_vis/*.mp4': 'feat_vis', 'results.npz': 'npz',
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
    try:
        with path.open('rb') as file:
            magic, version, _ = struct.unpack('<4sII', file.read(12))
            length, kind = struct.unpack('<I4s', file.read(8))
            if magic != _GLB_MAGIC or kind != _JSON_CHUNK or length > _MAX_HEADER_BYTES:
                raise ValueError('it does not begin like one')
            content = json.loads(file.read(length))
        counts = {'points': 0, 'other': 0}
        for mesh in content.get('meshes', []):
            for primitive in mesh['primitives']:
                which = 'points' if primitive.get('mode', 4) == _POINTS_MODE else 'other'
                accessor = content['accessors'][primitive['attributes']['POSITION']]
                counts[which] += accessor['count'] if which == 'points' else 1
        nodes = [node.get('name', '') for node in content.get('nodes', []) if 'mesh' in node]
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise SourceError(f'{path}: cannot be read as GLB: {error}') from error
    return {
        'kind': 'GLB scene',
        'version': version,
        'points': counts['points'],
        'cameras_and_meshes': counts['other'],
        'nodes': nodes[:20],
    }


def describe_ply(path: Path) -> Description:
    """Return what a PLY holds, from its header alone.

    Raises:
        SourceError: it is no PLY.
    """
    elements: list[Description] = []
    encoding = ''
    try:
        with path.open('rb') as file:
            if file.readline(1000).strip() != b'ply':
                raise ValueError('it does not begin like one')
            for _ in range(_MAX_PLY_HEADER_LINES):
                words = file.readline(1000).decode('ascii').split()
                if not words or words[0] == 'end_header':
                    break
                if words[0] == 'format':
                    encoding = words[1]
                elif words[0] == 'element':
                    elements.append({'element': words[1], 'count': int(words[2]), 'columns': []})
                elif words[0] == 'property':
                    elements[-1]['columns'].append(words[-1])
    except (OSError, ValueError, IndexError) as error:
        raise SourceError(f'{path}: cannot be read as PLY: {error}') from error
    is_splat = any('opacity' in element['columns'] for element in elements)
    return {
        'kind': 'Gaussians (PLY)' if is_splat else 'points (PLY)',
        'encoding': encoding,
        'elements': elements,
    }


def describe_scene_folder(path: Path) -> Description | None:
    """Return which formats an export left in a folder; None when it left none."""
    formats = sorted({name for glob, name in _SCENE_FILES.items() if any(path.glob(glob))})
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
