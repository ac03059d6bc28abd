"""Scenes through a network of windows: the same answers as torch gives, without loading it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.inference.forward_pass import Answer, ForwardPass
from da3_ros.inference.given_cameras import GivenCameras
from da3_ros.inference.pose_alignment import normalise_extrinsics
from da3_ros.inference.postprocess import SKY_THRESHOLD
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import ProcessedImages
from da3_ros.inference.runtimes.stages import InputCameras
from da3_ros.inference.scene_inference import ScenePredictor, SceneRequest
from da3_ros.inference.window_network import WindowMaps, WindowNetwork, WindowRequest
from da3_ros.model.config import NetworkConfig
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.notes_of_input import UNUSED_INTRINSICS
from da3_ros.types import Caution


class WindowPredictor(ScenePredictor):
    """Predicts scenes by a network of windows: `DepthAnything3.inference` where torch is not.

    Args:
        network: computes; nothing is kept between two scenes.
        dtype: the number format of most of the work, as torch names it.
    """

    def __init__(self, network: WindowNetwork, dtype: str) -> None:
        self.network = network
        self._dtype = dtype

    @property
    def network_config(self) -> NetworkConfig:
        """Configuration of the network."""
        return self.network.config

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on predictions; None for most."""
        return self.network.caution

    def computes_by(self) -> dict[str, str]:
        """Return what computes here."""
        network = self.network
        return {'device': network.device, 'runtime': network.runtime, 'dtype': self._dtype}

    def _forward_pass(self, request: SceneRequest) -> ForwardPass:
        reason = torch_reason(self.network_config, request.forward)
        if reason:
            raise ModelError(f'{reason} needs runtime torch, got runtime {self.network.runtime}')
        return by_windows(self.network, request.forward)


def torch_reason(config: NetworkConfig, options: ForwardOptions) -> str:
    """Return what of a forward pass only torch computes; empty for nothing.

    Args:
        config: of the network.
        options: of the forward pass.
    """
    if config.any_view is not None and config.single_view is not None:
        return f'{config.name}, two networks in one,'
    if options.infer_gs:
        return 'infer_gs (Gaussians)'
    if options.export_layers:
        return 'export_feat_layers (features of blocks)'
    if config.any_view is not None and (options.use_ray_pose or config.any_view.camera is None):
        return 'use_ray_pose (cameras from rays)'
    return ''


def by_windows(network: WindowNetwork, options: ForwardOptions) -> ForwardPass:
    """Return the forward pass of a network of windows.

    Args:
        network: computes. Images of scenes have no stamps, so that nothing is kept of them.
        options: of the forward pass; see `torch_reason`.
    """

    def run(processed: ProcessedImages, given: GivenCameras) -> Answer:
        cameras = None
        if given.extrinsics is not None:
            extrinsics = normalise_extrinsics(given.extrinsics)
            cameras = InputCameras(extrinsics.astype(np.float32), given.intrinsics)
        request = WindowRequest(
            processed.images,
            cameras=cameras,
            ref_view_strategy=options.ref_view_strategy,
            use_ray_pose=options.use_ray_pose,
        )
        prediction = prediction_of(network.run(request), processed.images)
        # Metres may come of them: a network that sees each image alone says nothing.
        is_alone = network.config.any_view is None
        if cameras is None and given.intrinsics is not None and not is_alone:
            notes = (UNUSED_INTRINSICS.text, *prediction.notes)
            prediction = replace(prediction, notes=notes)
        return Answer(prediction)

    return run


def prediction_of(maps: WindowMaps, images: NDArray[np.uint8]) -> Prediction:
    """Return what a network says about a window of which all maps were wanted.

    Args:
        maps: of N views.
        images: (N, H, W, 3) that the network saw.

    Returns:
        The prediction in the network's own world.
    """
    return Prediction(
        depth=maps.depth,
        is_metric=maps.is_metric,
        sky=None if maps.sky is None else maps.sky >= SKY_THRESHOLD,
        conf=maps.confidence,
        extrinsics=maps.extrinsics,
        intrinsics=maps.intrinsics,
        processed_images=images,
        scale_factor=maps.scale_factor,
        notes=tuple(note.text for note in maps.notes),
    )
