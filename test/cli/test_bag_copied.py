"""Topics that `da3 bag` copies: unchanged, complete, and in an order that nothing but the
recording decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rosbags.typesys import Stores, get_typestore

from da3_ros.ros.offline import copied, run
from da3_ros.sources.bag import BagReader, RawMessage
from helpers.bag_content import messages, rewritten
from helpers.cli import da3, da3_json, failure, invoke
from helpers.power_cut import PowerCut
from helpers.raw_messages import STORE, text

TRUTH = ('--model', 'truth', '--outputs', 'odometry,tf,points')
COPIED = ('/tf', '/tf_static')
S = 1_000_000_000


@pytest.fixture(scope='module')
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drive of two cameras with rig and odometry on /tf, twelve instants at 5 Hz."""
    path = tmp_path_factory.mktemp('copied') / 'in.mcap'
    size = ('--size', '32x24', '--cameras', 'front,left', '--no-truth')
    da3('synthesize', path, '--seconds', '2.4', '--rate', '5', *size)
    return path


def transforms(message: RawMessage) -> Any:
    return STORE.deserialize_cdr(message.data, message.msgtype)


def children(found: Iterable[RawMessage]) -> list[str]:
    return sorted(one.child_frame_id for m in found for one in transforms(m).transforms)


def chatter(source: Path, topic: str = '/note', every_ns: int = 7_000_000) -> list[RawMessage]:
    """Return messages over all of a recording and two seconds beyond it."""
    first = messages(source)[0].stamp_ns
    return [note(topic, first + i * every_ns, f'{i}') for i in range(600)]


def note(topic: str, stamp_ns: int, content: str) -> RawMessage:
    made = text(topic, stamp_ns, content)
    return RawMessage(made.topic, made.msgtype, made.stamp_ns, made.data)


def as_recorded(path: Path) -> list[RawMessage]:
    """Return the messages of a file in the order in which they lie there."""
    with BagReader(path) as bag:
        stored = [
            (found.position, found.stamp_ns, split.channels[found.channel].topic, found.data)
            for split in bag._open()
            for found in split.messages(split.channels, 0, 1 << 62)
        ]
    return [RawMessage(topic, '', stamp, data) for _, stamp, topic, data in sorted(stored)]


def test_what_the_recording_has_of_tf_is_in_the_output(recording: Path, tmp_path: Path) -> None:
    """And what this run says is beside it: the message count is that of both."""
    given = (*TRUTH, '--publish-tf', 'true', '--odom-frame', 'map')
    da3('bag', recording, tmp_path / 'out.mcap', *given)
    da3('bag', recording, tmp_path / 'own.mcap', *given, '--copy', 'none')
    own, out = messages(tmp_path / 'own.mcap'), messages(tmp_path / 'out.mcap')
    moving, fixed = messages(recording, '/tf'), messages(recording, '/tf_static')
    assert moving
    assert fixed
    assert {m.topic for m in own} == {'/odometry', '/points', '/tf'}
    key = lambda m: (m.stamp_ns, m.topic, m.data)  # noqa: E731
    assert sorted(map(key, out)) == sorted(map(key, [*own, *moving, *fixed]))
    with BagReader(tmp_path / 'out.mcap') as bag:
        latched = {info.name for info in bag.topics if info.is_latched}
    assert latched == {'/tf_static'}


def test_the_order_of_the_file_is_that_of_log_times(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much waits: what is copied is never behind a later result."""
    content = [*messages(recording), *chatter(recording)]
    source = rewritten(tmp_path / 'in.mcap', content)
    copy = ('--copy', '/tf,/tf_static,/note,/front/image_raw')
    da3('bag', source, tmp_path / 'a.mcap', *TRUTH, *copy)
    monkeypatch.setattr(copied, '_MANY_BYTES', 100)
    da3('bag', source, tmp_path / 'b.mcap', *TRUTH, *copy)
    assert (tmp_path / 'a.mcap').read_bytes() == (tmp_path / 'b.mcap').read_bytes()
    own = ('/odometry', '/points')
    last = max(m.stamp_ns for m in content if 'image' in m.topic)
    found = as_recorded(tmp_path / 'a.mcap')
    before_end = [m.stamp_ns for m in found if m.topic not in own or m.stamp_ns < last]
    assert before_end == sorted(before_end)
    assert len([m for m in found if m.topic == '/note']) == 600
    assert messages(tmp_path / 'a.mcap', '/front/image_raw') == messages(
        source, '/front/image_raw'
    )


def test_interrupted_twice_what_is_copied_is_there_once(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, 'CHECKPOINT_WINDOWS', 3)
    source = rewritten(tmp_path / 'in.mcap', [*messages(recording), *chatter(recording)])
    placed = ('--prior-frame', 'odom', '--odom-frame', 'map', '--publish-tf', 'true')
    options = (*TRUTH, '--copy', '/tf,/tf_static,/note', *placed, '--start', '0.3')
    whole, out = tmp_path / 'whole.mcap', tmp_path / 'out.mcap'
    da3('bag', source, whole, *options)
    cut = PowerCut()
    with monkeypatch.context() as patch:
        cut.install(patch)
        for after in (4, 4):
            cut.after = after
            assert invoke('bag', source, out, *options).exit_code != 0
    assert 'copy was' in failure('bag', source, out, *TRUTH)
    assert da3_json('bag', source, out, *options)['resumed_windows'] == 6
    assert out.read_bytes() == whole.read_bytes()


def test_a_part_of_several_bags_and_what_was_latched_before_it(
    recording: Path, tmp_path: Path
) -> None:
    """Late subscribers get the last message of a latched topic, at the time they come."""
    content = messages(recording)
    begin = content[0].stamp_ns
    maps = [note('/map', begin + i * S // 10, f'map {i}') for i in range(3)]
    others = [m for m in content if m.topic != '/tf']
    one = rewritten(tmp_path / 'one.mcap', [*others, *maps], ['/map'])
    two = rewritten(tmp_path / 'two.db3', [m for m in content if m.topic == '/tf'])
    given = ('--start', '1.0', '--duration', '0.8', '--copy', '/tf,/tf_static,/map')
    da3('bag', one, two, tmp_path / 'out.mcap', *TRUTH, *given, '--publish-tf', 'false')
    start, stop = begin + S, begin + S * 18 // 10
    out = tmp_path / 'out.mcap'
    expected = [m for m in content if m.topic == '/tf' and start <= m.stamp_ns < stop]
    assert messages(out, '/tf') == expected
    fixed = messages(recording, '/tf_static')
    assert [m.data for m in messages(out, '/tf_static')] == [m.data for m in fixed]
    assert [m.data for m in messages(out, '/map')] == [maps[-1].data]
    assert {m.stamp_ns for m in messages(out, '/map', '/tf_static')} == {start}
    with BagReader(out) as bag:
        assert {i.name for i in bag.topics if i.is_latched} == {'/map', '/tf_static'}


def test_what_cannot_be_copied_is_refused_by_name(recording: Path, tmp_path: Path) -> None:
    content = [m for m in messages(recording) if m.topic != '/tf']
    source = rewritten(tmp_path / 'in.mcap', [*content, *chatter(recording, '/odometry')])
    before = sorted(tmp_path.iterdir())
    for copy, said in (
        ('/tf', 'copy: no topic /tf in the recording'),
        ('/nothing,/tf_static', 'copy: no topic /nothing'),
        ('/odometry', 'copy: /odometry is a topic that this run writes'),
        ('tf', 'leading slash'),
        ('', 'leading slash'),
        ('/tf,none', 'leading slash'),
    ):
        words = failure('bag', source, tmp_path / 'out.mcap', *TRUTH, '--copy', copy)
        assert said in words, copy
        assert sorted(tmp_path.iterdir()) == before
    # What is not named need not be there; what this run does not write is another's.
    da3('bag', source, tmp_path / 'default.mcap', *TRUTH)
    da3('bag', source, tmp_path / 'out.mcap', *TRUTH[:2], '--outputs', 'tf', '--copy', '/odometry')
    assert len(messages(tmp_path / 'out.mcap', '/odometry')) == 600


def test_messages_that_the_definition_does_not_describe_are_refused(
    recording: Path, tmp_path: Path
) -> None:
    """Range has a field more in Jazzy than in Humble; a bag would say what is not so."""
    content = messages(recording)
    found: dict[Stores, Path] = {}
    for version in (Stores.ROS2_HUMBLE, Stores.ROS2_JAZZY):
        store = get_typestore(version)
        kinds = store.types
        stamp = kinds['builtin_interfaces/msg/Time'](sec=1, nanosec=0)
        more = {'variance': 0.0} if version == Stores.ROS2_JAZZY else {}
        message = kinds['sensor_msgs/msg/Range'](
            header=kinds['std_msgs/msg/Header'](stamp=stamp, frame_id='sonar'),
            radiation_type=0,
            **dict.fromkeys(('field_of_view', 'min_range', 'max_range', 'range'), 1.0),
            **more,
        )
        data = bytes(store.serialize_cdr(message, message.__msgtype__))
        sonar = RawMessage('/sonar', message.__msgtype__, content[0].stamp_ns, data)
        found[version] = rewritten(tmp_path / f'{version.name}.mcap', [*content, sonar])
    given = (tmp_path / 'out.mcap', *TRUTH, '--copy', '/sonar')
    said = failure('bag', found[Stores.ROS2_HUMBLE], *given)
    assert 'copy: /sonar: its first message is not as sensor_msgs/msg/Range' in said
    da3('bag', found[Stores.ROS2_JAZZY], *given)
    assert len(messages(tmp_path / 'out.mcap', '/sonar')) == 1


def test_transforms_of_an_earlier_run_are_neither_followed_nor_copied(
    recording: Path, tmp_path: Path
) -> None:
    """A recording of the robot and of the node: what the node said goes out anew, and once."""
    first = tmp_path / 'first.mcap'
    given = ('--model', 'truth', '--publish-tf', 'true', '--outputs', 'tf,window')
    content = [m for m in messages(recording) if m.topic != '/tf']
    plain = rewritten(tmp_path / 'plain.mcap', content)
    da3('bag', plain, first, *given, '--copy', 'none')
    said = messages(first)
    arm = transforms(messages(recording, '/tf')[0])
    arm.transforms[0].child_frame_id = 'arm'
    mixed = []
    for message in said:
        topic, data = message.topic, message.data
        if topic == '/tf':
            both = transforms(message)
            both.transforms = [*both.transforms, *arm.transforms]
            data = bytes(STORE.serialize_cdr(both, message.msgtype))
        # Of a node in a namespace: its reports are no topic of this run.
        topic = '/da3/window' if topic == '/window' else topic
        mixed.append(RawMessage(topic, message.msgtype, message.stamp_ns, data))
    source = rewritten(tmp_path / 'both.mcap', [*content, *mixed])
    found = da3_json('bag', source, tmp_path / 'again.mcap', *given)
    assert any('of an earlier run of this package' in note for note in found['notes'])
    own = children([m for m in said if m.topic == '/tf'])
    assert own
    copied_too = ['arm'] * len([m for m in said if m.topic == '/tf'])
    assert children(messages(tmp_path / 'again.mcap', '/tf')) == sorted([*own, *copied_too])
