"""Point clouds of any sender (PointCloud2): their points, whatever else a point carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True, eq=False)
class ColouredPoints:
    """The points of a cloud that have a place."""

    xyz: NDArray[np.float64]
    """(P, 3), finite, in the frame of the cloud."""
    rgb: NDArray[np.uint8]
    """(P, 3); grey 128 where the cloud has no field `rgb` or `rgba`."""
    confidence: NDArray[np.float32]
    """(P,); NaN where the cloud has no field `confidence`."""


def coloured_points_of(cloud: Cloud) -> ColouredPoints:
    """Return the points of a cloud with colour and confidence, as far as it has them.

    Colours are packed into four bytes as PCL and RViz have them, 0x00RRGGBB.

    Raises:
        SourceError: see `points_of`.
    """
    fields, data = _checked(cloud)
    xyz = np.stack([_plane(cloud, data, fields[name]) for name in 'xyz'], axis=-1).reshape(-1, 3)
    known = np.isfinite(xyz).all(axis=1)
    rgb = np.full((int(known.sum()), 3), 128, np.uint8)
    colour = fields.get('rgb') or fields.get('rgba')
    if colour is not None:
        order = '>' if cloud.is_bigendian else '<'
        bits = _raw(cloud, data, colour, np.dtype(f'{order}u4')).reshape(-1)[known]
        for column, shift in enumerate((16, 8, 0)):
            rgb[:, column] = (bits >> shift) & 255
    confidence = np.full(len(rgb), np.nan, np.float32)
    if 'confidence' in fields:
        confidence = (
            _plane(cloud, data, fields['confidence']).reshape(-1)[known].astype(np.float32)
        )
    return ColouredPoints(xyz[known], rgb, confidence)


def points_of(cloud: Cloud) -> FloatArray:
    """Return the points (P, 3) of a cloud that have a place: x, y, z finite, in its frame.

    Args:
        cloud: organised or not, of either byte order, with or without gaps in and after rows.

    Raises:
        SourceError: a field x, y or z is missing, or is no number, or bytes are.
    """
    fields, data = _checked(cloud)
    planes = [_plane(cloud, data, fields[name]) for name in 'xyz']
    points = np.stack(planes, axis=-1).reshape(-1, 3)
    return np.asarray(points[np.isfinite(points).all(axis=1)])


def _checked(cloud: Cloud) -> tuple[dict[str, CloudField], NDArray[np.uint8]]:
    """Return the fields by name and the bytes of a cloud whose bytes are all there."""
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
    return fields, data


def _plane(cloud: Cloud, data: NDArray[np.uint8], field: CloudField) -> NDArray[np.float64]:
    """Return one field of every point, (height, width)."""
    order = '>' if cloud.is_bigendian else '<'
    kind = np.dtype(order + _KINDS.get(field.datatype, 'V1'))
    return _raw(cloud, data, field, kind).astype(np.float64)


def _raw(
    cloud: Cloud, data: NDArray[np.uint8], field: CloudField, kind: np.dtype[Any]
) -> NDArray[Any]:
    """Return one field of every point as bytes of a kind, (height, width)."""
    if kind.kind == 'V' or field.offset + kind.itemsize > cloud.point_step:
        raise SourceError(
            f'point cloud: field {field.name}: type {field.datatype} at byte {field.offset} of '
            f'{cloud.point_step} is no number'
        )
    shape = (cloud.height, cloud.width)
    if 0 in shape:
        return np.empty(shape, kind)
    strides = (cloud.row_step, cloud.point_step)
    values: NDArray[Any] = np.ndarray(shape, kind, data.data, field.offset, strides)
    return values
