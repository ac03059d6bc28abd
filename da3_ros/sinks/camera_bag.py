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
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.options.choices import BagStorage
from da3_ros.options.export import RESULTS
from da3_ros.options.output import OUTPUT
from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.definitions import shared_definitions
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
        self._store = shared_definitions().typestore

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
        header = self._header(frame.stamp_ns, frame.frame_id)
        if self._is_compressed:
            message = self._make(
                'sensor_msgs/msg/CompressedImage',
                header=header,
                format='rgb8; jpeg compressed bgr8',
                data=_jpeg(frame, self._jpeg_quality),
            )
            topic += '/compressed'
        else:
            message = self._image(header, frame.image, 'rgb8')
        self._write(topic, frame.stamp_ns, message)
        if frame.calibration is not None:
            info = self._camera_info(header, frame.calibration)
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
            self._transform(stamp_ns, base_frame, frame_ids[camera], base_from_camera)
            for camera, base_from_camera in rig.base_from_camera.items()
        ]
        message = self._make('tf2_msgs/msg/TFMessage', transforms=transforms)
        self._write('/tf_static', stamp_ns, message, is_latched=True)

    def write_transform(
        self, stamp_ns: int, parent: str, child: str, parent_from_child: FloatArray
    ) -> None:
        """Write a pose (4, 4) on /tf.

        Raises:
            SinkError: the disk refuses.
        """
        transforms = [self._transform(stamp_ns, parent, child, parent_from_child)]
        message = self._make('tf2_msgs/msg/TFMessage', transforms=transforms)
        self._write('/tf', stamp_ns, message)

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
        zero = self._make('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=0.0)
        message = self._make(
            'nav_msgs/msg/Odometry',
            header=self._header(stamp_ns, frame_id),
            child_frame_id=child_frame_id,
            pose=self._make(
                'geometry_msgs/msg/PoseWithCovariance',
                pose=self._make(
                    'geometry_msgs/msg/Pose',
                    position=self._vector('geometry_msgs/msg/Point', world_from_base[:3, 3]),
                    orientation=self._quaternion(world_from_base),
                ),
                covariance=np.zeros(36),
            ),
            twist=self._make(
                'geometry_msgs/msg/TwistWithCovariance',
                twist=self._make('geometry_msgs/msg/Twist', linear=zero, angular=zero),
                covariance=np.zeros(36),
            ),
        )
        self._write(topic, stamp_ns, message)

    def write_depth(self, topic: str, stamp_ns: int, frame_id: str, depth: FloatImage) -> None:
        """Write a depth image (H, W) in metres as 32FC1.

        Raises:
            SinkError: the disk refuses.
        """
        values = np.ascontiguousarray(depth, dtype='<f4')
        message = self._image(self._header(stamp_ns, frame_id), values, '32FC1')
        self._write(topic, stamp_ns, message)

    def _write(self, topic: str, stamp_ns: int, message: Any, *, is_latched: bool = False) -> None:
        msgtype = message.__msgtype__
        self._bag.add_topic(topic, msgtype, is_latched=is_latched)
        self._bag.write(topic, stamp_ns, self._store.serialize_cdr(message, msgtype))

    def _make(self, msgtype: str, **fields: Any) -> Any:
        kind: Any = self._store.types[msgtype]
        return kind(**fields)

    def _stamp(self, stamp_ns: int) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        return self._make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        return self._make('std_msgs/msg/Header', stamp=self._stamp(stamp_ns), frame_id=frame_id)

    def _image(self, header: Any, pixels: NDArray[Any], encoding: str) -> Any:
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
        return self._make(
            'sensor_msgs/msg/Image',
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=data.size // height,
            data=data,
        )

    def _camera_info(self, header: Any, camera: PinholeCamera) -> Any:
        return self._make(
            'sensor_msgs/msg/CameraInfo',
            header=header,
            height=camera.size.height,
            width=camera.size.width,
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=camera.K.reshape(-1).copy(),
            r=np.eye(3).reshape(-1),
            p=np.hstack([camera.K, np.zeros((3, 1))]).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=self._make(
                'sensor_msgs/msg/RegionOfInterest',
                x_offset=0,
                y_offset=0,
                height=0,
                width=0,
                do_rectify=False,
            ),
        )

    def _transform(
        self, stamp_ns: int, parent: str, child: str, parent_from_child: FloatArray
    ) -> Any:
        return self._make(
            'geometry_msgs/msg/TransformStamped',
            header=self._header(stamp_ns, parent),
            child_frame_id=child,
            transform=self._make(
                'geometry_msgs/msg/Transform',
                translation=self._vector('geometry_msgs/msg/Vector3', parent_from_child[:3, 3]),
                rotation=self._quaternion(parent_from_child),
            ),
        )

    def _vector(self, msgtype: str, values: FloatArray) -> Any:
        x, y, z = (float(value) for value in values)
        return self._make(msgtype, x=x, y=y, z=z)

    def _quaternion(self, transform: FloatArray) -> Any:
        x, y, z, w = (float(v) for v in quaternion_xyzw_from_matrix(transform[:3, :3]))
        return self._make('geometry_msgs/msg/Quaternion', x=x, y=y, z=z, w=w)


def _jpeg(frame: CameraFrame, quality: int) -> NDArray[np.uint8]:
    bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise SinkError(f'camera {frame.camera}: the image could not be compressed to jpeg')
    return np.asarray(data, dtype=np.uint8).reshape(-1)
