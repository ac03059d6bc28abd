"""A scene as a sparse COLMAP model with its images, ready to be opened or refined.

The model (rigs, cameras, frames, images, points3D) lies in the export folder itself, the images
in `images/`. They are the images that depth and intrinsics belong to, so that no resize or crop
stands between a key point and its pixel. Still images out of files are named instead of written:
the model is then one of those files, whatever resize and crop were between, as with the official
exporter. Every filtered pixel is a key point at its centre and sees a 3D point of its own. COLMAP
puts the centre of the first pixel at (0.5, 0.5). Its cameras and the scene's have the same axes;
the world stays the scene's.

Views of one camera with equal intrinsics share a COLMAP camera. Every image is a frame by itself:
the network's poses of one instant need not agree with a rigid rig.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export import colmap_binary, colmap_text
from da3_ros.export.colmap_model import PARTS, ColmapCamera, ColmapImage, ColmapModel
from da3_ros.export.images import write_colour
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene, OriginalImage, selected_points, view_names
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.geometry.se3 import invert
from da3_ros.types import PosedView

_CAUTION = 'caution.txt'
"""Beside the model when there is one: what has to be known of it. Its files have no comments that
COLMAP's own programs keep, the binary ones none at all."""

# COLMAP takes the binary files when both kinds are there.
OWNED: tuple[str, ...] = (
    *(f'{part}.{suffix}' for part in PARTS for suffix in ('bin', 'txt')), _CAUTION,
)  # fmt: skip

# Skew that moves no pixel of an 8K image by more than a hundred-thousandth is rounding.
_MAX_RELATIVE_SKEW = 1e-9


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the five files of the model, a caution, and an image per view that is in no file."""
    suffix = 'bin' if options.colmap_encoding == 'binary' else 'txt'
    model = [f'{part}.{suffix}' for part in PARTS]
    if scene.comment:
        model.append(_CAUTION)
    if _originals(scene) is not None:
        return tuple(model)
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
    if scene.comment:
        (folder / _CAUTION).write_text(f'{scene.comment}\n', encoding='ascii')
    if _originals(scene) is not None:
        return model.point_count
    for index, (view, image) in enumerate(zip(scene.views, model.images, strict=True)):
        write_colour(folder / 'images' / image.name, view.image, scene.comment)
        progress(0.7 + 0.3 * (index + 1) / len(scene.views))
    return model.point_count


def _model(
    scene: ExportScene, options: ExportOptions, progress: Callable[[float], None]
) -> ColmapModel:
    cameras: dict[tuple[str, bytes, object], ColmapCamera] = {}
    images = []
    point_id = 1
    targets = _originals(scene) or [_written(*pair) for pair in _named_views(scene)]
    points = selected_points(scene, options, progress)
    for index, (view, target, found) in enumerate(zip(scene.views, targets, points, strict=True)):
        camera = target.camera
        key = (view.id.camera, camera.K.tobytes(), camera.size)
        if key not in cameras:
            cameras[key] = _camera(view.id.camera, camera, len(cameras) + 1)
        camera_from_world = invert(view.world_from_camera)
        x, y, z, w = quaternion_xyzw_from_matrix(camera_from_world[:3, :3]).tolist()
        images.append(
            ColmapImage(
                image_id=index + 1,
                camera_id=cameras[key].camera_id,
                name=target.name,
                pose=(w, x, y, z, *camera_from_world[:3, 3].tolist()),
                pixels=_in_file(found.pixel_uv, target),
                first_point_id=point_id,
                xyz=found.xyz,
                rgb=found.rgb,
            )
        )
        point_id += len(found.xyz)
    return ColmapModel(tuple(cameras.values()), tuple(images), scene.comment)


def _originals(scene: ExportScene) -> tuple[OriginalImage, ...] | None:
    return None if scene.stills is None else scene.stills.originals


def _named_views(scene: ExportScene) -> Iterable[tuple[str, PosedView]]:
    return zip(view_names(scene), scene.views, strict=True)


def _written(name: str, view: PosedView) -> OriginalImage:
    """Return a view's own pixels as the file that they are written to."""
    return OriginalImage(f'{name}.png', view.camera.size, 0, 0, view.camera)


def _in_file(pixel_uv: NDArray[np.int64], target: OriginalImage) -> FloatArray:
    """Return where the centres of a view's pixels (P, 2) are in the file, corner origin."""
    scale_x = target.camera.size.width / target.resized.width
    scale_y = target.camera.size.height / target.resized.height
    offset = np.array([target.left_px + 0.5, target.top_px + 0.5])
    pixels: FloatArray = (pixel_uv + offset) * np.array([scale_x, scale_y])
    return pixels


def _camera(name: str, camera: PinholeCamera, camera_id: int) -> ColmapCamera:
    (fx, skew, cx), (_, fy, cy), _ = camera.to_corner_origin().tolist()
    if abs(skew) > _MAX_RELATIVE_SKEW * fx:
        raise ExportError(
            f'colmap: camera {name}: expected a K without skew, got {skew} px; '
            'rectify the images with a K without skew, or export npz'
        )
    return ColmapCamera(camera_id, camera.size, (fx, fy, cx, cy))
