"""Points of clouds, packed byte by byte as sensor_msgs/msg/PointCloud2 describes it."""

from dataclasses import dataclass, replace
import struct

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.errors import SourceError
from da3_ros.sources.clouds import CloudField, points_of

# sensor_msgs/msg/PointField: INT8=1, UINT8=2, ... FLOAT64=8, and how struct names them.
KINDS = {1: 'b', 2: 'B', 3: 'h', 4: 'H', 5: 'i', 6: 'I', 7: 'f', 8: 'd'}


@dataclass
class Field:
    name: str
    offset: int
    datatype: int
    count: int = 1


@dataclass
class Packed:
    height: int
    width: int
    fields: list[CloudField]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: NDArray[np.uint8]


def packed(
    points: NDArray[np.float64], *, datatype: int = 7, big: bool = False, pad: int = 0
) -> Packed:
    """Pack points (H, W, 3): an odd byte, z, x, y, then a gap after every row."""
    kind = KINDS[datatype]
    size = struct.calcsize(f'<{kind}')
    data = b''
    for row in points:
        for x, y, z in row:
            numbers = [z, x, y] if kind in 'fd' else [int(z), int(x), int(y)]
            data += b'\xff' + struct.pack(f'{">" if big else "<"}3{kind}', *numbers)
        data += b'\xee' * pad
    height, width, _ = points.shape
    step = 1 + 3 * size
    fields: list[CloudField] = [
        Field('odd', 0, 2),
        Field('z', 1, datatype),
        Field('x', 1 + size, datatype),
        Field('y', 1 + 2 * size, datatype),
    ]
    return Packed(
        height, width, fields, big, step, step * width + pad, np.frombuffer(data, np.uint8)
    )


@pytest.mark.parametrize('datatype', KINDS)
@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize('pad', [0, 5])
def test_points_are_read_in_every_type_and_layout(datatype: int, big: bool, pad: int) -> None:
    points = np.arange(2.0, 2.0 + 2 * 3 * 3).reshape(2, 3, 3)
    got = points_of(packed(points, datatype=datatype, big=big, pad=pad))
    np.testing.assert_array_equal(got, points.reshape(-1, 3))
    assert got.dtype == np.float64
    if datatype in (1, 3, 5, 7, 8):
        negative = points_of(packed(-points, datatype=datatype, big=big, pad=pad))
        np.testing.assert_array_equal(negative, -points.reshape(-1, 3))


@pytest.mark.parametrize('unknown', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('axis', range(3))
def test_points_without_a_place_are_left_out(unknown: float, axis: int) -> None:
    points = np.ones((1, 4, 3))
    points[0, 2, axis] = unknown
    assert len(points_of(packed(points))) == 3


@pytest.mark.parametrize('shape', [(0, 4, 3), (3, 0, 3), (1, 1, 3)])
def test_clouds_of_few_points_are_clouds(shape: tuple[int, int, int]) -> None:
    assert points_of(packed(np.ones(shape))).shape == (shape[0] * shape[1], 3)


@pytest.mark.parametrize('name', 'xyz')
def test_a_cloud_without_a_coordinate_says_what_it_has(name: str) -> None:
    cloud = packed(np.ones((1, 1, 3)))
    cloud.fields = [field for field in cloud.fields if field.name != name]
    with pytest.raises(SourceError, match=f'no field {name}; it has odd'):
        points_of(cloud)
    with pytest.raises(SourceError, match='no field x, y, z; it has none'):
        points_of(replace(cloud, fields=[]))


def test_bytes_that_are_missing_are_told() -> None:
    cloud = packed(np.ones((2, 3, 3)), pad=2)
    points_of(replace(cloud, row_step=3 * cloud.point_step, data=cloud.data[:-4]))
    for wrong in (
        replace(cloud, data=cloud.data[:-1]),
        replace(cloud, height=3),
        replace(cloud, row_step=3 * cloud.point_step - 1),
    ):
        with pytest.raises(SourceError, match='point cloud: expected'):
            points_of(wrong)


def test_fields_that_are_no_numbers_or_leave_the_point_are_told() -> None:
    cloud = packed(np.ones((1, 2, 3)))
    last = cloud.fields[-1]
    for wrong in (
        Field('y', last.offset, 0),
        Field('y', last.offset, 9),
        Field('y', last.offset + 1, last.datatype),
        Field('y', last.offset, 8),
    ):
        with pytest.raises(SourceError, match='point cloud: field y: type'):
            points_of(replace(cloud, fields=[*cloud.fields[:-1], wrong]))
