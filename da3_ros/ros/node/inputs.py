"""Subscriptions of the cameras: messages become `CameraFrame`, faults are named and counted.

A callback makes a view of the message's bytes and hands it on; nothing here waits. Of a compressed
image it reads the size and looks whether all of it is there; whoever uses its set decodes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import threading
import time

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from da3_ros.options import OutputOptions
from da3_ros.options.camera_values import Crop
from da3_ros.reasons import Reason
from da3_ros.ros.calibration import kind_of_images
from da3_ros.ros.compressed import UndecodedImage, open_compressed
from da3_ros.ros.conversions import FieldError, read_image
from da3_ros.ros.encodings import ReadImage, ReadRules
from da3_ros.ros.image_bytes import ReceivedImage, image_of_bytes
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from da3_ros.ros.messages.qos import image_input, overridable
from da3_ros.ros.node.image_reasons import BitUse, Refusals
from da3_ros.ros.node.info_input import InfoInput
from da3_ros.ros.node.preparation import Preparation
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame, ColourImage, ViewId

SILENT_AFTER_S = 2.0
_WAIT_FOR_INFO_IMAGES = 3
_INFO_MISSING_AFTER_S = 2.0


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
        self._group = group
        self._deliver = deliver
        self._reasons = reasons
        self._clock = clock
        self._rules = ReadRules(options.max_image_pixels, options.mono16_bits)
        self._refusals = Refusals(camera, reasons, clock)
        self._bits = BitUse(camera, options.mono16_bits, reasons, clock)
        # What is said of images, from the thread of the callbacks and those that decode.
        self._judging = threading.Lock()
        self._images = self._received = 0
        self._calibrated = self._was_calibrated = False
        self._waited = self._waited_for_size = 0
        self._last_s = clock()
        self._first_s: float | None = None
        self._last_used_s: float | None = None
        self._newest_stamp_ns: int | None = None
        self._has_frame_id = True
        self._is_open = True
        raw = options.image_transport == 'raw'
        name = f'{camera}/image_raw' if raw else f'{camera}/image_raw/compressed'
        self.topic = str(node.resolve_topic_name(name))
        info_topic = str(node.resolve_topic_name(f'{camera}/camera_info'))
        self.topics = (self.topic, info_topic)
        self._source = f'camera {camera}, topic {self.topic}'
        self._info_source = f'camera {camera}, topic {info_topic}'
        kind = kind_of_images(options.camera_info_is, self.topic)
        self._preparation = Preparation(camera, crop, options.rectify, kind, reasons)
        if options.rectify and kind == 'rectified':
            choice = options.camera_info_is
            reasons.hold(Reason.NOTHING_TO_RECTIFY, camera, topic=self.topic, choice=choice)
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
        self._reasons.end_all(self._camera)

    def take_info(self, info: CameraInfo) -> None:
        """Take a calibration; it holds for the images that follow."""
        if not self._is_open:
            return
        if self._preparation.info is None:
            self._reasons.end(Reason.CALIBRATION_MISSING, self._camera)
        self._preparation.take_info(info)

    def take_bytes(self, data: bytes) -> None:
        """Take an Image as the middleware has it, see `take_image`."""
        try:
            message = image_of_bytes(data)
        except Exception as error:  # of the middleware's own, for what is no image
            if self._is_open:
                self._note_arrival()
                text = f'{self._source}: {len(data)} bytes that are no Image: {error}; dropped'
                with self._judging:
                    self._refusals.refused('message', text)
            return
        self.take_image(message)

    def take_image(self, message: Image | ReceivedImage | CompressedImage) -> None:
        """Take an image: deliver its frame, or say what is wrong with it."""
        # A callback that had begun before the subscription was closed.
        if not self._is_open:
            return
        self._note_arrival()
        if self._waits_for_info():
            return
        try:
            frame = self._frame(message)
            if not self._is_new_size(frame):
                self._deliver(frame)
        except Exception as error:
            # An exception that left a callback would end the node.
            self._refuse(error)
        else:
            self._newest_stamp_ns = frame.stamp_ns
            self._last_used_s = self._last_s
            with self._judging:
                self._images += 1
                if frame.pending is None:
                    self._refusals.used()

    def _note_arrival(self) -> None:
        """Take note of a message, good or bad."""
        self._last_s = self._clock()
        self._received += 1
        if self._first_s is None:
            self._first_s = self._last_s

    def _refuse(self, error: Exception) -> None:
        """Say of an image that it could not be used."""
        kind = type(error).__name__
        field, text = kind, f'camera {self._camera}: {kind}: {error}'
        if isinstance(error, FieldError):
            field, text = error.field, str(error)
        with self._judging:
            self._refusals.refused(field, text)

    def _waits_for_info(self) -> bool:
        """Return whether to pass over an image because its calibration is about to come.

        Drivers publish an image before the camera_info of the same instant. Without this the
        first image of a calibrated camera would go in uncalibrated.
        """
        if self._preparation.info is not None or self._waited >= _WAIT_FOR_INFO_IMAGES:
            return False
        if not self._info.is_published:
            return False
        self._info.hear_latched()
        self._waited += 1
        return True

    def _is_new_size(self, frame: CameraFrame) -> bool:
        """Return whether to pass over an image because its size has just changed.

        Then too the calibration of the new size comes behind the first image.
        """
        self._calibrated = frame.calibration is not None
        if self._calibrated:
            self._was_calibrated, self._waited_for_size = True, 0
        if not (self._was_calibrated and self._preparation.has_other_size):
            return False
        self._waited_for_size += 1
        return self._waited_for_size <= _WAIT_FOR_INFO_IMAGES

    def _frame(self, message: Image | ReceivedImage | CompressedImage) -> CameraFrame:
        read: ReadImage | UndecodedImage
        stamp = f'stamp {ns_from_stamp(message.header.stamp)} ns'
        if isinstance(message, CompressedImage):
            # Decoded on another thread, and only where its set is used.
            read = open_compressed(message, f'{self._source}, {stamp}', self._rules)
        else:
            read = read_image(message, self._source, self._rules)
            self._see(read, message.encoding)
        stamp_ns = ns_from_stamp(message.header.stamp)
        if stamp_ns == 0:
            raise FieldError(
                self._source, 'header.stamp', 'it is zero: the driver does not set it; dropped'
            )
        frame_id = str(message.header.frame_id)
        if bool(frame_id) != self._has_frame_id:
            self._has_frame_id = bool(frame_id)
            missing, source = not frame_id, self._source
            self._reasons.set(Reason.FRAME_MISSING, self._camera, missing, source=source)
        view = ViewId(self._camera, stamp_ns, frame_id)
        sources = self._source, self._info_source
        if isinstance(read, ReadImage):
            return self._preparation.frame(view, read.pixels, *sources)
        decode = partial(self._decoded, read)
        return self._preparation.frame_of_undecoded(view, read.size, decode, *sources)

    def _decoded(self, image: UndecodedImage) -> ColourImage | None:
        """Return the pixels of a compressed image, or say what is wrong with it; on any thread."""
        try:
            read = image.read()
        except Exception as error:
            if self._is_open:
                with self._judging:
                    self._images -= 1
                self._refuse(error)
            return None
        if self._is_open:
            with self._judging:
                self._refusals.used()
                self._see(read, image.format)
        return read.pixels

    def _see(self, read: ReadImage, encoding: str) -> None:
        """Say what is odd about the pixels of a message."""
        self._bits.see(read.largest, encoding)
        if read.cut:
            self._reasons.happened(
                Reason.IMAGE_CUT, self._camera, source=self._source, problem=read.cut
            )

    def _look(self) -> None:
        """Look at what no message says; about once per second."""
        with self._judging:
            self._refusals.look()
        self._info.hear_latched()
        if self._preparation.info is not None or self._first_s is None:
            return
        waited_s = self._clock() - self._first_s
        if waited_s >= _INFO_MISSING_AFTER_S:
            self._reasons.hold(
                Reason.CALIBRATION_MISSING,
                self._camera,
                topic=self._info.topic,
                images=self._received,
                waited_s=waited_s,
                why=self._info.why_silent(),
            )

    def status(self) -> InputStatus:
        """Return what came so far; about once per second."""
        self._look()
        now_s, used_s = self._clock(), self._last_used_s
        silent_s = now_s - self._last_s
        return InputStatus(
            camera=self._camera,
            topic=self.topic,
            images=self._images,
            calibrated=self._calibrated,
            silent_s=silent_s,
            senders=self._senders() if silent_s > SILENT_AFTER_S else (),
            refused=self._refusals.total,
            newest_stamp_ns=self._newest_stamp_ns,
            wants_reliable=self._wants_reliable,
            unused_s=0.0 if used_s is None else now_s - used_s,
        )

    def _senders(self) -> tuple[Sender, ...]:
        found = self._node.get_publishers_info_by_topic(self.topic)
        best_effort = ReliabilityPolicy.BEST_EFFORT
        return tuple(Sender(p.node_name, p.qos_profile.reliability == best_effort) for p in found)
