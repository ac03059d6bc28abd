"""Network output to predictions on the host."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from da3_ros.errors import ModelError
from da3_ros.inference.pose_alignment import PoseAlignment, align_poses
from da3_ros.model.outputs import NetworkOutput

SKY_THRESHOLD = 0.5

FloatImages = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What `DepthAnything3.inference` returns, for N images of one size (H, W)."""

    depth: FloatImages
    """(N, H, W) z along the optical axis; scene units, metres when `is_metric`."""

    is_metric: bool
    """Whether depth and camera positions are in metres by the network's own account."""

    sky: NDArray[np.bool_] | None = None
    """(N, H, W) True where there is sky; None when the network does not segment it."""

    conf: FloatImages | None = None
    """(N, H, W) raw confidence, > 1; None when the network gives none."""

    extrinsics: FloatImages | None = None
    """(N, 3, 4) camera_from_world, OpenCV axes. The network's when no cameras were given. Else
    the given ones: untouched, with depth brought to their scale (the default), or moved into the
    network's world (`align_to_input_ext_scale=False`); the network's own then stand in
    `alignment.predicted_extrinsics`. None when the network has no cameras."""

    intrinsics: FloatImages | None = None
    """(N, 3, 3) in pixels of (H, W), first pixel centre at (0.5, 0.5); the given ones when
    cameras were given. None when the network has no cameras."""

    processed_images: NDArray[np.uint8] | None = None
    """(N, H, W, 3) uint8 RGB, the pixels the network saw, exactly. (The published code recovers
    them from floats and truncates, so that its values may be one level lower.)"""

    gaussians: None = None
    """Always None: these networks carry no Gaussian head."""

    aux: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """`feat_layer_<i>` -> (N, h, w, C) features of block i, in the order of the images."""

    scale_factor: float | None = None
    """Metres per network unit; None unless the network estimates it."""

    alignment: PoseAlignment | None = None
    """How given cameras were laid over the predicted ones; None when none were given."""


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
    return Prediction(
        depth=output.depth[0].float().cpu().numpy(),
        is_metric=False,
        sky=None if sky is None else sky >= SKY_THRESHOLD,
        conf=_scene(output.depth_conf),
        extrinsics=_scene(output.extrinsics),
        intrinsics=_scene(output.intrinsics),
        processed_images=images,
        aux={name: tensor[0].float().cpu().numpy() for name, tensor in output.aux.items()},
    )


def align_to_cameras(
    prediction: Prediction,
    extrinsics: NDArray[Any],
    intrinsics: NDArray[np.float32],
    *,
    to_input_scale: bool,
) -> Prediction:
    """Express a prediction with the cameras that were given.

    Args:
        prediction: Prediction in the network's own world.
        extrinsics: (N, 4, 4) given camera_from_world.
        intrinsics: (N, 3, 3) given intrinsics, in pixels of the processed images.
        to_input_scale: Bring depth to the given cameras' scale and return them as they are;
            otherwise move them into the network's world and leave depth alone.

    Returns:
        The prediction with given cameras.
    """
    assert prediction.extrinsics is not None
    alignment = align_poses(prediction.extrinsics, extrinsics)
    if to_input_scale:
        scale = np.float32(alignment.predicted_from_input.scale)
        depth, cameras = prediction.depth / scale, extrinsics
    else:
        depth, cameras = prediction.depth, alignment.aligned_extrinsics
    return replace(
        prediction,
        depth=depth,
        extrinsics=cameras[:, :3].astype(np.float32),
        intrinsics=intrinsics,
        alignment=alignment,
    )


def _scene(tensor: Tensor | None) -> FloatImages | None:
    if tensor is None:
        return None
    values: FloatImages = tensor[0].float().cpu().numpy()
    return values
