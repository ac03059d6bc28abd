"""What may be chosen about an export, for all formats together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from da3_ros.errors import ExportError

SheetSuffix = Literal['jpg', 'png']
ColmapEncoding = Literal['binary', 'text']


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

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0.0 <= self.confidence_percentile <= 100.0:
            raise ExportError(
                f'confidence_percentile: expected 0..100, got {self.confidence_percentile}'
            )
        if self.max_points < 1:
            raise ExportError(f'max_points: expected at least 1, got {self.max_points}')
        for name, value, known in (
            ('colmap_encoding', self.colmap_encoding, get_args(ColmapEncoding)),
            ('depth_vis_suffix', self.depth_vis_suffix, get_args(SheetSuffix)),
        ):
            if value not in known:
                raise ExportError(f'{name}: expected one of {", ".join(known)}, got {value!r}')
