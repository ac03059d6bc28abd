"""Messages that another thread reads ahead, within a bound of memory."""

from __future__ import annotations

from collections.abc import Iterable

from da3_ros.pipeline.read_ahead import ReadAhead
from da3_ros.sources.bag import RawMessage

MOST_BYTES = 64 << 20
"""Of messages that wait, unless a single one is larger."""


class Prefetch(ReadAhead[RawMessage]):
    """Reads messages on a thread of its own; use as a context manager, and iterate once.

    An error of the reading is raised where its message would have come.

    Args:
        messages: in their order; used by the thread only.
        most_bytes: of the messages that wait.
    """

    def __init__(self, messages: Iterable[RawMessage], most_bytes: int = MOST_BYTES) -> None:
        super().__init__(messages, lambda m: len(m.data), most_bytes, 'da3_bag_reader')
