"""Messages from kept memory: what subscribers get is what rclpy makes of the whole message."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, PointCloud2

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.ros.conversions import ImageLayout, fill_data
from da3_ros.ros.messages.data_publisher import DataPublisher, Layout
from da3_ros.ros.messages.geometry_messages import header
from da3_ros.ros.messages.point_cloud import BYTES_BEHIND_DATA, CloudLayout, pack_into
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
STAMPS = (1, 1_700_000_000_999_999_999, -1)
NAMES = ('', 'o', 'odo', 'map_1', 'robot/front_optical', 'örtlich')
LAYOUTS: tuple[Layout, ...] = (
    *(ImageLayout(name, 3, 5, 'rgb8') for name in NAMES),
    ImageLayout('optical', 3, 5, '16UC1'),
    ImageLayout('optical', 2, 7, '32FC1'),
    ImageLayout('optical', 2, 7, 'mono8'),
    *(CloudLayout(name, 2, 3, is_dense=False) for name in NAMES),
    CloudLayout('odom', 1, 4, is_dense=True),
    CloudLayout('odom', 1, 0, is_dense=True),
)


class Wire:
    """Stands where a publisher of rclpy stands; keeps the bytes."""

    def __init__(self, kind: type[Any], *, takes_bytes_only: bool = False) -> None:
        self.handle = self
        self.sent: list[Any] = []
        self.messages = 0
        self._kind = kind
        self._takes_bytes_only = takes_bytes_only

    def __enter__(self) -> None:
        return

    def __exit__(self, *error: object) -> None:
        return

    def publish_raw(self, content: Any) -> None:
        if self._takes_bytes_only and not isinstance(content, bytes):
            raise TypeError('incompatible function arguments')
        self.sent.append(deserialize_message(bytes(content), self._kind))

    def publish(self, message: Any) -> None:
        self.messages += 1
        self.sent.append(message)


def of(layout: Layout, wire: Wire) -> DataPublisher:
    is_cloud = isinstance(layout, CloudLayout)
    return DataPublisher(wire, BYTES_BEHIND_DATA if is_cloud else 0)


def copy_into(content: np.ndarray[Any, Any], data: np.ndarray[Any, Any]) -> None:
    data[:] = content


def kind_of(layout: Layout) -> type[Any]:
    return type(layout.message())


@pytest.mark.parametrize('takes_bytes_only', [False, True])
@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
def test_the_middleware_reads_the_message_that_rclpy_would_have_sent(
    layout: Layout, takes_bytes_only: bool
) -> None:
    """Names of every length: what follows them is aligned in another way each time."""
    wire = Wire(kind_of(layout), takes_bytes_only=takes_bytes_only)
    publisher, rng = of(layout, wire), np.random.default_rng(0)
    for stamp_ns in STAMPS:
        content = rng.integers(0, 256, layout.data_bytes, dtype=np.uint8)
        publisher.publish(layout, stamp_ns, partial(copy_into, content))
        wanted = layout.message()
        wanted.header = header(stamp_ns, layout.message().header.frame_id)
        fill_data(wanted, content)
        assert wire.sent[-1] == wanted


@pytest.mark.parametrize('layout', LAYOUTS[5:], ids=str)
@pytest.mark.parametrize('odd', [b'', bytes(1), bytes(3), bytes(4)])
def test_bytes_of_a_middleware_that_are_not_as_expected_are_not_touched(
    layout: Layout, odd: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that pads messages, for example; with nothing added the bytes are used."""
    module = 'da3_ros.ros.messages.data_publisher'
    monkeypatch.setattr(f'{module}.serialize_message', lambda of: serialize_message(of) + odd)
    wire = Wire(kind_of(layout))
    publisher = of(layout, wire)
    content = np.arange(layout.data_bytes, dtype=np.uint8)
    publisher.publish(layout, STAMPS[1], partial(copy_into, content))
    wanted = layout.message()
    wanted.header = header(STAMPS[1], layout.message().header.frame_id)
    fill_data(wanted, content)
    assert wire.sent == [wanted]
    assert wire.messages == (0 if not odd else 1)


def test_memory_is_kept_for_equal_layouts_and_made_anew_for_others() -> None:
    wire, places = Wire(Image), []
    publisher = DataPublisher(wire)

    def fill(data: np.ndarray[Any, Any]) -> None:
        places.append(data.ctypes.data)
        data.fill(len(places))

    small, large = ImageLayout('a', 2, 3, 'mono8'), ImageLayout('a', 20, 30, 'mono8')
    for layout in (small, ImageLayout('a', 2, 3, 'mono8'), large, small):
        publisher.publish(layout, 5, fill)
    assert places[0] == places[1]
    assert len({*places[1:3]}) == 2
    assert [len(message.data) for message in wire.sent] == [6, 6, 600, 6]
    assert [message.data[-1] for message in wire.sent] == [1, 2, 3, 4]


def test_nothing_goes_out_that_could_not_be_filled() -> None:
    wire, layout = Wire(Image), ImageLayout('a', 2, 3, 'mono8')
    publisher = DataPublisher(wire)

    def refuse(data: np.ndarray[Any, Any]) -> None:
        raise ValueError('no')

    with pytest.raises(ValueError, match='no'):
        publisher.publish(layout, 5, refuse)
    assert not wire.sent


@pytest.fixture(name='context')
def context_fixture() -> Iterator[Context]:
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        yield context
        rclpy.shutdown(context=context)


def test_subscribers_get_the_points_that_were_written(context: Context) -> None:
    node, came = Node('clouds', context=context), threading.Event()
    got: list[PointCloud2] = []

    def take(cloud: PointCloud2) -> None:
        got.append(cloud)
        came.set()

    node.create_subscription(PointCloud2, 'points', take, 10)
    publisher = DataPublisher(node.create_publisher(PointCloud2, 'points', 10), BYTES_BEHIND_DATA)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    size = ImageSize(6, 8)
    camera = PinholeCamera.from_focal(4.0, 4.0, 3.5, 2.5, size)
    layout = CloudLayout('optical', 6, 8, is_dense=False)
    depth = np.linspace(1, 2, 48, dtype=np.float32).reshape(6, 8)
    wanted = np.empty((6, 8, 5), np.float32)
    pack_into(wanted, depth, camera, depth, depth)
    try:
        while not publisher.is_wanted:
            executor.spin_once(0.1)
        publisher.publish(
            layout,
            7,
            lambda data: pack_into(layout.points(data), depth, camera, depth, depth),
        )
        while not came.is_set():
            executor.spin_once(0.1)
    finally:
        executor.shutdown()
        node.destroy_node()
    assert got[0].header == header(7, 'optical')
    np.testing.assert_array_equal(layout.points(np.frombuffer(got[0].data, np.uint8)), wanted)
