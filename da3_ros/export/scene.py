"""What exporters read: posed views of one world, as a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
import re

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.options import ExportOptions
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import transform_points
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.geometry.unproject import unproject_pixels
from da3_ros.types import Mask, PosedSet, PosedView

# A thinned scene is the same every time.
_SAMPLE_SEED = 0

WORLD_FORMATS: tuple[str, ...] = ('glb', 'ply', 'colmap', 'tum', 'kitti')
"""Formats in which all views stand in one world, see `require_world`."""
_LONGEST_NAME = 100
_LONGEST_COMMENT = 400


@dataclass(frozen=True, slots=True, eq=False)
class ScenePoints:
    """Coloured points of a view in the world frame."""

    xyz: NDArray[np.float32]
    """(P, 3), world units."""
    rgb: NDArray[np.uint8]
    """(P, 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class ViewPoints:
    """Points of one view and the pixels they come from."""

    xyz: FloatArray
    """(P, 3), world units."""
    rgb: NDArray[np.uint8]
    """(P, 3)."""
    pixel_uv: NDArray[np.int64]
    """(P, 2) column and row of the pixel, row by row."""
    confidence: NDArray[np.float32] | None
    """(P,), raw; None when the view has none."""


@dataclass(frozen=True, slots=True, eq=False)
class OriginalImage:
    """The image file behind a view, which is a resized and cropped copy of it."""

    name: str
    """Of the file, relative to the folder of all images of the scene."""
    resized: ImageSize
    """Size of the whole file's image at the view's resolution."""
    left_px: int
    """First column of the resized image that the view holds."""
    top_px: int
    """First row of it that the view holds."""
    camera: PinholeCamera
    """Intrinsics at the file's own size."""


@dataclass(frozen=True, slots=True, eq=False)
class StillImages:
    """What is special about a scene of the Python API: images in a list, and no robot.

    Such a scene is in the world of its cameras' extrinsics, of which only the axes of the first
    camera are known (x right, y down, z forward). Files number its views from 0, and carry
    intrinsics by the rule of the Python API: the first pixel's centre is (0.5, 0.5).
    """

    has_intrinsics: bool = True
    """False when nobody knows the intrinsics; those of the views are then a guess."""
    has_poses: bool = True
    """False when nobody knows the poses; those of the views are then the identity."""
    originals: tuple[OriginalImage, ...] | None = None
    """One per view; None when not every view comes from a file that can be named."""
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """`feat_layer_<i>` to (V, h, w, C) features of the network."""


@dataclass(frozen=True, slots=True, eq=False)
class ExportScene:
    """A set of posed views; metres when `is_metric`, else scene units.

    The world of a stream has z up; for that of still images see `StillImages`.
    """

    views: Sequence[PosedView]
    """Oldest first, cameras in the rig's order; each may be read only when it is asked for."""
    is_metric: bool
    base_path: tuple[StampedPose, ...] = ()
    """Oldest first; empty when nobody knows where the base was."""
    stills: StillImages | None = None
    """None for the views of a stream."""
    gaussians: GaussianCloud | None = None
    """In the world of the views; None when the network gave none."""
    caution: str = ''
    """What everybody who looks at the scene has to know of the network; empty for nothing."""

    @property
    def unit(self) -> str:
        """The unit of depth and positions, for behind a number."""
        return 'm' if self.is_metric else 'scene units'

    @property
    def world_text(self) -> str:
        """What a reader of a file has to know about its coordinates."""
        axes = 'z up' if self.stills is None else 'that of camera_from_world of the images'
        return f'world frame ({axes}), {"metres" if self.is_metric else "unit unknown"}'

    @property
    def comment(self) -> str:
        """The caution as one line of plain ASCII, for comments in files."""
        line = ' '.join(self.caution.split()).encode('ascii', 'replace').decode()
        return ''.join(c for c in line if c.isprintable())[:_LONGEST_COMMENT]

    @staticmethod
    def from_sets(sets: Sequence[PosedSet], *, is_metric: bool, caution: str = '') -> ExportScene:
        """Return the scene of all views of the given sets."""
        path = tuple(StampedPose(s.stamp_ns, s.world_from_base) for s in sets)
        views = tuple(view for s in sets for view in s.views)
        return ExportScene(views, is_metric, path, caution=caution)


def known_pixels(view: PosedView) -> Mask:
    """Return where the view has a positive, finite depth that is not sky's, (h, w)."""
    known = np.isfinite(view.depth) & (view.depth > 0)
    return known if view.sky is None else known & ~view.sky


def require_world(scene: ExportScene) -> None:
    """Check that the views stand in one world.

    Raises:
        ExportError: nobody knows where they stand.
    """
    if scene.stills is not None and not scene.stills.has_poses and len(scene.views) > 1:
        raise ExportError(
            f'expected views in one world, got {len(scene.views)} images of a network that '
            'predicts no poses; export them one by one, or give extrinsics'
        )


def confidence_threshold(scene: ExportScene, percentile: float) -> float:
    """Return the confidence that `percentile` per cent of all known depth stays below.

    Views without confidence do not take part; 0 when no view has any.
    """
    parts = [v.confidence[known_pixels(v)] for v in scene.views if v.confidence is not None]
    values = np.concatenate(parts) if parts else np.empty(0, np.float32)
    values = values[np.isfinite(values)]
    return float(np.percentile(values, percentile)) if values.size else 0.0


def world_points(view: PosedView, min_confidence: float) -> ScenePoints:
    """Return the view's points with known depth, no sky and at least that confidence."""
    points = _points_at(view, np.flatnonzero(_kept(view, min_confidence)))
    return ScenePoints(points.xyz.astype(np.float32), points.rgb)


def selected_points(
    scene: ExportScene,
    options: ExportOptions,
    progress: Callable[[float], None],
    *,
    threshold: float | None = None,
    among: Callable[[PosedView], Mask] | None = None,
) -> Iterator[ViewPoints]:
    """Yield for every view its points, filtered and thinned as the options say.

    Every view gives the same share of its points, chosen at random from a fixed seed, so that
    memory holds one view at a time.

    Args:
        scene: where the points come from.
        options: how many, and of what confidence.
        progress: called with shares up to 0.7.
        threshold: least confidence in place of that of the options.
        among: returns the pixels (h, w) of a view that may give points; None for all.

    Raises:
        ExportError: no view has a single point, or the views do not stand in one world.
    """
    require_world(scene)
    if threshold is None:
        threshold = confidence_threshold(scene, options.conf_thresh_percentile)

    def kept_pixels(view: PosedView) -> Mask:
        kept = _kept(view, threshold)
        return kept if among is None else kept & among(view)

    counts = []
    for index, view in enumerate(scene.views):
        counts.append(int(kept_pixels(view).sum()))
        progress(0.3 * (index + 1) / len(scene.views))
    total = sum(counts)
    if total == 0:
        raise ExportError(f'none of the {len(scene.views)} views has any known depth')
    wanted = min(total, options.num_max_points)
    before = 0
    for index, (view, count) in enumerate(zip(scene.views, counts, strict=True)):
        share = (before + count) * wanted // total - before * wanted // total
        before += count
        kept = np.flatnonzero(kept_pixels(view))
        if share < count:
            rng = np.random.default_rng((_SAMPLE_SEED, index))
            kept = kept[np.sort(rng.choice(count, share, replace=False))]
        yield _points_at(view, kept)
        progress(0.3 + 0.4 * (index + 1) / len(scene.views))


def safe_name(text: str) -> str:
    """Return a name for files: letters, digits, '_', '.' and '-' only, not hidden, not empty."""
    return re.sub(r'[^\w.-]+', '_', text)[:_LONGEST_NAME].lstrip('.') or '_'


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names with '_1', '_2', ... behind those that occurred before.

    Names that differ in case only count as equal: not every file system tells them apart.
    """
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 0
        while candidate.casefold() in taken:
            number += 1
            candidate = f'{name}_{number}'
        taken.add(candidate.casefold())
        result.append(candidate)
    return tuple(result)


def view_names(scene: ExportScene) -> tuple[str, ...]:
    """Return for every view a file name without suffix: camera and stamp, or its number."""
    if scene.stills is not None:
        return tuple(f'{index:04d}' for index in range(len(scene.views)))
    return distinct(f'{safe_name(v.id.camera)}_{v.id.stamp_ns}' for v in scene.views)


def _kept(view: PosedView, min_confidence: float) -> Mask:
    known = known_pixels(view)
    return known if view.confidence is None else known & (view.confidence >= min_confidence)


def _points_at(view: PosedView, flat: NDArray[np.intp]) -> ViewPoints:
    """Return the points of the pixels with these indices into the flattened image."""
    v, u = np.divmod(flat.astype(np.int64), view.depth.shape[1])
    uv = np.stack([u, v], axis=1)
    in_camera = unproject_pixels(uv, view.depth[v, u], view.camera.K)
    return ViewPoints(
        xyz=transform_points(view.world_from_camera, in_camera),
        rgb=view.image[v, u],
        pixel_uv=uv,
        confidence=None if view.confidence is None else view.confidence[v, u],
    )
