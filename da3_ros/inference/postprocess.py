"""Network output to predictions on the host."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from da3_ros.errors import ModelError
from da3_ros.export.registry import ExportReport, export_scene, parse_formats
from da3_ros.inference.given_cameras import GivenCameras
from da3_ros.inference.metric import metric_depth
from da3_ros.inference.parallax_scale import align
from da3_ros.inference.pose_alignment import PoseAlignment
from da3_ros.inference.prediction_export import export_options, scene_of, warn_of_assumptions
from da3_ros.inference.preprocess import Placement
from da3_ros.inference.splat_gsplat import with_renderer
from da3_ros.model.config import SingleViewConfig
from da3_ros.model.gaussian_adapter import transform_gaussians
from da3_ros.model.outputs import Gaussians, NetworkOutput

SKY_THRESHOLD = 0.5
"""Score from which `Prediction.sky` says sky, as in the published API. Depth is filled in from a
lower score on (`model.sky.SKY_SCORE`, 0.3): between the two, pixels carry the depth of the sky
without being marked."""

FloatImages = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What `DepthAnything3.inference` returns, for N images of one size (H, W)."""

    depth: FloatImages
    """(N, H, W) z along the optical axis; scene units, metres when `is_metric`."""

    is_metric: bool
    """Whether depth and camera positions are in metres by the network's own account. With given
    cameras, and depth brought to their scale, the unit is theirs."""

    sky: NDArray[np.bool_] | None = None
    """(N, H, W) True where there is sky (score >= 0.5); None when the network does not segment
    it."""

    conf: FloatImages | None = None
    """(N, H, W) raw confidence, > 1; None when the network gives none."""

    extrinsics: FloatImages | None = None
    """(N, 3, 4) camera_from_world, OpenCV axes. The network's when no cameras were given. Else
    the given ones: untouched, with depth brought to their scale (the default), or moved into the
    network's world (`align_to_input_ext_scale=False`); the network's own then stand in
    `alignment.predicted_extrinsics`. A network without cameras passes the given ones through;
    None when none were given either."""

    intrinsics: FloatImages | None = None
    """(N, 3, 3) in pixels of (H, W), first pixel centre at (0.5, 0.5); the given ones when
    cameras were given with intrinsics, or the network has none of its own; else None."""

    processed_images: NDArray[np.uint8] | None = None
    """(N, H, W, 3) uint8 RGB, the pixels the network saw, exactly. (The published code recovers
    them from floats and truncates, so that its values may be one level lower.)"""

    gaussians: Gaussians | None = None
    """Torch tensors of one scene (B = 1) on the model's device, in the world and the unit of
    `extrinsics`; None unless asked for."""

    aux: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """`feat_layer_<i>` -> (N, h, w, C) features of block i, in the order of the images; layers
    in the order asked for."""

    scale_factor: float | None = None
    """Metres per network unit, already applied; None unless the network found it."""

    alignment: PoseAlignment | None = None
    """How given cameras were laid over the predicted ones, what gave the scale (`method`) and how
    sure it is (`log_scale_sigma`); None when none were given or the network predicts none."""

    notes: tuple[str, ...] = ()
    """What was done otherwise than asked, what the network could not find, and its caution."""

    placements: tuple[Placement, ...] = ()
    """Where each processed image lies in its original."""

    image_paths: tuple[str | None, ...] = ()
    """File of each image; None for one that came as pixels, or that other programs might read
    otherwise (with a rotation in its EXIF data)."""

    def export(
        self,
        export_dir: str | PathLike[str],
        export_format: str = 'mini_npz-glb',
        *,
        save_depth: bool = False,
        overwrite: bool = False,
        progress: Callable[[float, str], None] = lambda fraction, stage: None,
        cancelled: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> ExportReport:
        """Write the prediction to files; they are complete when this returns, or absent.

        Args:
            export_dir: Folder of the files; made when missing.
            export_format: Names of `export.registry.FORMATS` joined by '-'.
            save_depth: Also write the numbers of depth, confidence and cameras (`mini_npz`).
            overwrite: Whether files of an earlier export may be replaced.
            progress: Called with the share done in 0..1 and the format being written.
            cancelled: Asked between steps; when it says True, nothing is left behind.
            **options: As `prediction_export.export_options`: `conf_thresh_percentile`,
                `num_max_points`, `show_cameras`, `feat_vis_fps`, `render_exts`, `render_ixts`,
                `render_hw`, `export_kwargs`.

        Returns:
            The files, and how many views and points are in them.

        Raises:
            ExportError: An unknown format or option, something missing in the prediction that a
                format needs, a file in the way, or a folder that cannot be written.
            ExportCancelledError: `cancelled` said so.
        """
        formats = parse_formats(f'{export_format}-mini_npz' if save_depth else export_format)
        scene = scene_of(self)
        warn_of_assumptions(scene, formats)
        choice = export_options(**options)
        if 'gs_video' in formats:
            choice = with_renderer(choice)
        return export_scene(
            scene,
            '-'.join(formats),
            Path(export_dir),
            overwrite=overwrite,
            options=choice,
            progress=progress,
            cancelled=cancelled,
        )


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


def in_metres(prediction: Prediction, config: SingleViewConfig) -> Prediction:
    """Return the prediction of the metric single-view network in metres, by its intrinsics."""
    assert prediction.intrinsics is not None
    assert config.canonical_focal_px is not None
    depth = metric_depth(prediction.depth, prediction.intrinsics, config.canonical_focal_px)
    return replace(prediction, depth=depth, is_metric=True)


def _aligned_gaussians(
    gaussians: Gaussians, unit: float, alignment: PoseAlignment, to_input_scale: bool
) -> Gaussians:
    """Bring Gaussians to the world that the prediction's cameras then stand in."""
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
