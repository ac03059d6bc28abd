"""What a network that sees each view alone cannot say of a window: where its views stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError, NoPosesError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert
from da3_ros.inference.metric import metric_depth
from da3_ros.inference.pixel_rule import corner_matrices
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import ProcessedImages
from da3_ros.model.config import SingleViewConfig
from da3_ros.notes import joined
from da3_ros.types import CameraFrame, KnownPoses


def poses_of_single_views(
    config: SingleViewConfig, views: int, known: KnownPoses | None
) -> FloatArray:
    """Return known poses (N, 4, 4) seen from the first view; they need depth in their unit.

    Raises:
        NoPosesError: They are not all known, or depth is in no unit.
    """
    is_metric = config.canonical_focal_px is not None
    if is_metric and known is not None and known.frame_from_camera is not None:
        poses = known.frame_from_camera
        return np.asarray(invert(poses[0]) @ poses)
    hint = (joined(known.notes) if known else '') or 'no odometry, no rig'
    ways = 'use one camera and windows of one set, or a network that predicts poses'
    if is_metric:
        ways += f', or let odometry tell the poses of all views ({hint})'
    raise NoPosesError(
        f'{config.name} predicts no poses and takes windows of one view only, got {views}; {ways}'
    )


def check_calibrated(config: SingleViewConfig, frames: Sequence[CameraFrame]) -> None:
    """Refuse frames without calibration, for nothing else tells their intrinsics.

    Raises:
        ModelError: A frame has none.
    """
    for frame in frames:
        if frame.calibration is None:
            raise ModelError(
                f'camera {frame.camera}: {config.name} predicts no intrinsics and the frame has '
                'no calibration; provide its CameraInfo, or use a network that predicts intrinsics'
            )


def calibrations(frames: Sequence[CameraFrame], processed: ProcessedImages) -> NDArray[np.float32]:
    """Return the calibrations (N, 3, 3) of images as the network sees them."""
    return corner_matrices(
        placement.camera(frame.calibration)
        for frame, placement in zip(frames, processed.placements, strict=True)
        if frame.calibration is not None
    ).astype(np.float32)


def with_cameras(
    prediction: Prediction,
    intrinsics: NDArray[np.float32],
    config: SingleViewConfig,
    poses: FloatArray,
    wanted: Sequence[int],
) -> Prediction:
    """Give views their intrinsics and poses, and metres where there are.

    Args:
        prediction: With depth of the wanted views.
        intrinsics: (V, 3, 3) of all views as the network sees them.
        config: Of the network.
        poses: (V, 4, 4) of all views.
        wanted: Places of the wanted views.
    """
    extrinsics = invert(poses)[:, :3].astype(np.float32)
    prediction = replace(prediction, extrinsics=extrinsics, intrinsics=intrinsics)
    if config.canonical_focal_px is None:
        return prediction
    of_depth = intrinsics[list(wanted)]
    depth = metric_depth(prediction.depth, of_depth, config.canonical_focal_px)
    return replace(prediction, depth=depth, is_metric=True)
