"""Subscriptions of the cameras: messages become `CameraFrame`, faults are named and counted.

A callback makes a view of the message's bytes (or decodes a compressed image) and hands it on;
nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import time

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from da3_ros.options import OutputOptions
from da3_ros.options.camera_values import Crop
from da3_ros.ros.conversions import FieldError, compressed_to_rgb, image_to_rgb
from da3_ros.ros.faults import FaultLog
from da3_ros.ros.messages.geometry_messages import has_distortion, ns_from_stamp
from da3_ros.ros.messages.qos import image_input, overridable
from da3_ros.ros.node.preparation import Preparation
from da3_ros.types import CameraFrame, ViewId

SILENT_AFTER_S = 2.0
_WAIT_FOR_INFO_IMAGES = 3


@dataclass(frozen=True, slots=True)
class Sender:
    """A publisher of a topic."""

    node: str
    is_best_effort: bool


@dataclass(frozen=True, slots=True)
class InputStatus:
    """What came from one camera so far."""

    camera: str
    topic: str
    images: int
    """Images that were understood."""
    calibrated: bool
    """Whether the last of them had a calibration."""
    silent_s: float
    """Time since the last message, good or bad; since the start when there was none."""
    senders: tuple[Sender, ...] = ()
    """Who publishes the topic; asked only when nothing has come for `SILENT_AFTER_S`."""
    refused: int = 0
    """Images that could not be used."""
    newest_stamp_ns: int | None = None
    """Of the image that came last and was understood; None before."""
    wants_reliable: bool = False
    """Whether only reliable publishers are heard."""


class CameraInput:
    """The image and camera_info subscriptions of one camera.

    Args:
        node: owns the subscriptions.
        camera: name and topic prefix.
        options: transport, QoS.
        group: callback group; callbacks of one group never run at the same time.
        deliver: takes every frame.
        faults: takes every fault.
        clock: monotonic seconds.
        crop: part of the image to use; None for all of it.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        options: OutputOptions,
        group: CallbackGroup,
        deliver: Callable[[CameraFrame], None],
        faults: FaultLog,
        clock: Callable[[], float] = time.monotonic,
        crop: Crop | None = None,
    ) -> None:
        self._node = node
        self._camera = camera
        self._deliver = deliver
        self._faults = faults
        self._clock = clock
        self._rectify = options.rectify
        self._preparation = Preparation(camera, crop, options.rectify, faults)
        self._images = 0
        self._calibrated = False
        self._last_s = clock()
        self._refused = 0
        self._newest_stamp_ns: int | None = None
        self._said_distorted = False
        self._waited = 0
        raw = options.image_transport == 'raw'
        profile = image_input(options.image_reliability, options.queue_depth)
        # First, so that it is served first when both wait: an image finds its calibration.
        # Reliability is the images': drivers that send those best effort do so here too.
        self._info_subscription = node.create_subscription(
            CameraInfo,
            f'{camera}/camera_info',
            self.take_info,
            profile,
            callback_group=group,
            qos_overriding_options=overridable(),
        )
        self._image_subscription = node.create_subscription(
            Image if raw else CompressedImage,
            f'{camera}/image_raw' if raw else f'{camera}/image_raw/compressed',
            self.take_image,
            profile,
            callback_group=group,
            qos_overriding_options=overridable(),
        )
        self.topic = str(self._image_subscription.topic_name)
        # Also what qos_overrides made of it.
        reliability = self._image_subscription.qos_profile.reliability
        self._wants_reliable = reliability == ReliabilityPolicy.RELIABLE
        self._info_topic = str(self._info_subscription.topic_name)

    @property
    def camera(self) -> str:
        """Its name."""
        return self._camera

    def destroy(self) -> None:
        """End the subscriptions."""
        self._node.destroy_subscription(self._image_subscription)
        self._node.destroy_subscription(self._info_subscription)

    def take_info(self, info: CameraInfo) -> None:
        """Take a calibration; it holds for the images that follow."""
        if not self._preparation.take_info(info):
            return
        if has_distortion(info) and not self._rectify and not self._said_distorted:
            self._said_distorted = True
            self._node.get_logger().warning(
                f'camera {self._camera}, topic {self._info_topic}: lens distortion is not undone '
                'here; depth near the borders is off by it. Set rectify, or rectify upstream '
                '(image_proc) and remap image_raw to image_rect.'
            )

    def take_image(self, message: Image | CompressedImage) -> None:
        """Take an image: deliver its frame, or report what is wrong with it."""
        self._last_s = self._clock()
        if self._waits_for_info():
            return
        try:
            frame = self._frame(message)
            self._images += 1
            self._newest_stamp_ns = frame.stamp_ns
            self._calibrated = frame.calibration is not None
            self._deliver(frame)
        except FieldError as error:
            self._refused += 1
            self._faults.report(self._camera, error.field, str(error))
        except Exception as error:
            # An exception that left a callback would end the node.
            kind = type(error).__name__
            self._faults.report(self._camera, kind, f'camera {self._camera}: {kind}: {error}')

    def _waits_for_info(self) -> bool:
        """Return whether to pass over an image because its calibration is about to come.

        Drivers publish an image before the camera_info of the same instant. Without this the
        first image of a calibrated camera would go in uncalibrated.
        """
        if self._preparation.info is not None or self._waited >= _WAIT_FOR_INFO_IMAGES:
            return False
        if not self._node.count_publishers(self._info_topic):
            return False
        self._waited += 1
        return True

    def _frame(self, message: Image | CompressedImage) -> CameraFrame:
        source = f'camera {self._camera}, topic {self.topic}'
        convert = image_to_rgb if isinstance(message, Image) else compressed_to_rgb
        pixels = convert(message, source)
        stamp_ns = ns_from_stamp(message.header.stamp)
        if stamp_ns == 0:
            raise FieldError(
                source, 'header.stamp', 'it is zero: the driver does not set it; dropped'
            )
        if not message.header.frame_id:
            self._faults.report(
                self._camera,
                'header.frame_id',
                f'{source}, field header.frame_id: it is empty, so that there is no TF for this '
                'camera and its clouds have no frame; set it in the driver',
            )
        info_source = f'camera {self._camera}, topic {self._info_topic}'
        view = ViewId(self._camera, stamp_ns, str(message.header.frame_id))
        return self._preparation.frame(view, pixels, source, info_source)

    def status(self) -> InputStatus:
        """Return what came so far."""
        silent_s = self._clock() - self._last_s
        return InputStatus(
            camera=self._camera,
            topic=self.topic,
            images=self._images,
            calibrated=self._calibrated,
            silent_s=silent_s,
            senders=self._senders() if silent_s > SILENT_AFTER_S else (),
            refused=self._refused,
            newest_stamp_ns=self._newest_stamp_ns,
            wants_reliable=self._wants_reliable,
        )

    def _senders(self) -> tuple[Sender, ...]:
        found = self._node.get_publishers_info_by_topic(self.topic)
        best_effort = ReliabilityPolicy.BEST_EFFORT
        return tuple(Sender(p.node_name, p.qos_profile.reliability == best_effort) for p in found)
