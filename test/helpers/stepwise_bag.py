"""A bag that is made in steps, with what an interrupted run needs to go on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from da3_ros.sinks.resumable_bag import ResumableBag
from helpers.raw_messages import mixed_messages, text

SETTINGS = {'process_res': '504', 'input': 'a.mcap'}
MESSAGES = [*mixed_messages(6), text('/late', 1_700_000_002_000_000_000, 'x' * 3000)]
EVERY = 5
"""Messages from commit to commit."""


def opened(path: Path, **changes: Any) -> ResumableBag:
    chosen: dict[str, Any] = {'restart': False, 'overwrite': False, 'chunk_bytes': 1000}
    settings = changes.pop('settings', SETTINGS)
    return ResumableBag(path, settings, **{**chosen, **changes})


def write_from(bag: ResumableBag, done: int, until: int = len(MESSAGES)) -> None:
    for number in range(done, until):
        message = MESSAGES[number]
        bag.add_topic(message.topic, message.msgtype, is_latched=message.topic == '/late')
        bag.write(message.topic, message.stamp_ns, message.data)
        if (number + 1) % EVERY == 0:
            bag.commit(str(number + 1).encode())


def make(path: Path, **changes: Any) -> Path:
    """Begin or go on, to the end."""
    with opened(path, **changes) as bag:
        write_from(bag, int(bag.committed or b'0'))
    return path


def interrupt(path: Path, at: int, **changes: Any) -> Path:
    """Make a part of a bag; return its folder."""
    with suppress(KeyboardInterrupt), opened(path, **changes) as bag:
        write_from(bag, 0, at)
        raise KeyboardInterrupt
    return path.with_name(f'{path.name}.part')
