"""Messages of one camera by the rosbags library: images, compressed ones, calibrations."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.raw_messages import STORE

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
INFO = 'sensor_msgs/msg/CameraInfo'


def make(msgtype: str, **fields: Any) -> Any:
    """Return a message of rosbags."""
    kind: Any = STORE.types[msgtype]
    return kind(**fields)


def header(stamp_ns: int, frame_id: str = 'optical') -> Any:
    """Return std_msgs/Header."""
    seconds, rest_ns = divmod(stamp_ns, 10**9)
    stamp = make('builtin_interfaces/msg/Time', sec=seconds, nanosec=rest_ns)
    return make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)


def image(
    head: Any, data: np.ndarray[Any, Any], encoding: str, size: tuple[int, int], **fields: Any
) -> Any:
    """Return sensor_msgs/Image of height and width whose rows have no padding."""
    rows = {'is_bigendian': 0, 'step': data.size // size[0], **fields}
    height, width = size
    content = data.reshape(-1)
    return make(
        IMAGE, header=head, height=height, width=width, encoding=encoding, data=content, **rows
    )


def compressed(head: Any, data: np.ndarray[Any, Any], image_format: str) -> Any:
    """Return sensor_msgs/CompressedImage."""
    return make(COMPRESSED, header=head, format=image_format, data=data.reshape(-1))


def info(head: Any, size: tuple[int, int], focal_px: float, **fields: Any) -> Any:
    """Return sensor_msgs/CameraInfo of an ideal camera of height and width."""
    height, width = size
    K = np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]])
    region = {'x_offset': 0, 'y_offset': 0, 'height': 0, 'width': 0, 'do_rectify': False}
    given = {
        'height': height,
        'width': width,
        'distortion_model': 'plumb_bob',
        'd': np.zeros(5),
        'k': K.reshape(-1),
        'r': np.eye(3).reshape(-1),
        'p': np.hstack([K, np.zeros((3, 1))]).reshape(-1),
        'binning_x': 0,
        'binning_y': 0,
        'roi': make('sensor_msgs/msg/RegionOfInterest', **region),
    }
    return make(INFO, header=head, **{**given, **fields})


def cdr(message: Any, *, little_endian: bool = True) -> bytes:
    """Return a message as a bag has it."""
    kind = message.__msgtype__
    return bytes(STORE.serialize_cdr(message, kind, little_endian=little_endian))
