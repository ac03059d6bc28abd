"""Coloured points and camera frustums of a scene as one binary glTF file.

Units stay what they are (metres when the scene is metric), nothing is re-centred, so that a
measured distance in a viewer is a distance. The z axis of a stream's world becomes glTF's y axis;
of still images, whose world may have any axes, the first camera stands at the origin, upright.
The matrix that does it, glTF from world, is in the extras of the file's scene under the name that
the official exporter gives it, `hf_alignment`.
"""

from __future__ import annotations

from collections.abc import Callable
import colorsys
from dataclasses import replace
from pathlib import Path
import shutil

import numpy as np
from numpy.typing import NDArray
import trimesh

from da3_ros.export import depth_vis
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, confidence_threshold, selected_points, view_names
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.frames import BODY_FROM_OPTICAL, GLTF_FROM_BODY
from da3_ros.geometry.se3 import invert, transform_points
from da3_ros.geometry.unproject import unproject_pixels
from da3_ros.options.export import GlbOptions
from da3_ros.types import Mask, PosedView

OWNED: tuple[str, ...] = ()

# Colours from which on a background is black or white, as the official exporter has it.
_BLACK_BELOW = 16
_WHITE_FROM = 240


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the scene, and the pictures that are to come with it."""
    if not options.glb.export_depth_vis:
        return ('scene.glb',)
    return ('scene.glb', 'scene.jpg', *depth_vis.file_names(scene, _as_jpeg(options)))


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the scene and return the number of points in the file.

    Raises:
        ExportError: no view has a single known pixel, or the views do not stand in one world.
    """
    found = selected_points(
        scene,
        options,
        progress,
        threshold=_threshold(scene, options),
        among=lambda view: _foreground(view, options.glb),
    )
    clouds = [(cloud.xyz.astype(np.float32), cloud.rgb) for cloud in found]
    gltf_from_world = _gltf_from_world(scene)
    xyz = np.concatenate([xyz for xyz, _ in clouds])
    rgb = np.concatenate([rgb for _, rgb in clouds])
    points = transform_points(gltf_from_world, xyz).astype(np.float32)
    rgba = np.concatenate([rgb, np.full((len(rgb), 1), 255, np.uint8)], axis=1)
    extras: dict[str, object] = {
        'is_metric': scene.is_metric,
        'hf_alignment': gltf_from_world.tolist(),
    }
    if scene.caution:
        extras['caution'] = scene.caution
    world = trimesh.Scene(metadata=extras)
    world.add_geometry(trimesh.PointCloud(points, colors=rgba), geom_name='points')
    if options.glb.show_cameras:
        low, high = np.percentile(points, [5, 95], axis=0)
        size = options.glb.camera_size * (float(np.linalg.norm(high - low)) or 1.0)
        for index, (view, name) in enumerate(zip(scene.views, view_names(scene), strict=True)):
            colour = _colour(index, len(scene.views))
            frustum = _frustum(view, gltf_from_world, size, colour)
            world.add_geometry(frustum, geom_name=name)
            progress(0.7 + 0.1 * (index + 1) / len(scene.views))
    (folder / 'scene.glb').write_bytes(bytes(world.export(file_type='glb')))
    if options.glb.export_depth_vis:
        pictures = _as_jpeg(options)
        depth_vis.write(scene, folder, pictures, lambda share: progress(0.8 + 0.2 * share))
        first, *_ = depth_vis.file_names(scene, pictures)
        shutil.copyfile(folder / first, folder / 'scene.jpg')
    progress(1.0)
    return len(points)


def _as_jpeg(options: ExportOptions) -> ExportOptions:
    """Return the options for pictures beside a scene: galleries look for JPEG."""
    return replace(options, depth_vis_suffix='jpg')


def _threshold(scene: ExportScene, options: ExportOptions) -> float:
    """Return the least confidence of a point.

    `conf_thresh` is a floor, which gives way when it would leave less than the rest of
    `ensure_thresh_percentile`.
    """
    wanted = max(
        options.glb.conf_thresh, confidence_threshold(scene, options.conf_thresh_percentile)
    )
    return min(wanted, confidence_threshold(scene, options.glb.ensure_thresh_percentile))


def _foreground(view: PosedView, options: GlbOptions) -> Mask:
    kept = np.ones(view.depth.shape, np.bool_)
    if options.filter_black_bg:
        kept &= view.image.max(axis=-1) >= _BLACK_BELOW
    if options.filter_white_bg:
        kept &= view.image.min(axis=-1) < _WHITE_FROM
    return kept


def _gltf_from_world(scene: ExportScene) -> FloatArray:
    """Return the matrix (4, 4) that brings the world upright into glTF's axes."""
    if scene.stills is None:
        return GLTF_FROM_BODY
    gltf_from_optical: FloatArray = GLTF_FROM_BODY @ BODY_FROM_OPTICAL
    return gltf_from_optical @ invert(scene.views[0].world_from_camera)


def _colour(index: int, count: int) -> NDArray[np.uint8]:
    red, green, blue = colorsys.hsv_to_rgb((index + 0.5) / count, 0.85, 0.95)
    return np.array([red * 255, green * 255, blue * 255, 255], np.uint8)


def _frustum(
    view: PosedView, gltf_from_world: FloatArray, size: float, colour: NDArray[np.uint8]
) -> trimesh.path.Path3D:
    """Return the edges from the camera to the corners of its image, and around them."""
    h, w = view.camera.size.height, view.camera.size.width
    edge = np.array([[0, 0], [w, 0], [w, h], [0, h]]) - 0.5
    corners = unproject_pixels(edge, size, view.camera.K)
    in_camera = np.concatenate([np.zeros((1, 3)), corners])
    in_world = transform_points(view.world_from_camera, in_camera)
    vertices = transform_points(gltf_from_world, in_world)
    segments = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])
    path: trimesh.path.Path3D = trimesh.load_path(vertices[segments])
    path.colors = np.tile(colour, (len(path.entities), 1))
    return path
