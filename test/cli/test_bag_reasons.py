"""What a node would have said in its log is in the summary of `da3 bag`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from da3_ros.sources.bag import RawMessage
from helpers.bag_content import messages, rewritten
from helpers.cli import da3, da3_json
from helpers.raw_messages import STORE

S = 1_000_000_000
MS = S // 1000
TRUTH = ('--model', 'truth', '--outputs', 'tf,odometry,window')
NAMED = ('--topic', '/front/image_raw', '--topic', '/left/image_raw')


@pytest.fixture(scope='module', name='content')
def content_fixture(tmp_path_factory: pytest.TempPathFactory) -> list[RawMessage]:
    """Return a drive of two cameras with their rig, five seconds at 5 Hz, without odometry."""
    path = tmp_path_factory.mktemp('reasons') / 'in.mcap'
    size = ('--size', '32x24', '--cameras', 'front,left', '--no-truth', '--no-odometry')
    da3('synthesize', path, '--seconds', '5', '--rate', '5', *size)
    return messages(path)


def notes_of(bags: Sequence[Path], out: Path, *more: str) -> list[str]:
    found: list[str] = da3_json('bag', *bags, out, *TRUTH, *more)['notes']
    return found


def the(notes: Iterable[str], words: str) -> str:
    (found,) = [note for note in notes if words in note]
    return found


def transforms(path: Path) -> list[tuple[str, str]]:
    found = []
    for message in messages(path):
        if message.topic == '/tf':
            content: Any = STORE.deserialize_cdr(message.data, message.msgtype)
            found += [(t.header.frame_id, t.child_frame_id) for t in content.transforms]
    return found


def test_output_of_an_earlier_run_is_left_out_and_counted(
    content: list[RawMessage], tmp_path: Path
) -> None:
    """In one bag, and in one of its own; else no pose would go out beside it."""
    source, first = rewritten(tmp_path / 'in.mcap', content), tmp_path / 'first.mcap'
    da3('bag', source, first, *TRUTH, *NAMED)
    poses = transforms(first)
    assert poses == [('odom', 'base_link')] * 25
    both = rewritten(tmp_path / 'both.mcap', [*content, *messages(first)])
    for bags in ([both], [source, first]):
        out = tmp_path / f'out_{len(bags)}.mcap'
        said = the(notes_of(bags, out, *NAMED), 'of an earlier run')
        assert '25 of them were left out' in said
        assert transforms(out) == poses
    # Without its reports it is anybody's.
    bare = [m for m in messages(first) if m.topic != '/window']
    bag = rewritten(tmp_path / 'bare.mcap', [*content, *bare])
    said = the(
        notes_of([bag], tmp_path / 'bare_out.mcap', *NAMED, '--copy', 'none'), 'frame base_link'
    )
    assert said.startswith('frame base_link: the recording has odom to base_link on /tf')
    assert transforms(tmp_path / 'bare_out.mcap') == []


def test_a_camera_that_stops_is_named(content: list[RawMessage], tmp_path: Path) -> None:
    begin_ns = min(m.stamp_ns for m in content)
    kept = [m for m in content if m.topic != '/left/image_raw' or m.stamp_ns < begin_ns + S]
    bag = rewritten(tmp_path / 'in.mcap', kept)
    said = the(notes_of([bag], tmp_path / 'out.mcap'), 'camera left: no images')
    assert said.startswith('camera left: no images on /left/image_raw for 4.0 s of the recording')
    assert '5 came before. Sets go out without it (min_cameras is 1)' in said


def restamped(message: RawMessage, by_ns: int) -> RawMessage:
    """Return an image of another clock, recorded when it was."""
    content: Any = STORE.deserialize_cdr(message.data, message.msgtype)
    seconds, rest = divmod(message.stamp_ns + by_ns, S)
    content.header.stamp = type(content.header.stamp)(sec=seconds, nanosec=rest)
    data = bytes(STORE.serialize_cdr(content, message.msgtype))
    return RawMessage(message.topic, message.msgtype, message.stamp_ns, data)


def test_a_camera_that_misses_sets_is_named(content: list[RawMessage], tmp_path: Path) -> None:
    """Four of five stamps of the left camera are off."""
    left = [m for m in content if m.topic == '/left/image_raw']
    odd = {id(m) for number, m in enumerate(left) if number % 5}
    bag = rewritten(
        tmp_path / 'in.mcap', [restamped(m, 30 * MS) if id(m) in odd else m for m in content]
    )
    said = the(notes_of([bag], tmp_path / 'out.mcap'), 'camera left')
    assert 'sets in a row went out without it' in said
    assert 'its stamps are usually 30.0 ms from those of the others' in said


@pytest.mark.parametrize('odd', ['front', 'left'])
def test_of_two_clocks_that_of_the_recording_counts(
    content: list[RawMessage], tmp_path: Path, odd: str
) -> None:
    """One camera stamps since boot: as with the node the other one gives sets."""
    since_boot = [
        restamped(m, -1_699_999_000 * S) if m.topic == f'/{odd}/image_raw' else m for m in content
    ]
    bag = rewritten(tmp_path / 'in.mcap', since_boot)
    found = da3_json('bag', bag, tmp_path / 'out.mcap', *TRUTH)
    assert found['cameras'][odd]['used'] == 0
    assert found['sets'] > 10
    said = the(found['notes'], f'camera {odd}')
    assert 'recorded at the same time' in said
    assert 'count since boot' in said


def test_why_there_are_no_metres_is_said(content: list[RawMessage], tmp_path: Path) -> None:
    bag = rewritten(tmp_path / 'in.mcap', [m for m in content if m.topic != '/tf_static'])
    found = da3_json('bag', bag, tmp_path / 'out.mcap', *TRUTH, '--topic', '/front/image_raw')
    assert (found['unit'], found['metric_sets']) == ('a unit of its own, not metres', 0)
    assert found['scale_source'] == 'none'
    assert 'no metric source' in the(found['notes'], 'not metres (scale_source is auto)')


def test_a_unit_that_changes_is_told_by_sets(content: list[RawMessage], tmp_path: Path) -> None:
    """The second camera, and with it the known distance, comes later."""
    begin_ns = min(m.stamp_ns for m in content)
    kept = [m for m in content if m.topic != '/left/image_raw' or m.stamp_ns > begin_ns + 3 * S]
    bag = rewritten(tmp_path / 'in.mcap', kept)
    found = da3_json('bag', bag, tmp_path / 'out.mcap', *TRUTH)
    others = found['sets'] - found['metric_sets']
    assert 0 < others < found['sets']
    assert found['unit'] == f'metres, but {others} sets in a unit of their own'
    assert found['scale_source'] == 'rig'
