"""Depth of views that were asked for it."""

from da3_ros.types import FloatImage, ViewPrediction


def depth_of(view: ViewPrediction) -> FloatImage:
    """Return the depth of a view that must have one.

    Raises:
        TypeError: it has none.
    """
    if view.depth is None:
        raise TypeError('expected depth, got None')
    return view.depth
