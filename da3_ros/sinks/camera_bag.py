"""Recording cameras to a bag without ROS: images, calibration, the rig, and the truth if known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import SinkError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.options.choices import BagStorage
from da3_ros.options.export import RESULTS
from da3_ros.options.output import OUTPUT
from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.messages import RecordedMessages
from da3_ros.types import CameraFrame, FloatImage, RigCalibration

TRUTH_ODOMETRY_TOPIC = '/truth/odometry'


def truth_depth_topic(camera: str) -> str:
    """Return the topic of a camera's exact depth (32FC1, metres)."""
    return f'/truth/{camera}/depth'


class CameraBagWriter:
    """Writes frames as the topics a camera driver would publish; use as a context manager.

    For every camera: `/<camera>/image_raw` (rgb8) or `/<camera>/image_raw/compressed` (jpeg), and
    `/<camera>/camera_info` when the frame is calibrated. A message's time in the bag is its stamp.

    Args:
        path: see `BagWriter`.
        storage: see `BagWriter`.
        is_compressed: write jpeg instead of raw images.
        jpeg_quality: 1 to 100.
        overwrite: see `BagWriter`.

    Raises:
        SinkError: see `BagWriter`.
    """

    def __init__(
        self,
        path: Path,
        *,
        storage: BagStorage | None = None,
        is_compressed: bool = False,
        jpeg_quality: int = 92,
        overwrite: bool = RESULTS.overwrite,
    ) -> None:
        self._bag = BagWriter(path, storage=storage, overwrite=overwrite)
        self._is_compressed = is_compressed
        self._jpeg_quality = jpeg_quality
        self._messages = RecordedMessages()

    def __enter__(self) -> CameraBagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bag.__exit__(kind, error, trace)

    @property
    def message_count(self) -> int:
        """Messages written so far."""
        return self._bag.message_count

    def write_frame(self, frame: CameraFrame) -> None:
        """Write an image and, when the frame is calibrated, its CameraInfo.

        Raises:
            SinkError: the image cannot be compressed, or the disk refuses.
        """
        topic = f'/{frame.camera}/image_raw'
        make = self._messages
        header = make.header(frame.stamp_ns, frame.frame_id)
        if self._is_compressed:
            data = _jpeg(frame, self._jpeg_quality)
            message = make.compressed_image(header, 'rgb8; jpeg compressed bgr8', data)
            topic += '/compressed'
        else:
            message = make.image(header, frame.image, 'rgb8')
        self._write(topic, frame.stamp_ns, message)
        if frame.calibration is not None:
            info = make.camera_info(header, frame.calibration)
            self._write(f'/{frame.camera}/camera_info', frame.stamp_ns, info)

    def write_rig(
        self,
        rig: RigCalibration,
        frame_ids: Mapping[str, str],
        stamp_ns: int,
        base_frame: str = OUTPUT.base_frame,
    ) -> None:
        """Write where the cameras sit as one latched message on /tf_static.

        Args:
            rig: the calibration.
            frame_ids: camera name to the id of its optical frame.
            stamp_ns: of the transforms.
            base_frame: id of the body frame.

        Raises:
            SinkError: the disk refuses.
        """
        transforms = [
            self._messages.transform(stamp_ns, base_frame, frame_ids[camera], base_from_camera)
            for camera, base_from_camera in rig.base_from_camera.items()
        ]
        message = self._messages.transforms(transforms)
        self._write('/tf_static', stamp_ns, message, is_latched=True)

    def write_transform(
        self, stamp_ns: int, parent: str, child: str, parent_from_child: FloatArray
    ) -> None:
        """Write a pose (4, 4) on /tf.

        Raises:
            SinkError: the disk refuses.
        """
        transform = self._messages.transform(stamp_ns, parent, child, parent_from_child)
        self._write('/tf', stamp_ns, self._messages.transforms([transform]))

    def write_odometry(
        self,
        stamp_ns: int,
        world_from_base: FloatArray,
        *,
        frame_id: str = 'world',
        child_frame_id: str = 'base_link',
        topic: str = TRUTH_ODOMETRY_TOPIC,
    ) -> None:
        """Write a pose (4, 4) as nav_msgs/Odometry; the twist stays zero, covariances unknown.

        Raises:
            SinkError: the disk refuses.
        """
        header = self._messages.header(stamp_ns, frame_id)
        message = self._messages.odometry(header, child_frame_id, world_from_base)
        self._write(topic, stamp_ns, message)

    def write_depth(self, topic: str, stamp_ns: int, frame_id: str, depth: FloatImage) -> None:
        """Write a depth image (H, W) in metres as 32FC1.

        Raises:
            SinkError: the disk refuses.
        """
        values = np.ascontiguousarray(depth, dtype='<f4')
        header = self._messages.header(stamp_ns, frame_id)
        message = self._messages.image(header, values, '32FC1')
        self._write(topic, stamp_ns, message)

    def _write(self, topic: str, stamp_ns: int, message: Any, *, is_latched: bool = False) -> None:
        msgtype = message.__msgtype__
        self._bag.add_topic(topic, msgtype, is_latched=is_latched)
        self._bag.write(topic, stamp_ns, self._messages.serialize(message))


def _jpeg(frame: CameraFrame, quality: int) -> NDArray[np.uint8]:
    bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise SinkError(f'camera {frame.camera}: the image could not be compressed to jpeg')
    return np.asarray(data, dtype=np.uint8).reshape(-1)
