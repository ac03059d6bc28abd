"""A recording of several bags: order, range, what is read first, what is read ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rosbags.rosbag2 import StoragePlugin

from da3_ros.errors import SourceError
from da3_ros.ros.offline.tape import Tape, TapeRange
from da3_ros.sources.bag import BagReader, RawMessage
from helpers.odd_bags import write_mcap, write_rosbag2
from helpers.raw_messages import StampedMessage, text

S = 1_000_000_000
START = 1_700_000_000 * S


def note(topic: str, at_s: float, content: str = '') -> StampedMessage:
    return text(topic, START + round(at_s * S), content or f'{topic} {at_s}')


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two bags of one drive: an mcap file and a folder with sqlite3, clocks overlapping."""
    folder = tmp_path_factory.mktemp('tape')
    first = [note('/a', i) for i in range(6)] + [note('/tf', i + 0.5) for i in range(6)]
    first.sort(key=lambda m: m.stamp_ns)
    second = [note('/b', i + 0.25) for i in range(2, 8)] + [note('/b', 3.0, 'as early as /a')]
    second.append(note('/tf_static', 7.5))
    second.sort(key=lambda m: m.stamp_ns)
    return (
        write_mcap(folder / 'one.mcap', first),
        write_rosbag2(folder / 'two', second, StoragePlugin.SQLITE3),
    )


def seconds(messages: Iterator[RawMessage]) -> list[tuple[str, float]]:
    return [(message.topic, (message.stamp_ns - START) / S) for message in messages]


def test_messages_come_by_log_time_and_then_by_the_order_of_the_bags(
    bags: tuple[Path, Path],
) -> None:
    for order, expected in ((bags, ['/a', '/b']), (bags[::-1], ['/b', '/a'])):
        with Tape(order) as tape:
            found = seconds(tape.play(['/a', '/b']))
        assert len(found) == 13
        assert [at for _, at in found] == sorted(at for _, at in found)
        assert [topic for topic, at in found if at == 3.0] == expected


def test_a_range_counts_from_the_beginning_of_the_earliest_bag(bags: tuple[Path, Path]) -> None:
    with Tape(bags[::-1], TapeRange(start_s=2.0, duration_s=1.25)) as tape:
        assert tape.fraction == 0.0
        found = []
        for message in tape.play(['/a', '/b']):
            found.append((message.topic, (message.stamp_ns - START) / S))
            assert tape.now_ns == message.stamp_ns
            assert 0.0 <= tape.fraction <= 1.0
    # What is at the end of the range is not in it.
    assert found == [('/a', 2.0), ('/b', 2.25), ('/b', 3.0), ('/a', 3.0)]


def test_what_was_recorded_at_any_time_is_known_before(bags: tuple[Path, Path]) -> None:
    with Tape(bags, TapeRange(start_s=4.0, duration_s=1.0)) as tape:
        assert seconds(tape.every('/tf_static')) == [('/tf_static', 7.5)]
        assert not list(tape.every('/nothing'))
        first = tape.first('/a')
        assert first is not None
        assert (first.stamp_ns - START) / S == 4.0
        # Only before it: the last one; only behind it: the first one.
        late = tape.first('/tf_static')
        assert late is not None
        assert (late.stamp_ns - START) / S == 7.5
    with Tape(bags, TapeRange(start_s=6.5)) as tape:
        early = tape.first('/a')
        assert early is not None
        assert (early.stamp_ns - START) / S == 5.0


def test_what_is_read_ahead_is_taken_once_and_the_rest_keeps_its_turn(
    bags: tuple[Path, Path],
) -> None:
    with Tape(bags) as tape:
        taken: list[float] = []

        def take(message: RawMessage) -> None:
            taken.append((message.stamp_ns - START) / S)

        found: list[tuple[str, float]] = []
        ahead: list[bool] = []
        for message in tape.play(['/a', '/b'], {'/tf': take}):
            at = (message.stamp_ns - START) / S
            found.append((message.topic, at))
            # All that was recorded before, and nothing that came later, was taken.
            assert taken == [i + 0.5 for i in range(6) if i + 0.5 < max(at, 3.6 if ahead else 0)]
            if at == 1.0:
                ahead.append(tape.read_ahead(START + round(3.6 * S)))
                assert taken == [0.5, 1.5, 2.5, 3.5]
                assert tape.now_ns == message.stamp_ns
        assert ahead == [True]
        assert taken == [i + 0.5 for i in range(6)]
    with Tape(bags) as tape:
        assert found == seconds(tape.play(['/a', '/b']))


def test_reading_ahead_of_the_end_says_that_it_is_the_end(bags: tuple[Path, Path]) -> None:
    with Tape(bags[:1]) as tape:
        messages = tape.play(['/a'], {'/tf': lambda message: None})
        next(messages)
        assert tape.read_ahead(START + 3 * S)
        assert not tape.read_ahead(START + 30 * S)
        assert len(list(messages)) == 5
        assert tape.fraction == pytest.approx(1.0)


def test_bags_that_do_not_go_together_are_refused(bags: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='named 2 times'), Tape([bags[0], bags[0]]):
        pass
    other = write_mcap(
        tmp_path / 'other.mcap', [StampedMessage('/a', 'std_msgs/msg/Empty', START, b'\0\1\0\0\0')]
    )
    with pytest.raises(SourceError, match='expected one type in all bags'), Tape([bags[0], other]):
        pass


def test_a_damaged_bag_is_read_as_far_as_it_goes_and_named(
    bags: tuple[Path, Path], tmp_path: Path
) -> None:
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(bags[0].read_bytes()[:-900])
    with BagReader(cut) as reader:
        whole = [message.stamp_ns for message in reader.messages(['/a'])]
    with Tape([cut, bags[1]]) as tape:
        assert [m.stamp_ns for m in tape.play(['/a'])] == whole
        assert {path for path, _ in tape.notes} == {cut}
