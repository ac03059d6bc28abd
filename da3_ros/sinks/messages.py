"""Messages of recordings, made and serialised without ROS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix
from da3_ros.sinks.definitions import MessageDefinitions, shared_definitions

_NS_PER_S = 1_000_000_000
_NO_BYTES: NDArray[np.uint8] = np.empty(0, np.uint8)
_FLOAT32 = 7
"""sensor_msgs/PointField.FLOAT32."""


class RecordedMessages:
    """Makes messages of the classes that `rosbags` has for them, with the fields of rclpy's.

    Args:
        definitions: of the types; None for the process's own.
    """

    def __init__(self, definitions: MessageDefinitions | None = None) -> None:
        self._definitions = definitions or shared_definitions()

    def make(self, msgtype: str, **fields: Any) -> Any:
        """Return a message of any type; every field is needed.

        Raises:
            SinkError: the type's definition is unknown.
        """
        self._definitions.require(msgtype)
        kind: Any = self._definitions.typestore.types[msgtype]
        return kind(**fields)

    def serialize(self, message: Any) -> bytes:
        """Return the CDR of a message, little-endian, with its encapsulation."""
        store = self._definitions.typestore
        return bytes(store.serialize_cdr(message, message.__msgtype__))

    def time(self, stamp_ns: int) -> Any:
        """Return a stamp, exactly; also before 1970."""
        seconds, rest_ns = divmod(stamp_ns, _NS_PER_S)
        return self.make('builtin_interfaces/msg/Time', sec=seconds, nanosec=rest_ns)

    def header(self, stamp_ns: int, frame_id: str) -> Any:
        """Return a header."""
        return self.make('std_msgs/msg/Header', stamp=self.time(stamp_ns), frame_id=frame_id)

    def image(self, header: Any, pixels: NDArray[Any], encoding: str) -> Any:
        """Return an image of pixels (H, W) or (H, W, C), whose bytes are those of the array."""
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
        return self.image_of_bytes(header, (height, width), encoding, data.size // height, data)

    def image_of_bytes(
        self,
        header: Any,
        size: tuple[int, int],
        encoding: str,
        step: int,
        data: NDArray[np.uint8] = _NO_BYTES,
    ) -> Any:
        """Return an image of bytes.

        Args:
            header: stamp and frame id.
            size: height and width.
            encoding: of the pixels.
            step: bytes of a row.
            data: (height * step,), or nothing yet.
        """
        return self.make(
            'sensor_msgs/msg/Image',
            header=header,
            height=size[0],
            width=size[1],
            encoding=encoding,
            is_bigendian=0,
            step=step,
            data=data,
        )

    def compressed_image(self, header: Any, layout: str, data: NDArray[np.uint8]) -> Any:
        """Return a compressed image; the layout is its field `format`."""
        return self.make(
            'sensor_msgs/msg/CompressedImage', header=header, format=layout, data=data
        )

    def camera_info(self, header: Any, camera: PinholeCamera) -> Any:
        """Return the CameraInfo of an ideal camera: R identity, no distortion, P = [K | 0]."""
        return self.make(
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
            roi=self.make(
                'sensor_msgs/msg/RegionOfInterest',
                x_offset=0,
                y_offset=0,
                height=0,
                width=0,
                do_rectify=False,
            ),
        )

    def cloud(
        self, header: Any, fields: Sequence[str], size: tuple[int, int], *, is_dense: bool
    ) -> Any:
        """Return a cloud of float32 fields one behind the other, without its points.

        Args:
            header: stamp and frame id.
            fields: their names.
            size: rows and points of a row.
            is_dense: whether all points have numbers only.
        """
        point_bytes = 4 * len(fields)
        return self.make(
            'sensor_msgs/msg/PointCloud2',
            header=header,
            height=size[0],
            width=size[1],
            fields=[
                self.make(
                    'sensor_msgs/msg/PointField',
                    name=name,
                    offset=4 * i,
                    datatype=_FLOAT32,
                    count=1,
                )
                for i, name in enumerate(fields)
            ],
            is_bigendian=False,
            point_step=point_bytes,
            row_step=point_bytes * size[1],
            data=_NO_BYTES,
            is_dense=is_dense,
        )

    def transform(
        self, stamp_ns: int, parent: str, child: str, parent_from_child: FloatArray
    ) -> Any:
        """Return a rigid transform (4, 4): the pose of the child in the parent."""
        return self.make(
            'geometry_msgs/msg/TransformStamped',
            header=self.header(stamp_ns, parent),
            child_frame_id=child,
            transform=self.make(
                'geometry_msgs/msg/Transform',
                translation=self._vector('geometry_msgs/msg/Vector3', parent_from_child[:3, 3]),
                rotation=self._quaternion(parent_from_child),
            ),
        )

    def transforms(self, transforms: Iterable[Any]) -> Any:
        """Return a message of /tf or /tf_static."""
        return self.make('tf2_msgs/msg/TFMessage', transforms=list(transforms))

    def pose(self, a_from_b: FloatArray) -> Any:
        """Return a rigid transform (4, 4) as the pose of frame b in frame a."""
        return self.make(
            'geometry_msgs/msg/Pose',
            position=self._vector('geometry_msgs/msg/Point', a_from_b[:3, 3]),
            orientation=self._quaternion(a_from_b),
        )

    def odometry(
        self,
        header: Any,
        child_frame_id: str,
        world_from_base: FloatArray,
        *,
        pose_covariance: FloatArray | None = None,
        linear_per_s: Sequence[float] | FloatArray = (0.0, 0.0, 0.0),
        angular_rad_per_s: Sequence[float] | FloatArray = (0.0, 0.0, 0.0),
        twist_covariance: FloatArray | None = None,
    ) -> Any:
        """Return an odometry.

        Args:
            header: stamp and world frame.
            child_frame_id: the frame that has the pose and the velocity.
            world_from_base: (4, 4).
            pose_covariance: (36,), row-major; None for zeros, which stand for unknown.
            linear_per_s: (3,), in the child frame.
            angular_rad_per_s: (3,), in the child frame.
            twist_covariance: as `pose_covariance`.
        """
        unknown = np.zeros(36)
        return self.make(
            'nav_msgs/msg/Odometry',
            header=header,
            child_frame_id=child_frame_id,
            pose=self.make(
                'geometry_msgs/msg/PoseWithCovariance',
                pose=self.pose(world_from_base),
                covariance=unknown if pose_covariance is None else pose_covariance,
            ),
            twist=self.make(
                'geometry_msgs/msg/TwistWithCovariance',
                twist=self.make(
                    'geometry_msgs/msg/Twist',
                    linear=self._vector('geometry_msgs/msg/Vector3', linear_per_s),
                    angular=self._vector('geometry_msgs/msg/Vector3', angular_rad_per_s),
                ),
                covariance=unknown if twist_covariance is None else twist_covariance,
            ),
        )

    def view_report(
        self, stamp_ns: int, world_from_camera: FloatArray, plain: Mapping[str, object]
    ) -> Any:
        """Return one view of a window report; `plain` has the fields that are no messages."""
        return self.make(
            'da3_ros/msg/ViewReport',
            stamp=self.time(stamp_ns),
            world_from_camera=self.pose(world_from_camera),
            **plain,
        )

    def window_report(self, header: Any, views: Sequence[Any], plain: Mapping[str, object]) -> Any:
        """Return a window report; `plain` has the fields that are no messages."""
        return self.make('da3_ros/msg/WindowReport', header=header, views=list(views), **plain)

    def _vector(self, msgtype: str, values: Sequence[float] | FloatArray) -> Any:
        x, y, z = (float(value) for value in values)
        return self.make(msgtype, x=x, y=y, z=z)

    def _quaternion(self, transform: FloatArray) -> Any:
        x, y, z, w = (float(v) for v in quaternion_xyzw_from_matrix(transform[:3, :3]))
        return self.make('geometry_msgs/msg/Quaternion', x=x, y=y, z=z, w=w)
