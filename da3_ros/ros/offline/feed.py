"""From the messages of a recording to the frames of its cameras, every image once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
import logging

from da3_ros.ros.field_error import FieldError
from da3_ros.ros.message_fields import CompressedImageFields, ImageFields
from da3_ros.ros.offline.camera_topics import CameraTopics
from da3_ros.ros.offline.cameras import Cameras
from da3_ros.ros.offline.tape import Taker, Tape
from da3_ros.ros.reading.camera_reader import CameraReader, ReadCounts
from da3_ros.ros.reading.held import Held
from da3_ros.ros.reading.raw import compressed_from_cdr, image_from_cdr, info_from_cdr
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.sources.bag import RawMessage
from da3_ros.types import CameraFrame

_LOOK_NS = 1_000_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Input:
    """One camera and who reads it."""

    topics: CameraTopics
    reader: CameraReader
    held: Held

    @property
    def why_no_info(self) -> str:
        """Return why no calibration has come, in words."""
        if self.topics.info is None:
            return 'the recording has no such topic'
        return 'the recording has no message on it that can be read'


class CameraFeed:
    """Reads the cameras of a recording.

    The calibrations that a camera begins with are read first: no image goes without one that the
    recording has.

    Args:
        tape: the recording.
        cameras: which they are.
        reasons: takes what is wrong with images.
        clock: seconds of the recording.
    """

    def __init__(
        self, tape: Tape, cameras: Cameras, reasons: ReasonBoard, clock: Callable[[], float]
    ) -> None:
        self._tape = tape
        self._reasons = reasons
        self._inputs = tuple(self._opened(topics, cameras, clock) for topics in cameras.topics)
        # Cameras of which this was said.
        self._bad_infos: set[str] = set()
        self._by_image = {one.topics.image: one for one in self._inputs}
        self._by_info: dict[str, list[_Input]] = {}
        for one in self._inputs:
            if one.topics.info is not None:
                self._by_info.setdefault(one.topics.info, []).append(one)

    @property
    def topics(self) -> tuple[str, ...]:
        """What is read of the cameras."""
        return (*self._by_image, *self._by_info)

    def counts(self) -> Mapping[str, ReadCounts]:
        """Return what came of every camera so far."""
        return {one.topics.camera: one.reader.counts() for one in self._inputs}

    def frames(
        self,
        takers: Mapping[str, Taker],
        listeners: Mapping[str, Taker],
        on_second: Callable[[], object],
        on_end: Callable[[], object],
    ) -> Generator[CameraFrame, None, None]:
        """Yield the frames in the order of the recording; to be closed before the recording is.

        Args:
            takers: of the other topics, see `Tape.play`.
            listeners: of any topics, see `Tape.play`.
            on_second: called about once per second of the recording, between two messages.
            on_end: called when all is read, before the last frames.
        """
        for topic in self._by_info:
            first = self._tape.first(topic)
            if first is not None:
                yield from self._take_info(first)
        next_look_ns = self._tape.now_ns
        for message in self._tape.play(self.topics, takers, listeners):
            if self._tape.now_ns >= next_look_ns:
                next_look_ns = self._tape.now_ns + _LOOK_NS
                self._look()
                on_second()
            if message.topic in self._by_image:
                yield from self._take_image(self._by_image[message.topic], message)
            else:
                yield from self._take_info(message)
        on_end()
        for one in self._inputs:
            yield from one.held.flush()

    def finish(self) -> None:
        """Say what has not been said of images, since all are read and decoded."""
        for one in self._inputs:
            one.reader.finish(one.why_no_info)

    def _opened(
        self, topics: CameraTopics, cameras: Cameras, clock: Callable[[], float]
    ) -> _Input:
        reader = CameraReader(
            topics.camera,
            cameras.options.output,
            self._reasons,
            topics.image,
            topics.expected_info,
            clock=clock,
            crop=cameras.views[topics.camera].crop,
        )
        return _Input(topics, reader, Held(reader, topics.info is not None))

    def _take_image(self, one: _Input, message: RawMessage) -> Sequence[CameraFrame]:
        image: ImageFields | CompressedImageFields
        read = compressed_from_cdr if one.topics.is_compressed else image_from_cdr
        try:
            image = read(message.data, one.reader.source)
        except FieldError as error:
            one.reader.arrived()
            one.reader.refused(error)
            return ()
        return one.held.push_image(image)

    def _take_info(self, message: RawMessage) -> Iterator[CameraFrame]:
        for one in self._by_info[message.topic]:
            try:
                info = info_from_cdr(message.data, one.reader.info_source)
            except FieldError as error:
                if one.topics.camera not in self._bad_infos:
                    self._bad_infos.add(one.topics.camera)
                    _log.warning('a calibration cannot be read: %s', error)
                continue
            yield from one.held.push_info(info)

    def _look(self) -> None:
        for one in self._inputs:
            why = one.why_no_info
            one.reader.look(lambda why=why: why)  # type: ignore[misc]
