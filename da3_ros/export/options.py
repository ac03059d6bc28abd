"""What may be chosen about an export, for all formats together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from da3_ros.errors import ExportError
from da3_ros.export.gs_options import GsPlyOptions, GsVideoOptions

SheetSuffix = Literal['jpg', 'png']
ColmapEncoding = Literal['binary', 'text']

MAX_FPS = 240


@dataclass(frozen=True, slots=True)
class GlbOptions:
    """Choices of glb alone.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    conf_thresh: float = 1.0
    """Points of less confidence are left out even when the percentile would keep them; 1, the
    least there is, leaves it to the percentile."""
    ensure_thresh_percentile: float = 90.0
    """0..100: `conf_thresh` never leaves out more than this percentage of all known depth."""
    filter_black_bg: bool = False
    """Whether pixels whose three channels are all below 16 give no points."""
    filter_white_bg: bool = False
    """Whether pixels whose three channels are all 240 or above give no points."""
    show_cameras: bool = True
    """Whether frustums stand at the cameras."""
    camera_size: float = 0.03
    """Depth of the frustums as a share of the extent of the points, > 0."""
    export_depth_vis: bool = False
    """Whether the pictures of depth_vis, and `scene.jpg`, a copy of the first, come with it."""

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not self.conf_thresh >= 0:
            raise ExportError(f'conf_thresh: expected at least 0, got {self.conf_thresh}')
        if not 0.0 <= self.ensure_thresh_percentile <= 100.0:
            raise ExportError(
                f'ensure_thresh_percentile: expected 0..100, got {self.ensure_thresh_percentile}'
            )
        if not 0.0 < self.camera_size < 1e6:
            raise ExportError(f'camera_size: expected more than 0, got {self.camera_size}')


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Choices of the formats; each says which ones it touches.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    confidence_percentile: float = 40.0
    """0..100: points whose confidence lies below this percentile of all known ones are left out
    of glb, ply and colmap. Views without confidence keep all their points."""
    max_points: int = 1_000_000
    """At least 1: glb, ply and colmap thin a scene with more points to exactly this number, by
    the same choice every time."""
    colmap_encoding: ColmapEncoding = 'binary'
    """Whether colmap writes `.bin` or `.txt` files."""
    depth_vis_suffix: SheetSuffix = 'jpg'
    """Whether depth_vis writes JPEG (quality 95) or lossless PNG."""
    feat_vis_fps: int = 15
    """Pictures per second of the videos of feat_vis, 1..240."""
    glb: GlbOptions = field(default_factory=GlbOptions)
    gs_ply: GsPlyOptions = field(default_factory=GsPlyOptions)
    gs_video: GsVideoOptions = field(default_factory=GsVideoOptions)
    by_format: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Format to fields of this class that are others for it, with their values."""

    def of(self, name: str) -> ExportOptions:
        """Return the options as one format shall see them."""
        changes: Mapping[str, Any] = self.by_format.get(name, {})
        return replace(self, by_format={}, **changes)

    def __post_init__(self) -> None:
        """Check the bounds, also of what single formats change."""
        for name in self.by_format:
            self.of(name)
        if not 0.0 <= self.confidence_percentile <= 100.0:
            raise ExportError(
                f'confidence_percentile: expected 0..100, got {self.confidence_percentile}'
            )
        if self.max_points < 1:
            raise ExportError(f'max_points: expected at least 1, got {self.max_points}')
        if not 1 <= self.feat_vis_fps <= MAX_FPS:
            raise ExportError(f'feat_vis_fps: expected 1..{MAX_FPS}, got {self.feat_vis_fps}')
        for name, value, known in (
            ('colmap_encoding', self.colmap_encoding, get_args(ColmapEncoding)),
            ('depth_vis_suffix', self.depth_vis_suffix, get_args(SheetSuffix)),
        ):
            if value not in known:
                raise ExportError(f'{name}: expected one of {", ".join(known)}, got {value!r}')
