"""The network as the estimator of the stream: windows of camera frames in, geometry out.

This is the boundary between two pixel rules: the network's intrinsics put the centre of the first
pixel at (0.5, 0.5), everything beyond this module puts it at (0, 0).
"""

from collections.abc import Sequence
from dataclasses import replace
import logging

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.rotation import nearest_rotation
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.inference.api import DEFAULT_PROCESS_RES, DepthAnything3
from da3_ros.inference.metric import metric_depth
from da3_ros.inference.postprocess import Prediction, to_prediction
from da3_ros.inference.preprocess import Placement, ProcessedImages, preprocess
from da3_ros.model.config import SingleViewConfig
from da3_ros.model.outputs import NetworkOutput
from da3_ros.model.sky import SKY_SCORE
from da3_ros.types import CameraFrame, ViewPrediction, Window, WindowPrediction

_logger = logging.getLogger(__name__)


class Da3Estimator:
    """Depth Anything 3 in the role of `types.Estimator`.

    All views of a window go through the network together. Views whose processed sizes differ lose
    their margins to a common centre crop; views of equal aspect keep their full field of view
    whatever their sizes. Calibrations follow every resize and crop.

    The nested network answers in metres. The single-view networks (da3mono-large,
    da3metric-large) predict no poses, so nothing could relate two views of a window: they take
    windows of one view, that is one camera and windows of one set, and need its calibration. The
    view then stands at the window's origin, which is all that is known; depth is in metres for
    da3metric-large. What is lost is motion, not depth: poses have to come from elsewhere.

    A view's sky mask covers all pixels whose depth was filled in (score >= 0.3), not only those
    that the public API marks.
    """

    def __init__(
        self,
        model: DepthAnything3,
        *,
        process_res: int = DEFAULT_PROCESS_RES,
        process_res_method: str = 'upper_bound_resize',
        ref_view_strategy: str = 'saddle_balanced',
        use_ray_pose: bool = False,
    ) -> None:
        """Wrap a model.

        Args:
            model: The model, on the device it shall run on.
            process_res: Length of the bounded image side for the network, in pixels.
            process_res_method: See `preprocess.RESIZE_METHODS`.
            ref_view_strategy: How the window's reference view is chosen.
            use_ray_pose: Take cameras from predicted rays instead of the camera decoder.
        """
        self.model = model
        self._process_res = process_res
        self._method = process_res_method
        self._strategy = ref_view_strategy
        self._use_ray_pose = use_ray_pose

    def estimate(self, window: Window) -> WindowPrediction:
        """Predict the geometry of a window.

        Args:
            window: Frame sets; every frame is one view.

        Returns:
            One prediction per view, in the order of `window.views`.

        Raises:
            PreprocessError: An image is too small; the index counts the window's views.
            ModelError: The network predicted no usable camera for a view, or cannot take the
                window at all because it predicts no cameras.
        """
        frames = window.views
        config = self.model.model.config
        if isinstance(config, SingleViewConfig):
            _check_single_view(config, frames)
        processed = preprocess([frame.image for frame in frames], self._process_res, self._method)
        output = self.model(
            processed.pixels(self.model.device),
            use_ray_pose=self._use_ray_pose and self.model.abilities.poses,
            ref_view_strategy=self._strategy,
        )
        for note in output.notes:
            _logger.warning('window %d: %s', window.index, note)
        prediction = _with_filled_sky(to_prediction(output, processed.images), output)
        if isinstance(config, SingleViewConfig):
            prediction = _with_known_camera(prediction, frames[0], processed, config)
        views = tuple(
            _view(prediction, index, frame, placement)
            for index, (frame, placement) in enumerate(
                zip(frames, processed.placements, strict=True)
            )
        )
        return WindowPrediction(views, is_metric=prediction.is_metric, conditioning='none')


def _check_single_view(config: SingleViewConfig, frames: Sequence[CameraFrame]) -> None:
    if len(frames) != 1:
        raise ModelError(
            f'{config.name} predicts no poses and takes windows of one view only, got '
            f'{len(frames)}; use one camera and windows of one set, or a network that predicts '
            'poses'
        )
    if frames[0].calibration is None:
        raise ModelError(
            f'camera {frames[0].camera}: {config.name} predicts no intrinsics and the frame has '
            'no calibration; provide its CameraInfo, or use a network that predicts intrinsics'
        )


def _with_known_camera(
    prediction: Prediction,
    frame: CameraFrame,
    processed: ProcessedImages,
    config: SingleViewConfig,
) -> Prediction:
    """Give the one view its calibration and the window's origin, and metres where there are."""
    assert frame.calibration is not None
    [placement] = processed.placements
    intrinsics = placement.camera(frame.calibration).to_corner_origin()[None].astype(np.float32)
    prediction = replace(
        prediction, extrinsics=np.eye(4, dtype=np.float32)[None, :3], intrinsics=intrinsics
    )
    if config.canonical_focal_px is None:
        return prediction
    depth = metric_depth(prediction.depth, intrinsics, config.canonical_focal_px)
    return replace(prediction, depth=depth, is_metric=True)


def _with_filled_sky(prediction: Prediction, output: NetworkOutput) -> Prediction:
    if output.sky is None:
        return prediction
    return replace(prediction, sky=(output.sky[0] >= SKY_SCORE).cpu().numpy())


def _view(
    prediction: Prediction, index: int, frame: CameraFrame, placement: Placement
) -> ViewPrediction:
    assert prediction.processed_images is not None
    assert prediction.extrinsics is not None
    assert prediction.intrinsics is not None
    depth = prediction.depth[index]
    usable = np.isfinite(depth) & (depth > 0)
    if not usable.all():
        _logger.warning('camera %s: %d pixels without depth', frame.camera, (~usable).sum())
    calibration = frame.calibration
    return ViewPrediction(
        depth=np.where(usable, depth, np.float32(np.nan)),
        image=prediction.processed_images[index],
        window_from_camera=_pose(prediction.extrinsics[index], frame.camera),
        camera=_camera(prediction.intrinsics[index], placement.size, frame.camera),
        calibrated_camera=None if calibration is None else placement.camera(calibration),
        confidence=None if prediction.conf is None else prediction.conf[index],
        sky=None if prediction.sky is None else prediction.sky[index],
    )


def _pose(extrinsics: NDArray[np.float32], camera: str) -> FloatArray:
    """Return window_from_camera (4, 4), its rotation made exact in float64."""
    if not np.isfinite(extrinsics).all():
        raise ModelError(f'camera {camera}: the network predicted no finite pose')
    camera_from_window = homogeneous(extrinsics)
    camera_from_window[:3, :3] = nearest_rotation(camera_from_window[:3, :3])
    return invert(camera_from_window)


def _camera(intrinsics: NDArray[np.float32], size: ImageSize, camera: str) -> PinholeCamera:
    matrix = intrinsics.astype(np.float64)
    if not np.isfinite(matrix).all() or not (matrix[(0, 1), (0, 1)] > 0).all():
        raise ModelError(f'camera {camera}: the network predicted no usable focal length')
    return PinholeCamera.from_corner_origin(matrix, size)
