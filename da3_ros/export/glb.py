"""Coloured points and camera frustums of a scene as one binary glTF file.

The world's z axis becomes glTF's y axis; units stay what they are (metres when the scene is
metric), nothing is re-centred, so that a measured distance in a viewer is a distance.
"""

from __future__ import annotations

from collections.abc import Callable
import colorsys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import trimesh

from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, selected_points
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.frames import GLTF_FROM_BODY
from da3_ros.geometry.se3 import transform_points
from da3_ros.types import PosedView

OWNED: tuple[str, ...] = ()

# Frustum size relative to the extent of the points.
_FRUSTUM_SHARE = 0.03


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the one file of this format."""
    return ('scene.glb',)


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the scene and return the number of points in the file.

    Raises:
        ExportError: no view has a single known pixel.
    """
    clouds = [(c.xyz.astype(np.float32), c.rgb) for c in selected_points(scene, options, progress)]
    xyz = np.concatenate([xyz for xyz, _ in clouds])
    rgb = np.concatenate([rgb for _, rgb in clouds])
    points = transform_points(GLTF_FROM_BODY, xyz).astype(np.float32)
    low, high = np.percentile(points, [5, 95], axis=0)
    size = _FRUSTUM_SHARE * float(np.linalg.norm(high - low)) or 1.0
    rgba = np.concatenate([rgb, np.full((len(rgb), 1), 255, np.uint8)], axis=1)
    world = trimesh.Scene(metadata={'is_metric': scene.is_metric})
    world.add_geometry(trimesh.PointCloud(points, colors=rgba), geom_name='points')
    for index, view in enumerate(scene.views):
        world.add_geometry(
            _frustum(view, size, _colour(index, len(scene.views))),
            geom_name=f'{view.frame.camera}_{view.frame.stamp_ns}',
        )
        progress(0.7 + 0.2 * (index + 1) / len(scene.views))
    (folder / 'scene.glb').write_bytes(bytes(world.export(file_type='glb')))
    progress(1.0)
    return len(points)


def _colour(index: int, count: int) -> NDArray[np.uint8]:
    red, green, blue = colorsys.hsv_to_rgb((index + 0.5) / count, 0.85, 0.95)
    return np.array([red * 255, green * 255, blue * 255, 255], np.uint8)


def _frustum(view: PosedView, size: float, colour: NDArray[np.uint8]) -> trimesh.path.Path3D:
    """Return the edges from the camera to the corners of its image, and around them."""
    h, w = view.camera.size.height, view.camera.size.width
    edge = np.array([[0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]], np.float64) - (0.5, 0.5, 0)
    corners: FloatArray = size * (edge @ np.linalg.inv(view.camera.K).T)
    in_camera = np.concatenate([np.zeros((1, 3)), corners])
    in_world = transform_points(view.world_from_camera, in_camera)
    vertices = transform_points(GLTF_FROM_BODY, in_world)
    segments = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])
    path: trimesh.path.Path3D = trimesh.load_path(vertices[segments])
    path.colors = np.tile(colour, (len(path.entities), 1))
    return path
