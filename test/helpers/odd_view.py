"""A view of one row in which every pixel has another reason to be shown or not."""

from __future__ import annotations

import numpy as np

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.types import PosedView, ViewId

NAN = float('nan')


def view() -> PosedView:
    """Return near, far, unknown, zero and sky; the second one is hardly sure."""
    image = np.zeros((1, 6, 3), np.uint8)
    return PosedView(
        id=ViewId('front', 5, 'optical'),
        depth=np.array([[1.0, 5.0, 20.0, NAN, 0.0, 3.0]], np.float32),
        image=image,
        camera=PinholeCamera.from_focal(6.0, 6.0, 2.5, 0.0, ImageSize(1, 6)),
        is_calibrated=True,
        world_from_camera=np.eye(4),
        confidence=np.array([[9.0, 1.5, 9.0, 9.0, 9.0, 9.0]], np.float32),
        sky=np.array([[False, False, False, False, False, True]]),
    )
