"""Topics of a recording that go into the output as they are, so that it is complete by itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from da3_ros.errors import ConfigError, GeometryError, SinkError, SourceError
from da3_ros.options.outputs import OutputChoice
from da3_ros.ros.offline.result_messages import Message, written_topics
from da3_ros.ros.offline.tape import Taker, Tape
from da3_ros.ros.tf.joints import joints_of
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import RawMessage, TopicInfo

TimedMessage = tuple[int, Message]
"""Log time, ns, and the message."""

_TF = 'tf2_msgs/msg/TFMessage'
_SHARED = (MOVING_TOPIC, STATIC_TOPIC)
# What waits for its place beyond this goes out between two results.
_MANY_BYTES = 4 << 20


class CopiedTopics:
    """Holds messages that are copied until it is their turn among the results.

    A copied message goes out behind all results of its log time or before, and in front of all
    later ones: the order depends on the recording, not on how far it was read ahead.

    Args:
        tape: the recording, open.
        choice: which topics.
        cameras: names of the cameras, whose outputs are nobody else's.
        put: writes messages that are due before the next result, see `due`.

    Raises:
        SourceError: a topic that was named is not in the recording.
        ConfigError: this run writes a topic of that name itself.
        SinkError: the definition of its type is not known.
    """

    def __init__(
        self,
        tape: Tape,
        choice: OutputChoice,
        cameras: Sequence[str],
        put: Callable[[], object],
    ) -> None:
        self._tape, self._put = tape, put
        self._topics = {info.name: info for info in _chosen(tape, choice, cameras)}
        self._waiting: deque[RawMessage] = deque()
        self._waiting_bytes = 0
        self._left_out = 0
        self.count = 0
        """Messages handed out so far, those of an interrupted run among them."""

    def restore(self, count: int) -> None:
        """Leave out as many messages as an interrupted run has written."""
        self.count = self._left_out = count

    @property
    def has_moving(self) -> bool:
        """Whether /tf is copied."""
        return MOVING_TOPIC in self._topics

    def takers(self) -> Mapping[str, Taker]:
        """Return who takes which topic; /tf comes by `take` from whoever reads it."""
        return {name: self.take for name in self._topics if name != MOVING_TOPIC}

    def is_latched(self, topic: str) -> bool:
        """Return whether late subscribers of a topic get its last message."""
        info = self._topics.get(topic)
        return topic == STATIC_TOPIC or (info is not None and info.is_latched)

    def begin(self) -> None:
        """Take what latched topics had before the part that is read, at the time it begins."""
        for name in self._topics:
            if self.is_latched(name):
                self._take_all(_last_ones(self._tape.before(name)), self._tape.first_ns)

    def take(self, message: RawMessage) -> None:
        """Take the next message of the recording."""
        if self._left_out:
            self._left_out -= 1
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message.data)
        if self._waiting_bytes > _MANY_BYTES and self._waiting[0].stamp_ns < self._tape.played_ns:
            self._put()

    def due(self, *, is_end: bool = False) -> list[TimedMessage]:
        """Return, once, what goes out before a result of the present log time.

        Args:
            is_end: the recording has been read: all that is left.
        """
        due, waiting, before_ns = [], self._waiting, self._tape.played_ns
        while waiting and (is_end or waiting[0].stamp_ns < before_ns):
            message = waiting.popleft()
            self._waiting_bytes -= len(message.data)
            due.append((message.stamp_ns, (message.topic, message.msgtype, message.data)))
        self.count += len(due)
        return due

    def _take_all(self, messages: Iterable[RawMessage], log_ns: int) -> None:
        for message in messages:
            self.take(RawMessage(message.topic, message.msgtype, log_ns, message.data))


def _chosen(tape: Tape, choice: OutputChoice, cameras: Sequence[str]) -> Iterator[TopicInfo]:
    """Yield the topics to copy.

    Raises:
        SourceError: see `CopiedTopics`, as for the others.
        ConfigError: a topic is written by this run.
        SinkError: a type is not known.
    """
    there = {info.name: info for info in tape.topics}
    own = written_topics(choice, cameras)
    for name in choice.copied:
        info = there.get(name)
        if info is None:
            if choice.names_copied:
                raise SourceError(
                    f'copy: no topic {name} in the recording; it has {", ".join(there) or "none"}'
                )
            continue
        if name in _SHARED and info.msgtype != _TF:
            if choice.names_copied:
                raise SourceError(f'copy: {name}: expected {_TF}, it is {info.msgtype}')
            continue
        if name in own:
            raise ConfigError(
                f'copy: {name} is a topic that this run writes; leave it out of copy, or '
                f'{own[name]} out of outputs'
            )
        _require_definition(tape, info)
        yield info


def _require_definition(tape: Tape, info: TopicInfo) -> None:
    """Refuse messages that the definition that goes into the output does not describe.

    Raises:
        SinkError: there is no definition of their type.
        SourceError: they are of another version of it.
    """
    try:
        shared_definitions().require(info.msgtype)
    except SinkError as error:
        raise SinkError(f'copy: {info.name}: {error}') from error
    first = None if info.name in _SHARED else tape.first(info.name)
    if first is None:
        return
    try:
        shared_definitions().typestore.deserialize_cdr(first.data, info.msgtype)
    except Exception as error:  # of whatever bytes are no such message
        raise SourceError(
            f'copy: {info.name}: its first message is not as {info.msgtype} is defined here: it '
            'is damaged, or of a ROS version that defines this type in another way'
        ) from error


def _last_ones(messages: Iterable[RawMessage]) -> Iterable[RawMessage]:
    """Return of latched messages those that a late subscriber needs: of /tf_static many."""
    last: dict[tuple[str, ...], RawMessage] = {}
    for message in messages:
        key = _frames(message)
        last.pop(key, None)
        last[key] = message
    return last.values()


def _frames(message: RawMessage) -> tuple[str, ...]:
    """Return the frames that a message of /tf_static is about; none for any other."""
    if message.topic != STATIC_TOPIC:
        return ()
    try:
        return tuple(sorted(joint.child for joint in joints_of(message.data)))
    except GeometryError:
        return ()
