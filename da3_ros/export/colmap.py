"""A scene as a sparse COLMAP model with its images, ready to be opened or refined.

The model (rigs, cameras, frames, images, points3D) lies in the export folder itself, the images
in `images/`. They are the images that depth and intrinsics belong to, so that no resize or crop
stands between a key point and its pixel. Every filtered pixel is a key point at its centre and
sees a 3D point of its own. COLMAP puts the centre of the first pixel at (0.5, 0.5). Its cameras
and the scene's have the same axes; the world stays the scene's, z up.

Views of one camera with equal intrinsics share a COLMAP camera. Every image is a frame by itself:
the network's poses of one instant need not agree with a rigid rig.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from da3_ros.errors import ExportError
from da3_ros.export import colmap_binary, colmap_text
from da3_ros.export.colmap_model import PARTS, ColmapCamera, ColmapImage, ColmapModel
from da3_ros.export.images import write_colour
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, selected_points, view_names
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.geometry.se3 import invert
from da3_ros.types import PosedView

# COLMAP takes the binary files when both kinds are there.
OWNED: tuple[str, ...] = tuple(f'{part}.{suffix}' for part in PARTS for suffix in ('bin', 'txt'))

# Skew that moves no pixel of an 8K image by more than a hundred-thousandth is rounding.
_MAX_RELATIVE_SKEW = 1e-9


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the five files of the model, then one image per view."""
    suffix = 'bin' if options.colmap_encoding == 'binary' else 'txt'
    model = [f'{part}.{suffix}' for part in PARTS]
    return (*model, *(f'images/{name}.png' for name in view_names(scene)))


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the model and the images; return the number of 3D points.

    Raises:
        ExportError: no view has a single known pixel, or a camera has skew, which COLMAP's
            camera models cannot say.
    """
    model = _model(scene, options, lambda share: progress(0.6 * share))
    encoding = colmap_binary if options.colmap_encoding == 'binary' else colmap_text
    encoding.write_model(model, folder, lambda share: progress(0.42 + 0.28 * share))
    for index, (view, image) in enumerate(zip(scene.views, model.images, strict=True)):
        write_colour(folder / 'images' / image.name, view.image)
        progress(0.7 + 0.3 * (index + 1) / len(scene.views))
    return model.point_count


def _model(
    scene: ExportScene, options: ExportOptions, progress: Callable[[float], None]
) -> ColmapModel:
    cameras: dict[tuple[str, bytes, object], ColmapCamera] = {}
    images = []
    point_id = 1
    names = view_names(scene)
    points = selected_points(scene, options, progress)
    for index, (view, name, found) in enumerate(zip(scene.views, names, points, strict=True)):
        key = (view.frame.camera, view.camera.K.tobytes(), view.camera.size)
        if key not in cameras:
            cameras[key] = _camera(view, len(cameras) + 1)
        camera_from_world = invert(view.world_from_camera)
        x, y, z, w = quaternion_xyzw_from_matrix(camera_from_world[:3, :3]).tolist()
        images.append(
            ColmapImage(
                image_id=index + 1,
                camera_id=cameras[key].camera_id,
                name=f'{name}.png',
                pose=(w, x, y, z, *camera_from_world[:3, 3].tolist()),
                pixels=found.pixel_uv.astype(np.float64) + 0.5,
                first_point_id=point_id,
                xyz=found.xyz,
                rgb=found.rgb,
            )
        )
        point_id += len(found.xyz)
    return ColmapModel(tuple(cameras.values()), tuple(images))


def _camera(view: PosedView, camera_id: int) -> ColmapCamera:
    (fx, skew, cx), (_, fy, cy), _ = view.camera.to_corner_origin().tolist()
    if abs(skew) > _MAX_RELATIVE_SKEW * fx:
        raise ExportError(
            f'colmap: camera {view.frame.camera}: expected a K without skew, got {skew} px; '
            'rectify the images with a K without skew, or export npz'
        )
    return ColmapCamera(camera_id, view.camera.size, (fx, fy, cx, cy))
