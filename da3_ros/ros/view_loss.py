"""Says how much of a camera's view the network does not see, because others have another shape."""

from __future__ import annotations

from collections.abc import Mapping

from da3_ros.reasons import Reason
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.stream.view_loss import lost_view
from da3_ros.types import PosedView, WindowResult


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
