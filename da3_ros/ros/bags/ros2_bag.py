"""Playing a bag by `ros2 bag`, the player of a ROS 2 installation, with the arguments of ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
import os
from pathlib import Path
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from rclpy.node import Node
import yaml

from da3_ros.errors import NodeError
from da3_ros.notes import joined
from da3_ros.ros.bags.player import PlayOptions, PlaySummary, chosen_topics, offer_of
from da3_ros.ros.optional import optional_module
from da3_ros.sources.bag import BagReader

_CLOCK_HZ = 100
_ACKNOWLEDGED_MS = 5000
# Its publishers begin at once; who listens needs a moment to find them.
_DISCOVERY_S = 1.0
_POLL_S = 0.05
_END_S = 10.0


def reason_against(
    bag: BagReader, options: PlayOptions, environment: Mapping[str, str] = os.environ
) -> str:
    """Return why `ros2 bag` cannot play this as asked; empty when it can.

    Args:
        bag: opened.
        options: what and how.
        environment: variables of the installation.
    """
    rosbag2 = optional_module('rosbag2_py')
    program = shutil.which('ros2', path=environment.get('PATH'))
    if program is None or rosbag2 is None or optional_module('ros2bag') is None:
        return 'ros2 bag is not installed'
    if bag.notes:
        return f'the bag is not as ros2 bag needs it: {joined(bag.notes)}'
    if bag.is_packed_without_metadata:
        return 'ros2 bag unpacks only what metadata.yaml says is packed'
    storage = storage_of(bag.path)
    if storage not in rosbag2.get_registered_readers():
        return f'ros2 bag has no plugin for {storage} here'
    if options.rate == 0:
        return 'ros2 bag has no rate without limit'
    if options.start_s > 0 and any(offer_of(t, options).is_latched for t in bag.topics):
        return 'ros2 bag leaves out the latched messages before the start'
    if options.duration_s is not None and environment.get('ROS_DISTRO') == 'humble':
        return 'ros2 bag of Humble plays no part of a bag'
    return ''


def storage_of(path: Path) -> str:
    """Return what rosbag2 calls the format of a bag: mcap or sqlite3."""
    files = [path] if path.is_file() else path.iterdir()
    return 'mcap' if any('.mcap' in file.name for file in files) else 'sqlite3'


class Ros2BagPlayer:
    """Runs `ros2 bag play` once somebody listens; in the place of a `BagPlayer`.

    Args:
        node: sees who subscribes; need not be spun.
        bag: opened.
        options: what and how; see `reason_against`.
        stop: ends the playing early when set.

    Raises:
        SourceError: a chosen topic is not in the bag.
    """

    def __init__(
        self, node: Node, bag: BagReader, options: PlayOptions, stop: threading.Event
    ) -> None:
        self._node = node
        self._bag = bag
        self._options = options
        self._stop = stop
        self._topics = chosen_topics(bag, options)
        self._unheard: tuple[str, ...] = ()

    def wait_for_subscribers(self) -> bool:
        """Wait as long as the options say; return whether every topic has a subscriber now."""
        deadline = time.monotonic() + self._options.wait_subscribers_s
        wanted = self._options.wait_topics or tuple(topic.name for topic in self._topics)
        while True:
            self._unheard = tuple(t for t in wanted if not self._node.count_subscribers(t))
            if not self._unheard:
                return True
            if time.monotonic() >= deadline or self._stop.wait(_POLL_S):
                return False

    def play(self) -> PlaySummary:
        """Run the player until the bag ends, or until stopped; it says itself what it does.

        Raises:
            NodeError: the player failed.
        """
        began = time.monotonic()
        with tempfile.NamedTemporaryFile('w', suffix='.yaml', encoding='utf-8') as file:
            yaml.safe_dump(self._offers(), file)
            file.flush()
            if not self._stop.is_set():
                self._run(self.command(file.name))
        return PlaySummary(
            messages=None,
            seconds=time.monotonic() - began,
            topics=len(self._topics),
            skipped_topics=(),
            unheard_topics=self._unheard,
        )

    def command(self, offers: str) -> list[str]:
        """Return the words of the command.

        Args:
            offers: file with the QoS of the publishers.
        """
        options = self._options
        words = ['ros2', 'bag', 'play', str(self._bag.path), '-s', storage_of(self._bag.path)]
        words += ['--disable-keyboard-controls', '--qos-profile-overrides-path', offers]
        words += ['--wait-for-all-acked', str(_ACKNOWLEDGED_MS), '--rate', f'{options.rate:g}']
        if options.publish_clock:
            words += ['--clock', str(_CLOCK_HZ)]
        if options.loop:
            words += ['--loop']
        if options.start_s > 0:
            words += ['--start-offset', f'{options.start_s:g}']
        if options.duration_s is not None:
            words += ['--playback-duration', f'{options.duration_s:g}']
        if options.wait_subscribers_s > 0:
            words += ['--delay', f'{_DISCOVERY_S:g}']
        return words + (['--topics', *options.topics] if options.topics else [])

    def _offers(self) -> dict[str, dict[str, str | int]]:
        offers = {topic.name: offer_of(topic, self._options) for topic in self._topics}
        return {
            name: {
                'history': 'keep_last',
                'depth': offer.depth,
                'reliability': 'reliable' if offer.is_reliable else 'best_effort',
                'durability': 'transient_local' if offer.is_latched else 'volatile',
            }
            for name, offer in offers.items()
        }

    def _run(self, command: list[str]) -> None:
        # A session of its own: Ctrl-C reaches it once, from here.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            while child.poll() is None and not self._stop.wait(_POLL_S):
                pass
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_END_S)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            status = child.wait()
        if status and not self._stop.is_set():
            raise NodeError(f'{" ".join(command[:3])} ended with status {status}')
