"""Messages of cameras by their fields, named as in sensor_msgs.

What reads messages takes these, and likewise those of rclpy and of rosbags, which have the same
fields; so that it needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.geometry.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class StampFields:
    """Fields of builtin_interfaces/Time."""

    sec: int
    nanosec: int


@dataclass(frozen=True, slots=True)
class HeaderFields:
    """Fields of std_msgs/Header."""

    stamp: StampFields
    frame_id: str


@dataclass(frozen=True, slots=True)
class ImageFields:
    """Fields of sensor_msgs/Image."""

    header: HeaderFields
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview
    """On the bytes that came; of other makers whatever has a buffer of bytes."""


@dataclass(frozen=True, slots=True)
class CompressedImageFields:
    """Fields of sensor_msgs/CompressedImage."""

    header: HeaderFields
    format: str
    data: memoryview
    """As in `ImageFields`."""


@dataclass(frozen=True, slots=True)
class RegionFields:
    """Fields of sensor_msgs/RegionOfInterest."""

    x_offset: int
    y_offset: int
    height: int
    width: int
    do_rectify: bool


@dataclass(frozen=True, slots=True, eq=False)
class CameraInfoFields:
    """Fields of sensor_msgs/CameraInfo."""

    header: HeaderFields
    height: int
    width: int
    distortion_model: str
    d: FloatArray
    """(N,), as long as the model has coefficients; as the next ones any numbers."""
    k: FloatArray
    """(9,), row by row, pixels."""
    r: FloatArray
    """(9,)."""
    p: FloatArray
    """(12,), pixels."""
    binning_x: int
    binning_y: int
    roi: RegionFields
