"""Nothing is computed of a camera that nobody subscribes to."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from da3_ros.options import OutputOptions
from da3_ros.pipeline import shown_view
from da3_ros.pipeline.shown_view import ShownView
from da3_ros.ros.node import camera_outputs
from da3_ros.ros.node.camera_outputs import CameraOutputs
from helpers.odd_view import view
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
NAN = float('nan')


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
