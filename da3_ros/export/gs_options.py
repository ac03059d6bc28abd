"""What may be chosen about videos of Gaussians, and what a caller brings along for them."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.errors import ExportError
from da3_ros.export.splat_types import PosedCamera, SplatBackend
from da3_ros.options.export import FlightOptions


@dataclass(frozen=True, slots=True)
class GsVideoOptions(FlightOptions):
    """Choices of gs_video: where the camera goes, and what the pictures look like.

    Raises:
        ExportError: on construction, when a field is outside its bounds.
    """

    cameras: tuple[PosedCamera, ...] | None = None
    """Cameras in the scene's world to move along; None for those of the views."""
    backend: SplatBackend | None = None
    """What renders; None for the CPU."""

    def __post_init__(self) -> None:
        """Check the bounds."""
        self.check()
        if self.cameras is not None and len(self.cameras) == 0:
            raise ExportError('cameras: expected at least one, or None; got none')
