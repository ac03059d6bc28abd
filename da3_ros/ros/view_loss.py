"""Says how much of a camera's view the network does not see, because others have another shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from da3_ros.reasons import Reason
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import PosedView, WindowResult

# The network's patch: what is less was cut away to come to whole patches.
_LEAST_PX = 14


@dataclass(frozen=True, slots=True)
class ViewLoss:
    """What of an image was cut away in front of the network."""

    percent: float
    """Share of its area."""
    shape: str
    """Width and height of the whole image at the network's scale."""
    kept: str
    """Width and height of what is left."""


def lost_view(view: PosedView) -> ViewLoss | None:
    """Return what of a view was cut away for the shapes of others; None for nothing."""
    if view.input is None:
        return None
    size, place = view.input.size, view.input.pixel_map
    width, height = size.width * place.scale_u, size.height * place.scale_v
    kept_height, kept_width = view.depth.shape
    if max(width - kept_width, height - kept_height) < _LEAST_PX - 0.5:
        return None
    return ViewLoss(
        100 * (1 - kept_width * kept_height / (width * height)),
        f'{width:.0f}x{height:.0f}',
        f'{kept_width}x{kept_height}',
    )


class ViewLossWatch:
    """Holds VIEW_CROPPED for every camera for as long as its view is cut.

    Args:
        reasons: takes it.
    """

    def __init__(self, reasons: ReasonBoard) -> None:
        self._reasons = reasons

    def look(self, result: WindowResult) -> None:
        """Look at the newest view of every camera of a window."""
        newest: Mapping[str, PosedView] = {
            view.id.camera: view for posed in result.new_sets for view in posed.views
        }
        for camera, view in newest.items():
            loss = lost_view(view)
            if loss is None:
                self._reasons.end(Reason.VIEW_CROPPED, camera)
            else:
                self._reasons.hold(
                    Reason.VIEW_CROPPED,
                    camera,
                    lost_percent=loss.percent,
                    shape=loss.shape,
                    kept=loss.kept,
                )
