"""Subscriptions of the cameras: what comes is read, and frames are handed on.

A callback makes a view of the message's bytes; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import time

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from da3_ros.options import OutputOptions
from da3_ros.options.camera_values import Crop
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.late_reasons import SILENT_AFTER_S
from da3_ros.ros.message_fields import ImageFields
from da3_ros.ros.messages.qos import image_input, overridable
from da3_ros.ros.node.info_input import InfoInput
from da3_ros.ros.reading.camera_reader import AnyImage, CameraReader
from da3_ros.ros.reading.raw import image_from_cdr, is_plain_cdr
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame


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
    unused_s: float = 0.0
    """Time since the last image that was understood; 0 before the first."""


class CameraInput:
    """The image and camera_info subscriptions of one camera.

    Args:
        node: owns the subscriptions.
        camera: name and topic prefix.
        options: transport, QoS.
        group: callback group; callbacks of one group never run at the same time.
        deliver: takes every frame.
        reasons: takes what is wrong.
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
        reasons: ReasonBoard,
        clock: Callable[[], float] = time.monotonic,
        crop: Crop | None = None,
    ) -> None:
        self._node = node
        self._camera = camera
        self._deliver = deliver
        self._is_open = True
        raw = options.image_transport == 'raw'
        name = f'{camera}/image_raw' if raw else f'{camera}/image_raw/compressed'
        self.topic = str(node.resolve_topic_name(name))
        info_topic = str(node.resolve_topic_name(f'{camera}/camera_info'))
        self.topics = (self.topic, info_topic)
        self._reader = CameraReader(
            camera, options, reasons, self.topic, info_topic, clock=clock, crop=crop
        )
        # All that a callback uses is there by now: messages come at once, on other threads.
        profile = image_input(options.image_reliability, options.queue_depth)
        # First, so that it is served first when both wait: an image finds its calibration.
        self._info = InfoInput(node, camera, profile, group, self.take_info)
        self._image_subscription = node.create_subscription(
            Image if raw else CompressedImage,
            name,
            self.take_bytes if raw else self.take_image,
            profile,
            callback_group=group,
            qos_overriding_options=overridable(),
            raw=raw,
        )
        # Also what qos_overrides made of it.
        reliability = self._image_subscription.qos_profile.reliability
        self._wants_reliable = reliability == ReliabilityPolicy.RELIABLE
        self._info.hear_latched()

    def destroy(self) -> None:
        """End the subscriptions; what they gave reason to say is over, without a word."""
        self._is_open = False
        self._node.destroy_subscription(self._image_subscription)
        self._info.destroy()
        self._reader.close()

    def take_info(self, info: CameraInfo) -> None:
        """Take a calibration; it holds for the images that follow."""
        if self._is_open:
            self._reader.take_info(info)

    def take_bytes(self, data: bytes) -> None:
        """Take an Image as the middleware has it, see `take_image`."""
        try:
            message = _image_of_bytes(data, self._reader.source)
        except Exception as error:
            if self._is_open:
                self._reader.arrived()
                self._reader.refused(error)
            return
        self.take_image(message)

    def take_image(self, message: AnyImage) -> None:
        """Take an image: deliver its frame, or say what is wrong with it."""
        # A callback that had begun before the subscription was closed.
        if not self._is_open:
            return
        reader = self._reader
        reader.arrived()
        if reader.waits_for_info(self._is_info_coming):
            return
        try:
            frame = reader.frame(message)
            if not reader.waits_for_size():
                self._deliver(frame)
        except Exception as error:
            # An exception that left a callback would end the node.
            reader.refused(error)
        else:
            reader.used(frame)

    def _is_info_coming(self) -> bool:
        if not self._info.is_published:
            return False
        self._info.hear_latched()
        return True

    def status(self) -> InputStatus:
        """Return what came so far; about once per second."""
        # One that was latched by a sender that came late.
        self._info.hear_latched()
        self._reader.look(self._info.why_silent)
        counts = self._reader.counts()
        return InputStatus(
            camera=self._camera,
            topic=self.topic,
            images=counts.images,
            calibrated=counts.calibrated,
            silent_s=counts.silent_s,
            senders=self._senders() if counts.silent_s > SILENT_AFTER_S else (),
            refused=counts.refused,
            newest_stamp_ns=counts.newest_stamp_ns,
            wants_reliable=self._wants_reliable,
            unused_s=counts.unused_s,
        )

    def _senders(self) -> tuple[Sender, ...]:
        found = self._node.get_publishers_info_by_topic(self.topic)
        best_effort = ReliabilityPolicy.BEST_EFFORT
        return tuple(Sender(p.node_name, p.qos_profile.reliability == best_effort) for p in found)


def _image_of_bytes(data: bytes, source: str) -> ImageFields:
    """Return the image of a serialised message; what does not lie in plain CDR is left to rclpy.

    Raises:
        FieldError: the bytes are no image.
    """
    if is_plain_cdr(data):
        return image_from_cdr(data, source)
    try:
        found: ImageFields = deserialize_message(data, Image)
    except Exception as error:  # of the middleware's own
        raise FieldError(
            source, 'message', f'{len(data)} bytes that are no Image: {error}; dropped'
        ) from error
    return found
