"""Images that wait for their calibration, so that every one of a recording is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType

from da3_ros.errors import MessageError
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.message_fields import CameraInfoFields
from da3_ros.ros.reading.camera_reader import WAIT_FOR_INFO_IMAGES, AnyImage, CameraReader
from da3_ros.ros.reading.raw import compressed_from_cdr, image_from_cdr, info_from_cdr
from da3_ros.types import CameraFrame

_INFO = 'sensor_msgs/msg/CameraInfo'
_IMAGES: Mapping[str, Callable[[bytes | memoryview, str], AnyImage]] = MappingProxyType(
    {
        'sensor_msgs/msg/Image': image_from_cdr,
        'sensor_msgs/msg/CompressedImage': compressed_from_cdr,
    }
)


class Held:
    """Keeps images back whose calibration is about to come; gives every image once, in order.

    Drivers publish an image before the CameraInfo of the same instant. The node passes over the
    first images of a camera, and of a new size, until it has come; here they wait for it. As many
    wait at most as the node passes over, then all go without.

    Its frames may so come up to three images behind those of other cameras.

    Args:
        reader: of the camera; takes note of every image that is used or refused.
        has_info_topic: whether a calibration may come at all.
    """

    def __init__(self, reader: CameraReader, has_info_topic: bool) -> None:
        self._reader = reader
        self._has_info_topic = has_info_topic
        # In order: messages wait for a calibration, frames for the messages before them.
        self._waiting: deque[AnyImage | CameraFrame] = deque()
        self._is_given_up = False

    def __len__(self) -> int:
        """Return how many images are kept back."""
        return len(self._waiting)

    def push_bytes(self, msgtype: str, data: bytes | memoryview) -> list[CameraFrame]:
        """Take a message as a bag has it; see `push_image` and `push_info`.

        Args:
            msgtype: of sensor_msgs/msg/Image, CompressedImage and CameraInfo.
            data: CDR with its encapsulation.

        Raises:
            MessageError: another type. Bytes that are not what it says are refused and said.
        """
        reader = self._reader
        if msgtype == _INFO:
            try:
                info = info_from_cdr(data, reader.info_source)
            except FieldError as error:
                reader.info_refused(error)
                return []
            return self.push_info(info)
        if msgtype not in _IMAGES:
            known = ', '.join((*_IMAGES, _INFO))
            raise MessageError(f'{reader.source}: expected one of {known}, got {msgtype}')
        try:
            message = _IMAGES[msgtype](data, reader.source)
        except FieldError as error:
            reader.arrived()
            reader.refused(error)
            return []
        return self.push_image(message)

    def push_image(self, message: AnyImage) -> list[CameraFrame]:
        """Take an image and return the frames that are ready; one that is refused is said."""
        self._reader.arrived()
        item = message if self._waits_for_first() else self._judged(message)
        if item is None:
            return []
        if isinstance(item, CameraFrame) and not self._waiting:
            return [item]
        self._waiting.append(item)
        # More than can wait: none does any longer.
        self._is_given_up = self._is_given_up or len(self._waiting) > WAIT_FOR_INFO_IMAGES
        return self._ready() if self._is_given_up else []

    def push_info(self, info: CameraInfoFields) -> list[CameraFrame]:
        """Take a calibration and return the frames that are ready."""
        self._reader.take_info(info)
        return self._ready()

    def flush(self) -> list[CameraFrame]:
        """Return the frames that still wait: nothing comes any more."""
        ready = []
        while self._waiting:
            self._is_given_up = True
            ready += self._ready()
        return ready

    def _ready(self) -> list[CameraFrame]:
        """Return the first of what waits, up to what still has to."""
        ready = []
        while self._waiting and not self._waits_for_first():
            first = self._waiting[0]
            item = first if isinstance(first, CameraFrame) else self._judged(first)
            if isinstance(item, CameraFrame):
                ready.append(item)
            elif item is not None:
                break
            self._waiting.popleft()
        return ready

    def _judged(self, message: AnyImage) -> AnyImage | CameraFrame | None:
        """Return the frame of an image, the image where it has to wait, None where it is bad."""
        reader = self._reader
        try:
            frame = reader.frame(message)
        except Exception as error:
            reader.refused(error)
            return None
        if frame.calibration is not None:
            self._is_given_up = False
        if reader.is_of_new_size and not self._is_given_up:
            return message
        reader.used(frame)
        return frame

    def _waits_for_first(self) -> bool:
        return self._has_info_topic and not (self._reader.has_info or self._is_given_up)
