"""Parameters of single cameras, as a parameter file gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from da3_ros.errors import NodeError
from da3_ros.geometry.camera import ImageSize
from da3_ros.options import NodeOptions, StreamOptions
from da3_ros.options.camera_values import Crop, ViewOptions
from da3_ros.ros.node.view_params import declare_views

pytestmark = pytest.mark.ros
OPTIONS = NodeOptions(stream=StreamOptions(cameras=('front', 'left/rear')))


@pytest.fixture(scope='module', name='context')
def context_fixture() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def read(context: Context, values: dict[str, Any]) -> tuple[dict[str, ViewOptions], Node]:
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = Node(
        'test_node',
        context=context,
        parameter_overrides=overrides,
        start_parameter_services=False,
    )
    try:
        return declare_views(node, OPTIONS), node
    finally:
        node.destroy_node()


def test_nothing_is_done_unless_asked_for(context: Context) -> None:
    views, node = read(context, {})
    assert views == {'front': ViewOptions(None, 0), 'left/rear': ViewOptions(None, 0)}
    for camera in views:
        for name in ('rotation_deg', 'crop_px'):
            found = node.describe_parameter(f'input.{camera}.{name}')
            assert camera in found.description
            assert 'read-only while the node is configured' in found.additional_constraints


def test_turns_and_crops_are_read_for_each_camera(context: Context) -> None:
    views, _ = read(
        context,
        {
            'input.front.rotation_deg': 270,
            'input.front.crop_px': [8, 0, 64, 48],
            'input.left/rear.rotation_deg': 90.0,
            'input.left/rear.crop_px': [],
        },
    )
    assert views['front'] == ViewOptions(Crop(8, 0, ImageSize(48, 64)), 3)
    assert views['left/rear'] == ViewOptions(None, 1)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('rotation_deg', 45),
        ('rotation_deg', -90),
        ('rotation_deg', 'left'),
        ('rotation_deg', False),
        ('crop_px', [0, 0, 64]),
        ('crop_px', [0, 0, 0, 48]),
        ('crop_px', [-1, 0, 64, 48]),
        ('crop_px', [0.5, 0.0, 64.0, 48.0]),
        ('crop_px', 'all'),
        ('crop_px', 640),
    ],
)
def test_wrong_values_are_named(context: Context, name: str, value: Any) -> None:
    with pytest.raises(NodeError, match=rf'parameter input\.front\.{name}: expected'):
        read(context, {f'input.front.{name}': value})
