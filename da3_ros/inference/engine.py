"""The network as the estimator of the stream: windows of camera frames in, geometry out.

Here cameras pass between two pixel rules, see `pixel_rule`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
import logging
import math
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from da3_ros.errors import ExportError, ModelError
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.geometry.umeyama import spread
from da3_ros.inference.given_cameras import GivenCameras, read_cameras
from da3_ros.inference.parallax_scale import seen_scale
from da3_ros.inference.pixel_rule import corner_matrices
from da3_ros.inference.pose_alignment import in_reach, normalise_extrinsics
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import (
    ProcessedImages,
    ResizedImage,
    resized_images,
    unified,
)
from da3_ros.inference.runtimes.stages import InputCameras
from da3_ros.inference.runtimes.torch_behind import precision_of
from da3_ros.inference.single_views import (
    calibrations,
    check_calibrated,
    poses_of_single_views,
    with_cameras,
)
from da3_ros.inference.view_predictions import (
    view_predictions,
    window_prediction,
    with_all_depth,
)
from da3_ros.inference.window_cache import WindowCache
from da3_ros.inference.window_network import WindowNetwork, WindowRequest
from da3_ros.model.config import SingleViewConfig
from da3_ros.notes import Note
from da3_ros.options.network import NETWORK
from da3_ros.types import (
    Caution,
    Window,
    WindowPrediction,
)

if TYPE_CHECKING:
    from da3_ros.inference.api import DepthAnything3

_logger = logging.getLogger(__name__)


@runtime_checkable
class OverModel(Protocol):
    """A network that a model of torch computes."""

    @property
    def model(self) -> DepthAnything3:
        """The model."""
        ...


class Da3Estimator:
    """Depth Anything 3 in the roles of `types.NetworkEstimator` and `export.gs_scene.SplatSource`.

    All views of a window go through the network together. Views whose processed sizes differ lose
    their margins to a common centre crop; views of equal aspect keep their full field of view
    whatever their sizes. Calibrations follow every resize and crop.

    The nested network answers in metres. The single-view networks (da3mono-large,
    da3metric-large) predict no poses and need the calibrations. Nothing of their own relates two
    views of a window: they take windows of one view, that is one camera and windows of one set,
    which then stands at the window's origin. Depth of da3metric-large is in metres, so that with
    `conditioning` it also takes windows whose poses are all known: its views stand there.

    With `conditioning`, windows whose poses are all known beforehand (`Window.known_poses`) go in
    with these, and with the calibrations when every view has one (otherwise the network predicts
    them first, which costs a second pass). The answer stays in a gauge and a unit of its own: who
    places windows measures both, however many views there are and whether or not they move.

    When memory runs out, smaller parts of the window are computed at once, which takes longer and
    gives the same; the prediction's notes say so.

    A view's sky mask covers all pixels whose depth was filled in (score >= 0.3), not only those
    that the public API marks.
    """

    def __init__(
        self,
        network: WindowNetwork | DepthAnything3,
        *,
        process_res: int | None = None,
        process_res_method: str = NETWORK.process_res_method,
        ref_view_strategy: str = NETWORK.ref_view_strategy,
        use_ray_pose: bool = NETWORK.use_ray_pose,
        conditioning: bool = False,
    ) -> None:
        """Wrap a network.

        Args:
            network: The network over any runtime, or a model of torch, on the device it shall run
                on.
            process_res: Length of the bounded image side for the network, in pixels; that which
                the model was trained for when None.
            process_res_method: See `options.RESIZE_METHODS`.
            ref_view_strategy: How the window's reference view is chosen.
            use_ray_pose: Take cameras from predicted rays instead of the camera decoder.
            conditioning: Give the network the poses that a window's sets know beforehand.

        Raises:
            ModelError: The network has no camera decoder, and rays are not asked for.
        """
        self.network = _window_network(network)
        config = self.network.config
        any_view = config.any_view
        if any_view is not None and any_view.camera is None and not use_ray_pose:
            raise ModelError(
                f'{self.network.model_name} has no camera decoder; use_ray_pose takes cameras '
                'from its rays'
            )
        self._conditioning = conditioning
        self._process_res = config.process_res if process_res is None else process_res
        self._method = process_res_method
        self._strategy = ref_view_strategy
        self._use_ray_pose = use_ray_pose
        self._resized = WindowCache[ResizedImage](lambda resized: resized.image.nbytes)

    @property
    def device(self) -> str:
        """Device of the network, as torch names it."""
        return self.network.device

    @property
    def computed_by(self) -> str:
        """Runtime and number format, for a log."""
        return f'{self.network.runtime} in {precision_of(self.network)}'

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on windows, see `DepthAnything3.caution`.

        It concerns all of them alike: who shows them says it, not every prediction's notes.
        """
        return self.network.caution

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
        config = self.network.config
        if config.any_view is None and config.single_view is not None:
            return self._single_views(window, config.single_view)
        processed = self._processed(window)
        known = self._known_cameras(window, processed)
        if known.extrinsics is None:
            return self._predict(window, processed, known)
        try:
            return self._predict(window, processed, known)
        except ModelError as error:
            prediction = self._predict(window, processed, GivenCameras(None, None))
            text = f'with the known poses the network gave nothing usable ({error})'
            note = Note('known_poses_unusable', text)
            return replace(prediction, notes=(note, *prediction.notes))

    def forget(self) -> None:
        """Keep nothing of earlier windows: the next one is computed as if it were the first."""
        self._resized.forget()
        self.network.forget()

    @property
    def model(self) -> DepthAnything3:
        """The model of torch that computes.

        Raises:
            ModelError: Another runtime does.
        """
        if not isinstance(self.network, OverModel):
            raise ModelError(
                f'{self.network.model_name}: expected runtime torch, got {self.network.runtime}'
            )
        return self.network.model

    def with_gaussians(self, scene: ExportScene) -> ExportScene:
        """Return views of a scene with Gaussians, see `scene_gaussians.with_gaussians`.

        Raises:
            ExportError: The network has no Gaussians, or not in this runtime.
        """
        from da3_ros.inference.scene_gaussians import with_gaussians

        try:
            model = self.model
        except ModelError as error:
            raise ExportError(f'Gaussians: {error}') from error
        return with_gaussians(model, scene)

    def export_options(self) -> ExportOptions:
        """Return options with the fastest renderer of Gaussians."""
        if self.network.runtime != 'torch':
            return ExportOptions()
        from da3_ros.inference.splat_gsplat import with_renderer

        return with_renderer(ExportOptions())

    def _predict(
        self, window: Window, processed: ProcessedImages, known: GivenCameras
    ) -> WindowPrediction:
        maps = self.network.run(
            WindowRequest(
                processed.images,
                keys=self._keys(window, processed),
                cameras=_network_cameras(known),
                wanted=_wanted(window),
                ref_view_strategy=self._strategy,
                use_ray_pose=self._use_ray_pose,
            )
        )
        prediction = window_prediction(maps, processed)
        prediction, sigma = _with_seen_distances(prediction, known, maps.wanted)
        return WindowPrediction(
            view_predictions(prediction, window.views, processed, maps.wanted),
            is_metric=maps.is_metric,
            conditioning='none' if known.extrinsics is None else 'pose',
            unit_sigma=sigma,
            notes=maps.notes,
        )

    def _single_views(self, window: Window, config: SingleViewConfig) -> WindowPrediction:
        """Predict views by a network that sees each alone; several stand where they are known."""
        frames = window.views
        known = window.known_poses() if self._conditioning else None
        poses = np.eye(4)[None]
        if len(frames) > 1:
            poses = poses_of_single_views(config, len(frames), known)
        check_calibrated(config, frames)
        processed = self._processed(window)
        maps = self.network.run(
            WindowRequest(
                processed.images, keys=self._keys(window, processed), wanted=_wanted(window)
            )
        )
        prediction = window_prediction(maps, processed)
        cameras = calibrations(frames, processed)
        prediction = with_cameras(prediction, cameras, config, poses, maps.wanted)
        return WindowPrediction(
            view_predictions(prediction, frames, processed, maps.wanted),
            is_metric=prediction.is_metric,
            conditioning='none' if len(frames) == 1 else 'pose',
            metric_by='camera_info',
            notes=maps.notes,
        )

    def _keys(self, window: Window, processed: ProcessedImages) -> tuple[Hashable, ...] | None:
        """Return what tells the processed images of views apart; None where nothing does."""
        if not window.generation:
            return None
        # Of a shared network: others may have their images resized otherwise to the same size.
        resize = (self._process_res, self._method)
        keys = tuple(
            (window.generation, frame.id, frame.quarter_turns, placement, resize)
            for frame, placement in zip(window.views, processed.placements, strict=True)
        )
        return keys if len(set(keys)) == len(keys) else None

    def _processed(self, window: Window) -> ProcessedImages:
        """Return the images of a window at the network's size; each view is resized once."""
        frames = window.views
        keys = {(window.generation, f.id, f.quarter_turns, f.size): None for f in frames}
        resized = self._resized.results(
            len(frames),
            tuple(keys) if window.generation and len(keys) == len(frames) else None,
            None,
            lambda places: resized_images(
                {place: frames[place].image for place in places}, self._process_res, self._method
            ),
        )
        return unified(resized, [f'image {place}' for place in range(len(frames))])

    def _known_cameras(self, window: Window, processed: ProcessedImages) -> GivenCameras:
        """Return the cameras that go into the network, none where they are not all known."""
        if not (self._conditioning and self.network.capabilities.conditioning):
            return GivenCameras(None, None)
        poses = window.known_poses().frame_from_camera
        if poses is None:
            return GivenCameras(None, None)
        calibrations = [frame.calibration for frame in window.views]
        known = [camera for camera in calibrations if camera is not None]
        return read_cameras(
            processed,
            invert(in_reach(poses)),
            corner_matrices(known) if len(known) == len(calibrations) else None,
        )


def _window_network(network: WindowNetwork | DepthAnything3) -> WindowNetwork:
    if isinstance(network, WindowNetwork):
        return network
    from da3_ros.inference.runtimes.torch_runtime import torch_window_network

    return torch_window_network(network)


def _wanted(window: Window) -> tuple[int, ...] | None:
    """Return the views whose depth is wanted; None for all."""
    if window.depth_of is None:
        return None
    views = window.views
    return tuple(place for place, frame in enumerate(views) if window.needs_depth(frame.id))


def _network_cameras(known: GivenCameras) -> InputCameras | None:
    if known.extrinsics is None:
        return None
    return InputCameras(normalise_extrinsics(known.extrinsics), known.intrinsics)


def _with_seen_distances(
    prediction: Prediction, known: GivenCameras, wanted: Sequence[int]
) -> tuple[Prediction, float | None]:
    """Return a prediction whose cameras are as far apart, relative to depth, as parallax tells.

    The network's own distances stay where that tells nothing.

    Returns:
        The prediction, and how well the logarithm of its distances is known; None where it is not.
    """
    if known.extrinsics is None:
        return prediction, None
    found = seen_scale(with_all_depth(prediction, wanted), known)
    if found is None:
        return prediction, None
    assert prediction.extrinsics is not None
    given, seen = (
        spread(invert(homogeneous(poses))[:, :3, 3])
        for poses in (known.extrinsics, prediction.extrinsics)
    )
    moved = prediction.extrinsics.copy()
    moved[:, :3, 3] *= given / seen / math.exp(found.log_metres)
    return replace(prediction, extrinsics=moved), found.sigma
