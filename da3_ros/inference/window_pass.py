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
from da3_ros.inference.scene_inference import ScenePredictor
from da3_ros.inference.scene_request import SceneRequest, SequenceViews
from da3_ros.inference.window_network import WindowMaps, WindowNetwork, WindowRequest
from da3_ros.model.config import NetworkConfig
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.notes_of_input import UNUSED_INTRINSICS
from da3_ros.types import Caution


class WindowPredictor(ScenePredictor):
    """Predicts scenes by a network of windows: `DepthAnything3.inference` where torch is not.

    Args:
        network: computes; nothing is kept between two scenes, and views between the windows of a
            sequence.
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
        return by_windows(self.network, request)


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


def by_windows(network: WindowNetwork, request: SceneRequest) -> ForwardPass:
    """Return the forward pass of a network of windows.

    Args:
        network: computes.
        request: what is computed, see `torch_reason`.
    """
    options, views = request.forward, request.views

    def run(processed: ProcessedImages, given: GivenCameras) -> Answer:
        cameras = None
        if given.extrinsics is not None:
            extrinsics = normalise_extrinsics(given.extrinsics)
            cameras = InputCameras(extrinsics.astype(np.float32), given.intrinsics)
        keys = wanted = None
        if views is not None:
            _take_over(network, views)
            keys = tuple(zip(views.keys, processed.placements, strict=True))
            # The scale of given cameras is measured by all depth.
            wanted = views.wanted if cameras is None else None
        maps = network.run(
            WindowRequest(
                processed.images,
                keys=keys,
                cameras=cameras,
                wanted=wanted,
                ref_view_strategy=options.ref_view_strategy,
                use_ray_pose=options.use_ray_pose,
            )
        )
        prediction = prediction_of(maps, processed.images)
        # Metres may come of them: a network that sees each image alone says nothing.
        is_alone = network.config.any_view is None
        if cameras is None and given.intrinsics is not None and not is_alone:
            notes = (UNUSED_INTRINSICS.text, *prediction.notes)
            prediction = replace(prediction, notes=notes)
        return Answer(prediction)

    return run


def _take_over(network: WindowNetwork, views: SequenceViews) -> None:
    """Let a network be the only one that keeps views of a sequence."""
    for other in views.networks.values():
        if other is not network:
            other.forget()
    views.networks[network.runtime] = network


def prediction_of(maps: WindowMaps, images: NDArray[np.uint8]) -> Prediction:
    """Return what a network says about a window.

    Args:
        maps: of those of N views that were wanted.
        images: (N, H, W, 3) that the network saw.

    Returns:
        The prediction in the network's own world; depth NaN, confidence 0 and no sky where they
        were not wanted.
    """
    views, wanted = len(images), maps.wanted
    return Prediction(
        depth=_among(maps.depth, views, wanted, np.nan),
        is_metric=maps.is_metric,
        sky=None if maps.sky is None else _among(maps.sky, views, wanted, 0) >= SKY_THRESHOLD,
        conf=None if maps.confidence is None else _among(maps.confidence, views, wanted, 0),
        extrinsics=maps.extrinsics,
        intrinsics=maps.intrinsics,
        processed_images=images,
        scale_factor=maps.scale_factor,
        notes=tuple(note.text for note in maps.notes),
    )


def _among(
    maps: NDArray[np.float32], views: int, wanted: tuple[int, ...], missing: float
) -> NDArray[np.float32]:
    """Return maps of some views as maps of all of them."""
    if len(wanted) == views:
        return maps
    whole = np.full((views, *maps.shape[1:]), missing, np.float32)
    whole[list(wanted)] = maps
    return whole
