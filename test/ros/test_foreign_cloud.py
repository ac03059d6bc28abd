"""Clouds of other senders, byte by byte: by our own reader and by sensor_msgs_py."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator, Sequence
import struct
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('sensor_msgs')
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2, PointField

from da3_ros.errors import SourceError
from da3_ros.ros.messages import foreign_cloud
from da3_ros.ros.optional import optional_module
from da3_ros.sources import clouds

pytestmark = pytest.mark.ros
Read = Callable[[Any], 'np.ndarray[Any, Any]']
NAN, INF = float('nan'), float('inf')


@pytest.fixture(
    name='read',
    params=[
        pytest.param('own', id='own'),
        pytest.param('without', id='without_the_package'),
        pytest.param(
            'with', id='with_the_package', marks=pytest.mark.ros_install('sensor_msgs_py')
        ),
    ],
)
def read_fixture(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Read]:
    if request.param == 'own':
        yield clouds.points_of
        return
    optional_module.cache_clear()
    if request.param == 'without':
        monkeypatch.setitem(sys.modules, 'sensor_msgs_py.point_cloud2', None)
    yield foreign_cloud.points_of
    optional_module.cache_clear()


def cloud_of(
    rows: Sequence[Sequence[tuple[float, ...]]],
    layout: str,
    fields: Sequence[tuple[str, int, int]],
    gap_bytes: int = 0,
) -> PointCloud2:
    """Return a message packed value by value.

    Args:
        rows: numbers of every point.
        layout: of `struct`, for one point.
        fields: name, offset and datatype.
        gap_bytes: after every row.
    """
    cloud = PointCloud2(height=len(rows), width=len(rows[0]), is_bigendian=layout[0] == '>')
    cloud.fields = [PointField(name=n, offset=o, datatype=t, count=1) for n, o, t in fields]
    cloud.point_step = struct.calcsize(layout)
    cloud.row_step = cloud.width * cloud.point_step + gap_bytes
    lines = [b''.join(struct.pack(layout, *p) for p in row) + bytes(gap_bytes) for row in rows]
    cloud.data = array.array('B', b''.join(lines))
    return cloud


PLAIN = [('x', 0, 7), ('y', 4, 7), ('z', 8, 7)]


def test_a_lidar_with_intensity_ring_and_time(read: Read) -> None:
    fields = [*PLAIN, ('intensity', 16, 7), ('ring', 20, 4), ('time', 24, 8)]
    rows = [[(1.0, 2.0, 3.0, 9.0, 4, 0.5), (-1.5, 0.0, 8.0, 1.0, 5, 0.6)]]
    cloud = cloud_of(rows, '<fff4xfH2xd', fields)
    assert read(cloud).tolist() == [[1.0, 2.0, 3.0], [-1.5, 0.0, 8.0]]


def test_points_without_a_place_are_left_out(read: Read) -> None:
    rows = [[(1.0, 2.0, 3.0), (NAN, NAN, NAN)], [(4.0, INF, 6.0), (7.0, 8.0, 9.0)]]
    cloud = cloud_of(rows, '<fff', PLAIN)
    assert read(cloud).tolist() == [[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]]
    # A sender that says it has none may have some all the same.
    cloud.is_dense = True
    assert len(read(cloud)) == 2


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('gap_bytes', [0, 5])
def test_either_byte_order_any_order_of_fields_and_gaps(
    read: Read, order: str, gap_bytes: int
) -> None:
    fields = [('label', 0, 2), ('z', 1, 8), ('x', 9, 8), ('y', 17, 5)]
    rows = [[(1, 3.25, 1.5, -2)], [(2, 6.0, 4.125, 5)]]
    cloud = cloud_of(rows, f'{order}Bddi', fields, gap_bytes)
    assert read(cloud).tolist() == [[1.5, -2.0, 3.25], [4.125, 5.0, 6.0]]


def test_an_empty_cloud_has_no_points(read: Read) -> None:
    cloud = cloud_of([[(0.0, 0.0, 0.0)]], '<fff', PLAIN)
    cloud.width, cloud.row_step, cloud.data = 0, 0, array.array('B')
    assert read(cloud).shape == (0, 3)


def test_what_is_no_cloud_of_points_is_refused_with_the_reason(read: Read) -> None:
    rows = [[(1.0, 2.0, 3.0)]]
    with pytest.raises(SourceError, match='no field y; it has x, z'):
        read(cloud_of(rows, '<fff', [PLAIN[0], PLAIN[2]]))
    short = cloud_of(rows, '<fff', PLAIN)
    short.data = short.data[:-1]
    with pytest.raises(SourceError, match=r'expected 1 rows of 12 bytes .* got 11'):
        read(short)


def test_a_field_that_is_no_number_is_refused() -> None:
    rows = [[(1.0, 2.0, 3.0)]]
    for wrong in (('z', 8, 99), ('z', 9, 7)):
        with pytest.raises(SourceError, match=r'field z: .* is no number'):
            clouds.points_of(cloud_of(rows, '<fff', [*PLAIN[:2], wrong]))


def test_recorded_bytes_become_the_message() -> None:
    cloud = cloud_of([[(1.0, 2.0, 3.0)]], '<fff', PLAIN)
    assert foreign_cloud.cloud_from_bytes(serialize_message(cloud)) == cloud
