"""Point clouds of any sender (PointCloud2): their points, whatever else a point carries."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import SourceError
from da3_ros.geometry.arrays import FloatArray

CLOUD_TYPE = 'sensor_msgs/msg/PointCloud2'

# Numbers of PointField.datatype: sensor_msgs/msg/PointField.
_KINDS = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}


class CloudField(Protocol):
    """One field of a cloud's points, as PointField has it."""

    name: str
    offset: int
    datatype: int
    count: int


class Cloud(Protocol):
    """A PointCloud2 of whichever library read it."""

    height: int
    width: int
    fields: list[CloudField]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: NDArray[np.uint8]


def points_of(cloud: Cloud) -> FloatArray:
    """Return the points (P, 3) of a cloud that have a place: x, y, z finite, in its frame.

    Args:
        cloud: organised or not, of either byte order, with or without gaps in and after rows.

    Raises:
        SourceError: a field x, y or z is missing, or is no number, or bytes are.
    """
    fields = {field.name: field for field in cloud.fields}
    missing = [name for name in 'xyz' if name not in fields]
    if missing:
        raise SourceError(
            f'point cloud: no field {", ".join(missing)}; it has {", ".join(fields) or "none"}'
        )
    data = np.frombuffer(cloud.data, np.uint8)
    is_short = data.size < cloud.height * cloud.row_step
    if is_short or cloud.row_step < cloud.width * cloud.point_step:
        raise SourceError(
            f'point cloud: expected {cloud.height} rows of {cloud.row_step} bytes with '
            f'{cloud.width} points of {cloud.point_step}, got {data.size} bytes'
        )
    planes = [_plane(cloud, data, fields[name]) for name in 'xyz']
    points = np.stack(planes, axis=-1).reshape(-1, 3)
    return np.asarray(points[np.isfinite(points).all(axis=1)])


def _plane(cloud: Cloud, data: NDArray[np.uint8], field: CloudField) -> NDArray[np.float64]:
    """Return one field of every point, (height, width)."""
    order = '>' if cloud.is_bigendian else '<'
    kind = np.dtype(order + _KINDS.get(field.datatype, 'V1'))
    if kind.kind == 'V' or field.offset + kind.itemsize > cloud.point_step:
        raise SourceError(
            f'point cloud: field {field.name}: type {field.datatype} at byte {field.offset} of '
            f'{cloud.point_step} is no number'
        )
    shape = (cloud.height, cloud.width)
    if 0 in shape:
        return np.empty(shape)
    strides = (cloud.row_step, cloud.point_step)
    values: NDArray[np.generic] = np.ndarray(shape, kind, data.data, field.offset, strides)
    return values.astype(np.float64)
