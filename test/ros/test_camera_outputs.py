"""Nothing is computed of a camera that nobody subscribes to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options import OutputOptions
from da3_ros.pipeline import shown_view
from da3_ros.pipeline.shown_view import ShownView
from da3_ros.ros.node import camera_outputs
from da3_ros.ros.node.camera_outputs import CameraOutputs
from da3_ros.types import PosedView, ViewId
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
NAN = float('nan')


def view() -> PosedView:
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


def test_nothing_is_computed_that_nobody_subscribes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError('computed for nobody')

    for name in ('pack_into', 'ImageLayout', 'info_from_camera', 'image_of'):
        monkeypatch.setattr(camera_outputs, name, refuse)
    for name in (
        'published_depth',
        'points_depth',
        'coloured_depth',
        'input_camera',
        'at_input_size',
    ):
        monkeypatch.setattr(shown_view, name, refuse)
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        node = Node('test_node', context=context)
        outputs = CameraOutputs(node, 'front', OutputOptions())
        for size in ('network', 'input'):
            shown = ShownView(view(), OutputOptions(depth_size=size))
            outputs.publish(shown, view().image)
        node.destroy_node()
        rclpy.shutdown(context=context)
