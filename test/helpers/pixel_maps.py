"""Where pixels of one image lie in another one, told by their intrinsics."""

from __future__ import annotations

from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.resample import PixelMap


def map_between(target: PinholeCamera, source: PinholeCamera) -> PixelMap:
    """Return the map between two images of one view that differ by resizing and cropping."""
    scale_u = source.K[0, 0] / target.K[0, 0]
    scale_v = source.K[1, 1] / target.K[1, 1]
    return PixelMap(
        float(scale_u),
        float(source.K[0, 2] - scale_u * target.K[0, 2]),
        float(scale_v),
        float(source.K[1, 2] - scale_v * target.K[1, 2]),
    )
