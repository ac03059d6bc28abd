"""What may be chosen about the formats of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
import re
from typing import Literal, get_args

from da3_ros.errors import ExportError
from da3_ros.export.splat_types import PosedCamera, SplatBackend

TrajectoryMode = Literal[
    'original', 'smooth', 'interpolate', 'interpolate_smooth', 'extend', 'wander', 'dolly_zoom',
    'wobble', 'wobble_inter',
]  # fmt: skip
DepthPlace = Literal['hcat', 'vcat']
VideoQuality = Literal['low', 'medium', 'high']

_MAX_SIDE_PX = 16384
_NAME = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}')


@dataclass(frozen=True, slots=True)
class GsPlyOptions:
    """Choices of gs_ply: which Gaussians are kept, and how much of their colour.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    views_interval: int | None = 1
    """Gaussians of every so manieth view are kept, beginning with the first; None for a choice
    that leaves at most 23 views: one twelfth of their number, rounded down."""
    border_share: float = 8 / 256
    """0..0.5: share of the height and of the width that each side of a view loses."""
    depth_quantile: float = 0.9
    """0..1: Gaussians of pixels deeper than this quantile of their view's depth are left out."""
    min_opacity: float = 0.0
    """0..1: Gaussians of less opacity are left out."""
    all_harmonics: bool = False
    """Whether colour that depends on the direction is kept too (columns f_rest_*)."""

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.views_interval is not None and self.views_interval < 1:
            raise ExportError(f'views_interval: expected at least 1, got {self.views_interval}')
        for name, value, high in (
            ('border_share', self.border_share, 0.5),
            ('depth_quantile', self.depth_quantile, 1.0),
            ('min_opacity', self.min_opacity, 1.0),
        ):
            if not 0.0 <= value <= high:
                raise ExportError(f'{name}: expected 0..{high}, got {value}')


@dataclass(frozen=True, slots=True)
class GsVideoOptions:
    """Choices of gs_video: where the camera goes, and what the pictures look like.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    trj_mode: TrajectoryMode = 'extend'
    """How the camera moves along the given poses; see `gs_trajectory`. A single view can only
    wander, or zoom. wobble_inter is another name of wobble."""
    cameras: tuple[PosedCamera, ...] | None = None
    """Cameras in the scene's world to move along; None for those of the views."""
    out_image_hw: tuple[int, int] | None = None
    """Height and width of the pictures, 1..16384; None for those of the first camera."""
    vis_depth: DepthPlace | None = 'hcat'
    """Where the coloured depth stands: right of the colours, below them, or nowhere."""
    video_quality: VideoQuality = 'high'
    """How much the H.264 encoder may lose, and how long it may take."""
    output_name: str | None = None
    """Name of the file without its suffix: letters, digits, '_', '.' and '-', not hidden; None
    for `0000_<trj_mode>`."""
    chunk_size: int = 4
    """Pictures that the renderer makes at once, at least 1: more is faster on a GPU and takes
    more of its memory. The pictures do not depend on it."""
    backend: SplatBackend | None = None
    """What renders; None for the CPU."""

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, value, known in (
            ('trj_mode', self.trj_mode, get_args(TrajectoryMode)),
            ('vis_depth', self.vis_depth, (None, *get_args(DepthPlace))),
            ('video_quality', self.video_quality, get_args(VideoQuality)),
        ):
            if value not in known:
                raise ExportError(f'{name}: expected one of {known}, got {value!r}')
        if self.cameras is not None and len(self.cameras) == 0:
            raise ExportError('cameras: expected at least one, or None; got none')
        if self.out_image_hw is not None and (
            len(self.out_image_hw) != 2
            or not all(1 <= side <= _MAX_SIDE_PX for side in self.out_image_hw)
        ):
            raise ExportError(
                f'out_image_hw: expected height and width of 1..{_MAX_SIDE_PX}, '
                f'got {self.out_image_hw}'
            )
        if self.output_name is not None and not _NAME.fullmatch(self.output_name):
            raise ExportError(
                "output_name: expected letters, digits, '_', '.' and '-', at most 100 and no "
                f"'.' in front, got {self.output_name!r}"
            )
        if self.chunk_size < 1:
            raise ExportError(f'chunk_size: expected at least 1, got {self.chunk_size}')
