"""The messages of a bag as a list, and bags of such lists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from da3_ros.sinks.bag import BagWriter
from da3_ros.sources.bag import BagReader, RawMessage


def messages(path: Path, *topics: str) -> list[RawMessage]:
    """Return the messages of a bag, those of some topics where these are named."""
    with BagReader(path) as bag:
        return list(bag.messages(topics or None))


def rewritten(path: Path, content: Iterable[RawMessage], latched: Iterable[str] = ()) -> Path:
    """Write messages in the order of their log times; return the path.

    Args:
        path: of the bag.
        content: in any order.
        latched: topics that are, beside /tf_static.
    """
    latched = {'/tf_static', *latched}
    with BagWriter(path) as bag:
        for message in sorted(content, key=lambda m: m.stamp_ns):
            bag.add_topic(message.topic, message.msgtype, is_latched=message.topic in latched)
            bag.write(message.topic, message.stamp_ns, message.data)
    return path
