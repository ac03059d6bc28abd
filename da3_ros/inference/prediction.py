"""What `DepthAnything3.inference` returns, and the scene that it can be exported as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.registry import ExportReport, export_scene
from da3_ros.export.scene import ExportScene, OriginalImage, StillImages
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert, nearest_rigid
from da3_ros.inference.missing_intrinsics import MissingIntrinsics
from da3_ros.inference.pixel_rule import cameras_of
from da3_ros.inference.placement import Placement
from da3_ros.inference.pose_alignment import PoseAlignment
from da3_ros.inference.prediction_export import (
    ExportPlan,
    assumed_camera,
    export_plan,
    warn_of_assumptions,
)
from da3_ros.inference.splat_gsplat import with_renderer
from da3_ros.types import PosedView, ViewId

if TYPE_CHECKING:
    from da3_ros.model.outputs import Gaussians

FloatImages = NDArray[np.float32]

GAUSSIANS = 'gaussians'
"""Name in `Prediction.aux` of what is no features."""

_CAMERA = 'image'
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prediction:
    """What `DepthAnything3.inference` returns, for N images of one size (H, W)."""

    depth: FloatImages
    """(N, H, W) z along the optical axis; scene units, metres when `is_metric`. NaN only where
    nothing is `visible`."""

    is_metric: bool
    """Whether depth and camera positions are in metres by the network's own account. With given
    cameras, and depth brought to their scale, the unit is theirs."""

    sky: NDArray[np.bool_] | None = None
    """(N, H, W) True where there is sky (score >= 0.5); None when the network does not segment
    it."""

    conf: FloatImages | None = None
    """(N, H, W) raw confidence, > 1, and 0 where depth is NaN; None when the network gives
    none."""

    extrinsics: FloatImages | None = None
    """(N, 3, 4) camera_from_world, OpenCV axes. The network's when no cameras were given. Else
    the given ones: untouched, with depth brought to their scale (the default), or moved into the
    network's world (`align_to_input_ext_scale=False`); the network's own then stand in
    `alignment.predicted_extrinsics`. A network without cameras passes the given ones through;
    None when none were given either."""

    intrinsics: FloatImages | None = None
    """(N, 3, 3) in pixels of (H, W), first pixel centre at (0.5, 0.5); the given ones when
    cameras were given with intrinsics, or the network has none of its own; else None. Where the
    metric single-view network got none it is a `MissingIntrinsics`: false and equal to None, and
    computing with it raises a PreprocessError that says what to give."""

    processed_images: NDArray[np.uint8] | None = None
    """(N, H, W, 3) uint8 RGB, the pixels the network saw, exactly. (The upstream code recovers
    them from floats and truncates, so that its values may be one level lower.)"""

    gaussians: Gaussians | None = None
    """Torch tensors of one scene (B = 1) on the model's device, in the world and the unit of
    `extrinsics`; None unless asked for."""

    aux: Mapping[str, Any] = field(default_factory=dict)
    """`feat_layer_<i>` -> (N, h, w, C) features of block i, in the order of the images; layers
    in the order asked for. `gaussians` -> the field of that name, unless it is None."""

    scale_factor: float | None = None
    """Metres per network unit, already applied; None unless the network found it."""

    alignment: PoseAlignment | None = None
    """How given cameras were laid over the predicted ones, what gave the scale (`method`) and how
    sure it is (`log_scale_sigma`); None when none were given or the network predicts none."""

    caution: str = ''
    """What everybody who looks at it has to know of the network (random weights, a network for
    tests), in short; exported files and pictures say it too. Empty for nothing."""

    notes: tuple[str, ...] = ()
    """What was done otherwise than asked, what the network could not find, and its caution."""

    placements: tuple[Placement, ...] = ()
    """Where each processed image lies in its original."""

    visible: NDArray[np.bool_] | None = None
    """(N, H, W) False where an image is fully transparent, at least in part of the pixel; None
    when all of all images can be seen."""

    image_paths: tuple[str | None, ...] = ()
    """File of each image; None for one that came as pixels, or that other programs might read
    otherwise (with a rotation in its EXIF data)."""

    def __repr__(self) -> str:
        """Return three lines: what is there, its depth, what to know of it."""
        return described(self)

    def cameras(self) -> list[PinholeCamera] | None:
        """Return the cameras of `intrinsics` by the pixel rule of the rest of the package.

        Returns:
            One per image, with the first pixel's centre at (0, 0); None without intrinsics.

        Raises:
            GeometryError: A K is none, as networks with bad weights may predict.
        """
        intrinsics = known_intrinsics(self)
        return None if intrinsics is None else cameras_of(intrinsics, _size(self))

    def export(
        self,
        export_dir: str | PathLike[str],
        export_format: str = 'mini_npz-glb',
        *,
        save_depth: bool = False,
        overwrite: bool = True,
        progress: Callable[[float, str], None] = lambda fraction, stage: None,
        cancelled: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> ExportReport:
        """Write the prediction to files; they are complete when this returns, or absent.

        Args:
            export_dir: Folder of the files; made when missing.
            export_format: Names of `export.registry.FORMATS` joined by '-'.
            save_depth: Also write the numbers of depth, confidence and cameras (`mini_npz`), and
                depth as pictures: 16 bits, millimetres (`depth_png`) when `is_metric`, else 8
                bits, near black and far white (`depth_image`).
            overwrite: Whether files of an earlier export may be replaced, each by an atomic
                rename; nothing else in the folder is touched.
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
        if save_depth:
            pictures = 'depth_png' if self.is_metric else 'depth_image'
            export_format = f'{export_format}-mini_npz-{pictures}'
        plan = export_plan(export_dir, export_format, overwrite=overwrite, **options)
        assert plan is not None
        return write_prediction(self, plan, progress, cancelled)


def write_prediction(
    prediction: Prediction,
    plan: ExportPlan,
    progress: Callable[[float, str], None] = lambda fraction, stage: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ExportReport:
    """Write a prediction to files; arguments and errors as of `Prediction.export`."""
    scene = scene_of(prediction)
    warn_of_assumptions(scene, plan.formats)
    options = with_renderer(plan.options) if 'gs_video' in plan.formats else plan.options
    return export_scene(
        scene,
        '-'.join(plan.formats),
        plan.folder,
        overwrite=plan.overwrite,
        options=options,
        progress=progress,
        cancelled=cancelled,
    )


def write_computed(prediction: Prediction, plan: ExportPlan) -> None:
    """Write a prediction that must not be lost where that fails.

    Raises:
        ExportError: Whatever goes wrong; `prediction` of the error is what was computed.
    """
    try:
        write_prediction(prediction, plan)
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ExportError(
            f'{reason}; what was computed is not lost: it is `prediction` of this error',
            prediction,
        ) from error


def scene_of(prediction: Prediction) -> ExportScene:
    """Return the views of a prediction.

    A network that predicts no intrinsics has those of a common lens assumed for points, see
    `ASSUMED_FIELD_OF_VIEW_DEG`.

    Raises:
        ExportError: The prediction does not hold the processed images.
    """
    images = prediction.processed_images
    if images is None:
        raise ExportError('expected a prediction with processed_images, got one without')
    cameras = prediction.cameras() or [assumed_camera(_size(prediction))] * len(images)
    poses = [np.eye(4)] * len(cameras)
    if prediction.extrinsics is not None:
        # Exactly rigid, whatever was given or rounded.
        poses = [invert(nearest_rigid(extrinsics)) for extrinsics in prediction.extrinsics]
    views = tuple(
        PosedView(
            id=ViewId(_CAMERA, index * _NS_PER_S, ''),
            depth=prediction.depth[index],
            image=images[index],
            camera=camera,
            is_calibrated=False,
            world_from_camera=pose,
            confidence=None if prediction.conf is None else prediction.conf[index],
            sky=None if prediction.sky is None else prediction.sky[index],
        )
        for index, (camera, pose) in enumerate(zip(cameras, poses, strict=True))
    )
    stills = StillImages(
        has_intrinsics=known_intrinsics(prediction) is not None,
        has_poses=prediction.extrinsics is not None,
        originals=_originals(prediction, cameras),
        features={name: v for name, v in prediction.aux.items() if name != GAUSSIANS},
    )
    return ExportScene(
        views,
        prediction.is_metric,
        stills=stills,
        gaussians=gaussian_cloud(prediction),
        caution=prediction.caution,
    )


def known_intrinsics(prediction: Prediction) -> FloatImages | None:
    """Return the intrinsics of the images, None where nobody knows them."""
    return None if isinstance(prediction.intrinsics, MissingIntrinsics) else prediction.intrinsics


def described(prediction: Prediction) -> str:
    """Return a prediction in three lines: what is there, its depth, what to know of it."""
    count, height, width = prediction.depth.shape
    present = {
        'conf': prediction.conf is not None,
        'sky': prediction.sky is not None,
        'extrinsics': prediction.extrinsics is not None,
        'intrinsics': known_intrinsics(prediction) is not None,
        'gaussians': prediction.gaussians is not None,
        **dict.fromkeys((name for name in prediction.aux if name != GAUSSIANS), True),
    }
    parts = ', '.join(name for name, is_there in present.items() if is_there)
    known = prediction.depth[np.isfinite(prediction.depth)]
    unit = 'm' if prediction.is_metric else 'scene units'
    extent = f'{known.min():.3g} to {known.max():.3g} {unit}' if known.size else 'unknown'
    kind = 'metric' if prediction.is_metric else 'not metric'
    said = '; '.join(prediction.notes) or prediction.caution or 'none'
    return (
        f'Prediction of {count} {"image" if count == 1 else "images"}, {height} x {width} px: '
        f'depth{f", {parts}" if parts else ""}\n'
        f'depth {extent} ({kind})\n'
        f'notes: {" ".join(said.split())}'
    )


def _size(prediction: Prediction) -> ImageSize:
    return ImageSize(*prediction.depth.shape[1:])


def _originals(
    prediction: Prediction, cameras: Sequence[PinholeCamera]
) -> tuple[OriginalImage, ...] | None:
    paths = [name for name in prediction.image_paths if name is not None]
    if not paths or len(paths) != len(prediction.placements):
        return None
    names = _relative_names(paths)
    return tuple(
        _original(name, placement, camera)
        for name, placement, camera in zip(names, prediction.placements, cameras, strict=True)
    )


def _relative_names(paths: Sequence[str]) -> list[str]:
    """Return base names; paths from the folder they share when two base names are equal."""
    names = [Path(name).name for name in paths]
    if len(set(names)) == len(names):
        return names
    absolute = [Path.cwd() / name for name in paths]
    root = Path(commonpath([name.parent for name in absolute]))
    return [name.relative_to(root).as_posix() for name in absolute]


def _original(name: str, placement: Placement, camera: PinholeCamera) -> OriginalImage:
    """Undo crop and resize for the intrinsics of a view."""
    at_view = camera.cropped(-placement.left_px, -placement.top_px, placement.resized)
    return OriginalImage(
        name,
        placement.resized,
        placement.left_px,
        placement.top_px,
        at_view.resized(placement.original),
    )


def gaussian_cloud(prediction: Prediction) -> GaussianCloud | None:
    """Return the Gaussians of a prediction on the host, None when it has none."""
    found = prediction.gaussians
    if found is None:
        return None
    means, scales, rotations, harmonics, opacities = (
        tensor[0].detach().float().cpu().numpy()
        for tensor in (
            found.means,
            found.scales,
            found.rotations,
            found.harmonics,
            found.opacities,
        )
    )
    count, height, width = prediction.depth.shape
    return GaussianCloud(means, scales, rotations, harmonics, opacities, (count, height, width))
