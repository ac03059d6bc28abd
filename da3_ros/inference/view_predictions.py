"""What a network says about a window, view by view, as the stream takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
import logging

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert, nearest_rigid
from da3_ros.inference.pixel_rule import cameras_of
from da3_ros.inference.placement import Placement
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import ProcessedImages
from da3_ros.inference.window_network import WindowMaps
from da3_ros.model.plain.sky import SKY_SCORE
from da3_ros.types import CameraFrame, ViewPrediction

_logger = logging.getLogger(__name__)


def window_prediction(maps: WindowMaps, processed: ProcessedImages) -> Prediction:
    """Return what a network says about a window, its maps of the wanted views alone."""
    return Prediction(
        depth=maps.depth,
        is_metric=maps.is_metric,
        sky=None if maps.sky is None else maps.sky >= SKY_SCORE,
        conf=maps.confidence,
        extrinsics=maps.extrinsics,
        intrinsics=maps.intrinsics,
        processed_images=processed.images,
    )


def with_all_depth(prediction: Prediction, wanted: Sequence[int]) -> Prediction:
    """Return the prediction with depth of all views, NaN in the sky and where nobody asked."""
    assert prediction.processed_images is not None
    depth = np.full(prediction.processed_images.shape[:3], np.nan, np.float32)
    known = prediction.depth
    if prediction.sky is not None:
        known = np.where(prediction.sky, np.float32(np.nan), known)
    depth[list(wanted)] = known
    return replace(prediction, depth=depth, sky=None)


def view_predictions(
    prediction: Prediction,
    frames: Sequence[CameraFrame],
    processed: ProcessedImages,
    wanted: Sequence[int],
) -> tuple[ViewPrediction, ...]:
    """Return the views of a window; only the wanted ones have depth."""
    assert prediction.extrinsics is not None
    place_of = {view: place for place, view in enumerate(wanted)}
    poses = _poses(prediction.extrinsics, frames)
    views = zip(poses, frames, processed.placements, strict=True)
    return tuple(
        _view(prediction, index, place_of.get(index), *view) for index, view in enumerate(views)
    )


def _view(
    prediction: Prediction,
    index: int,
    place: int | None,
    pose: FloatArray,
    frame: CameraFrame,
    placement: Placement,
) -> ViewPrediction:
    """Return what is said about a view; its maps are at a place, or were not asked for."""
    assert prediction.processed_images is not None
    assert prediction.intrinsics is not None
    calibration = frame.calibration
    return ViewPrediction(
        depth=None if place is None else _usable_depth(prediction.depth[place], frame.camera),
        image=prediction.processed_images[index],
        window_from_camera=pose,
        camera=_camera(prediction.intrinsics[index], placement.size, frame.camera),
        calibrated_camera=None if calibration is None else placement.camera(calibration),
        confidence=None if prediction.conf is None or place is None else prediction.conf[place],
        sky=None if prediction.sky is None or place is None else prediction.sky[place],
        pixel_map=placement.pixel_map,
    )


def _usable_depth(depth: NDArray[np.float32], camera: str) -> NDArray[np.float32]:
    if depth.min() > 0 and depth.max() < np.inf:  # neither of NaN
        return depth
    usable = np.isfinite(depth) & (depth > 0)
    _logger.warning('camera %s: %d pixels without depth', camera, (~usable).sum())
    return np.where(usable, depth, np.float32(np.nan))


def _poses(extrinsics: NDArray[np.float32], frames: Sequence[CameraFrame]) -> FloatArray:
    """Return window_from_camera (V, 4, 4), rotations made exact in float64."""
    for frame, pose in zip(frames, extrinsics, strict=True):
        if not np.isfinite(pose).all():
            raise ModelError(f'camera {frame.camera}: the network predicted no finite pose')
    return invert(nearest_rigid(extrinsics))


def _camera(intrinsics: NDArray[np.float32], size: ImageSize, camera: str) -> PinholeCamera:
    if not np.isfinite(intrinsics).all() or not (intrinsics[(0, 1), (0, 1)] > 0).all():
        raise ModelError(f'camera {camera}: the network predicted no usable focal length')
    return cameras_of(intrinsics[None], size)[0]
