"""How much of a camera's view the network does not see, because others have another shape."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.types import PosedView

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
