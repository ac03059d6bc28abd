"""What the readers of one file of a bag have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
import heapq
import re
from typing import Any, BinaryIO, NamedTuple, Protocol

from da3_ros.plain_data import PlainDataError, yaml_of
from da3_ros.sources.bag_damage import BagDamage

MAX_STAMP_NS = (1 << 31) * 1_000_000_000
"""First stamp that a ROS time cannot hold (seconds are int32): later ones are damage."""

_WINDOW_BYTES = 1 << 20
_TOPIC = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)
_TYPE = re.compile(r'[A-Za-z]\w*(/\w+){1,2}', re.ASCII)


class Stored(NamedTuple):
    """One message as it lies in a file."""

    stamp_ns: int
    channel: int
    """Key of `Split.channels`."""
    position: int
    """Where it lies: tells messages of one file apart."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic as one file declares it."""

    topic: str
    msgtype: str
    is_latched: bool


class Split(Protocol):
    """One file of a bag."""

    name: str
    channels: dict[int, Channel]
    """Topics that can be read."""
    counts: dict[int, int]
    """Messages of each channel."""
    start_ns: int
    """Stamp of the first message; only with messages."""
    end_ns: int
    """Stamp of the last message; only with messages."""

    def messages(self, channels: Collection[int], start_ns: int, stop_ns: int) -> Iterator[Stored]:
        """Yield messages in order of time, of stamps from start to before stop."""

    def close(self) -> None:
        """Close the file."""


def channel_of(
    damage: BagDamage, file: str, topic: object, msgtype: object, encoding: object, qos: object
) -> Channel | None:
    """Return a topic as a file declares it, None (and a remark) where nothing can be made of it.

    Args:
        damage: takes the remark.
        file: name of the file.
        topic: its name, text or UTF-8.
        msgtype: its type, likewise.
        encoding: of its messages, `cdr` in ROS 2.
        qos: YAML of the profiles that publishers offered.
    """
    names = [_text(value) for value in (topic, msgtype, encoding)]
    wanted = (
        ('a name of a topic', names[0], _TOPIC),
        ('a message type', names[1], _TYPE),
        ('messages in cdr', names[2], re.compile('cdr')),
    )
    for what, text, form in wanted:
        if text is None or not form.fullmatch(text):
            shown = 'nothing' if text is None else repr(text[:80])
            label = repr(names[0][:80]) if names[0] else 'without a name'
            damage.say(
                'bag_topics_left_out',
                f'{file}: a topic is left out ({label}): expected {what}, got {shown}',
            )
            return None
    return Channel(names[0] or '', names[1] or '', is_latched(_text(qos) or ''))


@lru_cache(maxsize=64)
def is_latched(qos: str) -> bool:
    """Return whether one of the recorded publishers was transient local.

    Args:
        qos: YAML, a list of profiles; durability by name or by its number in rmw.
    """
    try:
        profiles = yaml_of(qos)
    except PlainDataError:
        return False
    if not isinstance(profiles, list):
        return False
    kept = [p.get('durability') for p in profiles if isinstance(p, dict)]
    return any(value in (1, 'transient_local', 'TRANSIENT_LOCAL') for value in kept)


def in_order(parts: Iterable[tuple[int, Callable[[], Iterator[Any]]]]) -> Iterator[Any]:
    """Merge parts by their messages' stamps; the same stamp keeps the order of the parts.

    A part is opened when its turn comes.

    Args:
        parts: stamp of the first message, and what yields a part's messages in order.
    """

    def opened(start_ns: int, place: int, part: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        yield start_ns, place, -1, None
        for number, item in enumerate(part()):
            yield item.stamp_ns, place, number, item

    streams = [opened(start, place, part) for place, (start, part) in enumerate(parts)]
    for *_, item in heapq.merge(*streams, key=lambda entry: entry[:3]):
        if item is not None:
            yield item


def content_end(stream: BinaryIO, size: int) -> int:
    """Return where the zeros at the end of a file begin; its size where there are none.

    Args:
        stream: the file.
        size: its bytes.
    """
    end = size
    while end > 0:
        start = max(0, end - _WINDOW_BYTES)
        stream.seek(start)
        data = stream.read(end - start).rstrip(b'\0')
        end = start + len(data)
        if data:
            break
    return end


def _text(value: object) -> str | None:
    """Return a text, with what is no UTF-8 in it made visible; None for what is none."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode(errors='backslashreplace')
    return value if isinstance(value, str) else None
