"""Network output to predictions on the host."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.inference.given_cameras import GivenCameras
from da3_ros.inference.metric import metric_depth
from da3_ros.inference.parallax_scale import align
from da3_ros.inference.pose_alignment import PoseAlignment
from da3_ros.inference.prediction import FloatImages, Prediction
from da3_ros.model.config import NetworkConfig

if TYPE_CHECKING:
    from torch import Tensor

    from da3_ros.model.outputs import Gaussians, NetworkOutput

SKY_THRESHOLD = 0.5
"""Score from which `Prediction.sky` says sky, as in the upstream API. Depth is filled in from a
lower score on (`model.sky.SKY_SCORE`, 0.3): between the two, pixels carry the depth of the sky
without being marked."""


def to_prediction(output: NetworkOutput, images: NDArray[np.uint8]) -> Prediction:
    """Move one scene's output to the host.

    Args:
        output: Network output with B = 1.
        images: (N, H, W, 3) the processed images.

    Returns:
        The prediction in the network's own world.

    Raises:
        ModelError: The output holds more than one scene.
    """
    if output.depth.shape[0] != 1:
        raise ModelError(f'expected the output of one scene, got {output.depth.shape[0]}')
    sky = _scene(output.sky)
    is_metric = bool(output.is_metric[0])
    return Prediction(
        depth=output.depth[0].float().cpu().numpy(),
        is_metric=is_metric,
        sky=None if sky is None else sky >= SKY_THRESHOLD,
        conf=_scene(output.depth_conf),
        extrinsics=_scene(output.extrinsics),
        intrinsics=_scene(output.intrinsics),
        processed_images=images,
        gaussians=output.gaussians,
        scale_factor=float(output.scale_factor[0])
        if is_metric and output.scale_factor is not None
        else None,
        notes=tuple(note.text for note in output.notes),
        aux={name: tensor[0].float().cpu().numpy() for name, tensor in output.aux.items()},
    )


def align_to_cameras(
    prediction: Prediction,
    given: GivenCameras,
    *,
    to_input_scale: bool,
    gaussian_scale: float = 1.0,
) -> Prediction:
    """Express a prediction with the cameras that were given.

    Args:
        prediction: Prediction in the network's own world.
        given: Known cameras; the extrinsics at least.
        to_input_scale: Bring depth to the given cameras' scale and return them as they are;
            otherwise move them into the network's world and leave depth alone.
        gaussian_scale: Length of a unit of the prediction among its Gaussians.

    Returns:
        The prediction with given cameras.
    """
    assert prediction.extrinsics is not None
    assert given.extrinsics is not None
    alignment, notes = align(prediction, given)
    cameras: NDArray[Any]
    if to_input_scale:
        depth, cameras = prediction.depth / np.float32(alignment.scale), given.extrinsics
    else:
        depth, cameras = prediction.depth, alignment.aligned_extrinsics
    intrinsics = prediction.intrinsics if given.intrinsics is None else given.intrinsics
    gaussians = prediction.gaussians
    if gaussians is not None:
        gaussians = _aligned_gaussians(gaussians, gaussian_scale, alignment, to_input_scale)
    return replace(
        prediction,
        depth=depth,
        extrinsics=cameras[:, :3].astype(np.float32),
        intrinsics=intrinsics,
        gaussians=gaussians,
        alignment=alignment,
        notes=(*prediction.notes, *notes),
    )


def pass_cameras_through(prediction: Prediction, given: GivenCameras) -> Prediction:
    """Return the prediction of a network that knows no cameras with those that were given."""
    poses = given.extrinsics
    return replace(
        prediction,
        extrinsics=None if poses is None else poses[:, :3],
        intrinsics=given.intrinsics,
    )


def in_metres(prediction: Prediction, config: NetworkConfig) -> Prediction:
    """Return the prediction of the metric single-view network in metres, by its intrinsics."""
    assert prediction.intrinsics is not None
    assert config.single_view is not None
    focal_px = config.single_view.canonical_focal_px
    assert focal_px is not None
    depth = metric_depth(prediction.depth, prediction.intrinsics, focal_px)
    return replace(prediction, depth=depth, is_metric=True)


def without_invisible(prediction: Prediction, visible: NDArray[np.bool_] | None) -> Prediction:
    """Return a prediction that says nothing of pixels which the images do not show.

    Args:
        prediction: Of N images.
        visible: (N, H, W); None when the images show something everywhere.

    Returns:
        Depth NaN, confidence 0, no sky and Gaussians of opacity 0 where nothing is visible.
    """
    if visible is None:
        return prediction
    gaussians = prediction.gaussians
    if gaussians is not None:
        import torch

        shown = torch.from_numpy(visible.reshape(1, -1)).to(gaussians.opacities.device)
        gaussians = replace(gaussians, opacities=gaussians.opacities * shown)
    conf, sky = prediction.conf, prediction.sky
    return replace(
        prediction,
        depth=np.where(visible, prediction.depth, np.float32(np.nan)),
        conf=None if conf is None else np.where(visible, conf, np.float32(0)),
        sky=None if sky is None else sky & visible,
        gaussians=gaussians,
        visible=visible,
    )


def _aligned_gaussians(
    gaussians: Gaussians, unit: float, alignment: PoseAlignment, to_input_scale: bool
) -> Gaussians:
    """Bring Gaussians to the world that the prediction's cameras then stand in."""
    import torch

    from da3_ros.model.gaussian_adapter import transform_gaussians

    if not to_input_scale:
        return transform_gaussians(gaussians, 1 / unit, torch.eye(3), torch.zeros(3))
    input_from_predicted = alignment.predicted_from_input.inverse()
    return transform_gaussians(
        gaussians,
        input_from_predicted.scale / unit,
        torch.from_numpy(input_from_predicted.rotation.copy()),
        torch.from_numpy(input_from_predicted.translation.copy()),
    )


def _scene(tensor: Tensor | None) -> FloatImages | None:
    if tensor is None:
        return None
    values: FloatImages = tensor[0].float().cpu().numpy()
    return values
