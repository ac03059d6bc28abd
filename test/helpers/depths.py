"""Depth of views that were asked for it."""

from da3_ros.types import FloatImage, ViewPrediction


def depth_of(view: ViewPrediction) -> FloatImage:
    """Return the depth of a view that must have one."""
    assert view.depth is not None
    return view.depth
