"""`da3 play` hands over to `ros2 bag` where that is installed, with all that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
import json
import os
from pathlib import Path
import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin
import yaml

pytest.importorskip('rclpy')

from da3_ros.errors import SourceError
from da3_ros.ros.bags.player import PlayOptions
from da3_ros.ros.bags.ros2_bag import Ros2BagPlayer, reason_against, storage_of
from da3_ros.ros.optional import optional_module
from da3_ros.sinks.bag import BagWriter
from da3_ros.sources.bag import BagReader
from helpers.odd_bags import write_rosbag2
from helpers.raw_messages import START_NS, mixed_messages, text, write_bag
from helpers.ros_process import RosProcess

pytestmark = pytest.mark.ros
# By a shell: the first line of a script cannot name a Python whose path has a space.
PROGRAM = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import json, pathlib, signal, sys
words = sys.argv[1:]
offers = pathlib.Path(words[words.index('--qos-profile-overrides-path') + 1]).read_text()
out = pathlib.Path({out!r})
out.with_suffix('.new').write_text(json.dumps([words, offers]))
out.with_suffix('.new').rename(out)
try:
    print('rosbag2 plays', flush=True)
    if '--loop' in words:
        signal.pause()
except KeyboardInterrupt:
    print('rosbag2 was stopped', flush=True)
    sys.exit(0)
sys.exit({status})
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget stand-ins of other tests."""
    for package in ('ros2bag', 'rosbag2_py'):
        monkeypatch.delitem(sys.modules, package, raising=False)
    optional_module.cache_clear()
    yield
    for package in ('ros2bag', 'rosbag2_py'):
        sys.modules.pop(package, None)
    optional_module.cache_clear()


@pytest.fixture(name='bag', scope='module')
def bag_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'in.mcap'
    with BagWriter(path) as bag:
        for message in (text('/latched', START_NS, 'kept'), *mixed_messages(3)):
            is_latched = message.topic == '/latched'
            bag.add_topic(message.topic, message.msgtype, is_latched=is_latched)
            bag.write(message.topic, message.stamp_ns, message.data)
    return path


def installation(folder: Path, status: int = 0, readers: str = "{'mcap', 'sqlite3'}") -> Path:
    """Make a stand-in for what an installation has, and return where its program says all."""
    out = folder / 'said.json'
    for package in ('ros2bag', 'rosbag2_py'):
        (folder / package).mkdir()
        body = f'def get_registered_readers(): return {readers}\n'
        (folder / package / '__init__.py').write_text(body)
    program = folder / 'ros2'
    program.write_text(PROGRAM.format(python=sys.executable, out=str(out), status=status))
    program.chmod(0o755)
    return out


def play(bag: Path, folder: Path, *words: str, domain_id: int) -> RosProcess:
    variables = {
        'PATH': f'{folder}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': os.pathsep.join([*sys.path, str(folder)]),
    }
    program = 'da3_ros.cli.main'
    return RosProcess(program, 'play', bag, *words, domain_id=domain_id, variables=variables)


def test_the_installed_player_gets_what_was_asked_for(
    bag: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    said = installation(tmp_path)
    words = ('--rate', '0.5', '--clock', '--topics', '/note', '--topics', '/latched')
    with play(bag, tmp_path, *words, domain_id=ros_domain_id) as process:
        assert process.wait(60) == 0, process.output
        assert 'rosbag2 plays' in process.output
        assert 'played by ros2 bag on 2 topics' in process.output
    command, offers = json.loads(said.read_text())
    assert command[:5] == ['bag', 'play', str(bag), '-s', 'mcap']
    assert command[-3:] == ['--topics', '/note', '/latched']
    assert '--disable-keyboard-controls' in command
    pairs = dict(pairwise(command))
    assert (float(pairs['--rate']), float(pairs['--clock'])) == (0.5, 100)
    assert yaml.safe_load(offers) == {
        '/note': {
            'history': 'keep_last',
            'depth': 50,
            'reliability': 'reliable',
            'durability': 'volatile',
        },
        '/latched': {
            'history': 'keep_last',
            'depth': 50,
            'reliability': 'reliable',
            'durability': 'transient_local',
        },
    }


@pytest.mark.ros_install('rosbag2_py')
def test_ros2_bag_itself_plays_to_the_byte(bag: Path, tmp_path: Path, ros_domain_id: int) -> None:
    """The real one, to a recorder of ours."""
    program, out = 'da3_ros.cli.main', tmp_path / 'out.mcap'
    limit = ('--max-messages', '7')
    topics = ('/cam/image_raw', '/note', '/latched')
    with RosProcess(program, 'record', out, *topics, *limit, domain_id=ros_domain_id) as recorder:
        recorder.wait_for_line('^ready$')
        words = ('--player', 'ros2', '--wait-subscribers', '2')
        with RosProcess(program, 'play', bag, *words, domain_id=ros_domain_id) as player:
            assert recorder.wait(60) == 0, player.output
            assert player.wait(30) == 0, player.output
    with BagReader(bag) as sent, BagReader(out) as received:
        for topic in topics:
            # Padded as on the wire.
            before, after = (
                [m.data + bytes(-len(m.data) % 4) for m in reader.messages([topic])]
                for reader in (sent, received)
            )
            assert before == after


def test_ctrl_c_stops_the_installed_player(bag: Path, tmp_path: Path, ros_domain_id: int) -> None:
    installation(tmp_path)
    with play(bag, tmp_path, '--loop', domain_id=ros_domain_id) as process:
        process.wait_for_line('rosbag2 plays')
        process.send(signal.SIGINT)
        assert process.wait(30) == 130, process.output
        assert 'rosbag2 was stopped' in process.output


def test_a_failure_of_the_installed_player_is_told(
    bag: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    installation(tmp_path, status=3)
    with play(bag, tmp_path, domain_id=ros_domain_id) as process:
        assert process.wait(60) not in (0, 130), process.output
        assert 'ros2 bag play ended with status 3' in process.output


def test_our_own_player_plays_what_the_installed_one_cannot(
    bag: Path, tmp_path: Path, ros_domain_id: int
) -> None:
    said = installation(tmp_path)
    with play(bag, tmp_path, '--rate', '0', domain_id=ros_domain_id) as process:
        assert process.wait(60) == 0, process.output
        assert 'played 7 messages on 3 topics' in process.output
    with play(bag, tmp_path, '--player', 'da3', '--rate', '9', domain_id=ros_domain_id) as process:
        assert process.wait(60) == 0, process.output
        assert 'played 7 messages on 3 topics' in process.output
    assert not said.exists()
    words = ('--player', 'ros2', '--rate', '0')
    with play(bag, tmp_path, *words, domain_id=ros_domain_id) as process:
        assert process.wait(60) not in (0, 130)
        assert 'ros2 bag has no rate without limit' in process.output


@pytest.mark.parametrize(
    ('options', 'distro', 'reason'),
    [
        (PlayOptions(), 'jazzy', ''),
        (PlayOptions(duration_s=1.0), 'jazzy', ''),
        (PlayOptions(duration_s=1.0), 'humble', 'Humble'),
        (PlayOptions(rate=0.0), 'jazzy', 'rate'),
        (PlayOptions(start_s=0.1), 'jazzy', 'latched'),
    ],
)
def test_what_the_installed_player_cannot_do_is_known(
    options: PlayOptions,
    distro: str,
    reason: str,
    bag: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installation(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    environment = {'PATH': str(tmp_path), 'ROS_DISTRO': distro}
    with BagReader(bag) as reader:
        said = reason_against(reader, options, environment)
        assert reason in said
        assert bool(said) == bool(reason)


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (lambda folder: (folder / 'metadata.yaml').unlink(), 'metadata.yaml is missing'),
        (lambda folder: os.truncate(folder / 'in.mcap', 8000), 'ends within a chunk'),
        (lambda folder: None, ''),
    ],
)
def test_a_damaged_bag_is_not_for_the_installed_player(
    damage: Callable[[Path], None], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    folder = write_bag(tmp_path / 'in', mixed_messages(10))
    damage(folder)
    with BagReader(folder) as reader:
        said = reason_against(reader, PlayOptions(), {'PATH': str(tmp_path)})
    assert reason in said
    assert bool(said) == bool(reason)


def test_what_is_packed_without_metadata_is_not_for_the_installed_player(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for mode in (CompressionMode.MESSAGE, CompressionMode.FILE):
        folder = write_rosbag2(tmp_path / mode.name, mixed_messages(3), StoragePlugin.MCAP, mode)
        bare = next(file for file in folder.iterdir() if file.name != 'metadata.yaml')
        for path, reason in ((folder, ''), (bare, 'ros2 bag unpacks only')):
            with BagReader(path) as reader:
                said = reason_against(reader, PlayOptions(), {'PATH': str(tmp_path)})
            assert said.startswith(reason)
            assert bool(said) == bool(reason)


def test_without_an_installation_or_its_plugin_our_own_plays(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BagReader(bag) as reader:
        assert reason_against(reader, PlayOptions(), {'PATH': str(tmp_path)}) == (
            'ros2 bag is not installed'
        )
        installation(tmp_path, readers="{'sqlite3'}")
        monkeypatch.syspath_prepend(tmp_path)
        optional_module.cache_clear()
        said = reason_against(reader, PlayOptions(), {'PATH': str(tmp_path)})
        assert said == 'ros2 bag has no plugin for mcap here'


@pytest.mark.parametrize(('name', 'storage'), [('b.mcap', 'mcap'), ('b.db3', 'sqlite3')])
def test_the_storage_of_files_and_folders(name: str, storage: str, tmp_path: Path) -> None:
    (tmp_path / 'metadata.yaml').touch()
    (tmp_path / name).touch()
    assert storage_of(tmp_path) == storage
    assert storage_of(tmp_path / name) == storage


def test_every_option_has_its_word(bag: Path) -> None:
    options = PlayOptions(
        loop=True, start_s=1.5, duration_s=2.5, wait_subscribers_s=3.0, topics=('/note',)
    )
    heard: set[str] = set()
    node: Any = SimpleNamespace(count_subscribers=lambda topic: topic in heard)
    stop = threading.Event()
    with BagReader(bag) as reader:
        words = Ros2BagPlayer(node, reader, options, stop).command('offers.yaml')
        pairs = dict(pairwise(words))
        assert '--loop' in words
        assert (pairs['--start-offset'], pairs['--playback-duration']) == ('1.5', '2.5')
        assert float(pairs['--delay']) > 0

        # It waits for the topics that are to be waited for, and says which nobody hears.
        player = Ros2BagPlayer(node, reader, PlayOptions(wait_topics=('/note',)), stop)
        assert not player.wait_for_subscribers()
        heard.add('/note')
        assert player.wait_for_subscribers()
        with pytest.raises(SourceError, match='no topic /absent'):
            Ros2BagPlayer(node, reader, PlayOptions(topics=('/absent',)), stop)
