"""Messages of one camera become `CameraFrame`; faults are named and counted.

Of a compressed image the size is read, and whether all of it is there; whoever uses its set
decodes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import threading
import time
from typing import cast

from da3_ros.options import OutputOptions
from da3_ros.options.camera_values import Crop
from da3_ros.reasons import Reason
from da3_ros.ros.calibration import kind_of_images
from da3_ros.ros.compressed import UndecodedImage, open_compressed
from da3_ros.ros.conversions import read_image
from da3_ros.ros.encodings import ReadImage, ReadRules
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.message_fields import CameraInfoFields, CompressedImageFields, ImageFields
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from da3_ros.ros.reading.image_reasons import BitUse, Refusals
from da3_ros.ros.reading.preparation import Preparation
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame, ColourImage, ViewId

WAIT_FOR_INFO_IMAGES = 3
"""As many images at most are not used at once since their calibration is about to come."""

_INFO_MISSING_AFTER_S = 2.0

AnyImage = ImageFields | CompressedImageFields


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """What came of one camera so far."""

    received: int
    """Messages of images, good or bad."""
    images: int
    """Images that were understood."""
    refused: int
    """Images that could not be used."""
    calibrated: bool
    """Whether the last image that was understood had a calibration."""
    newest_stamp_ns: int | None
    """Of the image that came last and was understood; None before."""
    silent_s: float
    """Time since the last message, good or bad; since the start when there was none."""
    unused_s: float
    """Time since the last image that was understood; 0 before the first."""


class CameraReader:
    """Reads the images of one camera, with the newest calibration.

    Its messages may be rclpy's, rosbags' or those of `reading.raw`. One thread at a time brings
    messages; any may decode and look.

    Args:
        camera: its name.
        options: rules of reading, what CameraInfo is for, rectification.
        reasons: takes what is wrong.
        topic: of the images, resolved and remapped.
        info_topic: of their calibration.
        clock: monotonic seconds.
        crop: part of the image to use; None for all of it.
    """

    def __init__(
        self,
        camera: str,
        options: OutputOptions,
        reasons: ReasonBoard,
        topic: str,
        info_topic: str,
        clock: Callable[[], float] = time.monotonic,
        crop: Crop | None = None,
    ) -> None:
        self.topic = topic
        self.info_topic = info_topic
        self.source = f'camera {camera}, topic {topic}'
        """Who sends the images, for error messages."""
        self.info_source = f'camera {camera}, topic {info_topic}'
        """Who sends the calibration."""
        self._camera = camera
        self._reasons = reasons
        self._clock = clock
        self._rules = ReadRules(options.max_image_pixels, options.mono16_bits)
        self._refusals = Refusals(camera, reasons, clock)
        self._bits = BitUse(camera, options.mono16_bits, reasons, clock)
        # What is said of images, from the thread that brings them and those that decode.
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
        kind = kind_of_images(options.camera_info_is, topic)
        self._preparation = Preparation(camera, crop, options.rectify, kind, reasons)
        if options.rectify and kind == 'rectified':
            choice = options.camera_info_is
            reasons.hold(Reason.NOTHING_TO_RECTIFY, camera, topic=topic, choice=choice)

    def close(self) -> None:
        """Read no more; what the images gave reason to say is over, without a word."""
        self._is_open = False
        self._reasons.end_all(self._camera)

    # ---- messages

    def take_info(self, info: CameraInfoFields) -> None:
        """Take a calibration; it holds for the images that follow."""
        if self._preparation.info is None:
            self._reasons.end(Reason.CALIBRATION_MISSING, self._camera)
        self._preparation.take_info(info)

    def info_refused(self, error: FieldError) -> None:
        """Say of a calibration that it could not be read; the one before it stays."""
        self._reasons.happened(
            Reason.CALIBRATION_IMPLAUSIBLE,
            self._camera,
            error.field,
            source=error.source,
            problem=f'field {error.field}: {error.problem}',
            used='the one before it stays',
        )

    def arrived(self) -> None:
        """Take note of an image, good or bad, before anything else is done with it."""
        self._last_s = self._clock()
        self._received += 1
        if self._first_s is None:
            self._first_s = self._last_s

    def frame(self, message: AnyImage) -> CameraFrame:
        """Return the frame of an image; that of a compressed one is still to be decoded.

        Args:
            message: sensor_msgs/Image or CompressedImage.

        Raises:
            FieldError: it cannot be used; names topic and field.
        """
        stamp_ns = ns_from_stamp(message.header.stamp)
        read: ReadImage | UndecodedImage
        # By what only one of the two has: these are messages of many makers.
        if hasattr(message, 'encoding'):
            message = cast(ImageFields, message)
            read = read_image(message, self.source, self._rules)
            self._see(read, message.encoding)
        else:
            # Decoded on another thread, and only where its set is used.
            read = open_compressed(message, f'{self.source}, stamp {stamp_ns} ns', self._rules)
        if stamp_ns == 0:
            raise FieldError(
                self.source, 'header.stamp', 'it is zero: the driver does not set it; dropped'
            )
        frame_id = str(message.header.frame_id)
        if bool(frame_id) != self._has_frame_id:
            self._has_frame_id = bool(frame_id)
            missing, source = not frame_id, self.source
            self._reasons.set(Reason.FRAME_MISSING, self._camera, missing, source=source)
        view = ViewId(self._camera, stamp_ns, frame_id)
        sources = self.source, self.info_source
        if isinstance(read, ReadImage):
            frame = self._preparation.frame(view, read.pixels, *sources)
        else:
            decode = partial(self._decoded, read)
            frame = self._preparation.frame_of_undecoded(view, read.size, decode, *sources)
        self._calibrated = frame.calibration is not None
        if self._calibrated:
            self._was_calibrated, self._waited_for_size = True, 0
        return frame

    # ---- calibrations that are about to come

    @property
    def has_info(self) -> bool:
        """Whether a calibration has come."""
        return self._preparation.info is not None

    @property
    def is_of_new_size(self) -> bool:
        """Whether the newest frame has lost its calibration because its size has changed."""
        return self._was_calibrated and self._preparation.has_other_size

    def waits_for_info(self, is_coming: Callable[[], bool]) -> bool:
        """Return whether an image that comes before any calibration is to wait for one; counted.

        Drivers publish an image before the camera_info of the same instant. Without this the
        first image of a calibrated camera would go in uncalibrated.

        Args:
            is_coming: whether anybody sends calibrations.
        """
        if self.has_info or self._waited >= WAIT_FOR_INFO_IMAGES or not is_coming():
            return False
        self._waited += 1
        return True

    def waits_for_size(self) -> bool:
        """Return whether the newest frame is to wait for a calibration of its size; counted.

        Then too it comes behind the first image.
        """
        if not self.is_of_new_size:
            return False
        self._waited_for_size += 1
        return self._waited_for_size <= WAIT_FOR_INFO_IMAGES

    # ---- what became of images

    def used(self, frame: CameraFrame) -> None:
        """Take note of the newest frame, which could be used."""
        self._preparation.say(self.info_source)
        self._newest_stamp_ns = frame.stamp_ns
        self._last_used_s = self._last_s
        with self._judging:
            self._images += 1
            if frame.pending is None:
                self._refusals.used()

    def refused(self, error: Exception) -> None:
        """Say of an image that it could not be used."""
        kind = type(error).__name__
        field, text = kind, f'camera {self._camera}: {kind}: {error}'
        if isinstance(error, FieldError):
            field, text = error.field, str(error)
        with self._judging:
            self._refusals.refused(field, text)

    def look(self, why_no_info: Callable[[], str]) -> None:
        """Look at what no message says; about once per second.

        Args:
            why_no_info: says why no calibration has come, as far as is known.
        """
        with self._judging:
            self._refusals.look()
        if self.has_info or self._first_s is None:
            return
        waited_s = self._clock() - self._first_s
        if waited_s >= _INFO_MISSING_AFTER_S:
            self._say_info_missing(waited_s, why_no_info())

    def finish(self, why_no_info: str) -> None:
        """Say what has not been said, since nothing more comes and all is decoded.

        Args:
            why_no_info: why no calibration has come, where none has.
        """
        with self._judging:
            self._refusals.finish()
        if not self.has_info and self._first_s is not None:
            self._say_info_missing(self._last_s - self._first_s, why_no_info)

    def _say_info_missing(self, waited_s: float, why: str) -> None:
        self._reasons.hold(
            Reason.CALIBRATION_MISSING,
            self._camera,
            topic=self.info_topic,
            images=self._received,
            waited_s=waited_s,
            why=why,
        )

    def counts(self) -> ReadCounts:
        """Return what came so far."""
        now_s, used_s = self._clock(), self._last_used_s
        return ReadCounts(
            received=self._received,
            images=self._images,
            refused=self._refusals.total,
            calibrated=self._calibrated,
            newest_stamp_ns=self._newest_stamp_ns,
            silent_s=now_s - self._last_s,
            unused_s=0.0 if used_s is None else now_s - used_s,
        )

    def _decoded(self, image: UndecodedImage) -> ColourImage | None:
        """Return the pixels of a compressed image, or say what is wrong with it; on any thread."""
        try:
            read = image.read()
        except Exception as error:
            if self._is_open:
                with self._judging:
                    self._images -= 1
                self.refused(error)
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
                Reason.IMAGE_CUT, self._camera, source=self.source, problem=read.cut
            )
