"""`da3 play` that waits for the subscribers of some of its topics."""

from pathlib import Path

import pytest

from helpers.raw_messages import mixed_messages, write_bag
from helpers.ros_process import RosProcess

pytestmark = pytest.mark.ros
DA3 = 'da3_ros.cli.main'
# Our own player, also where ros2 bag is installed.
PLAY = ('play', '--player', 'da3')


def test_play_starts_when_the_named_topics_are_heard(tmp_path: Path, ros_domain_id: int) -> None:
    bag = write_bag(tmp_path / 'in.mcap', mixed_messages(6, 50_000_000))
    heard = ('/cam/image_raw', '--max-messages', '6')
    with RosProcess(
        DA3, 'record', tmp_path / 'out.mcap', *heard, domain_id=ros_domain_id
    ) as recorder:
        recorder.wait_for_line('^ready$')
        # Nobody ever hears the other topics of the bag.
        patience = ('--wait-subscribers', '600', '--wait-for', '/cam/image_raw')
        with RosProcess(DA3, *PLAY, bag, *patience, domain_id=ros_domain_id) as player:
            assert recorder.wait(60) == 0, player.output
            assert player.wait(30) == 0


def test_a_topic_to_wait_for_that_the_bag_lacks_is_named(
    tmp_path: Path, ros_domain_id: int
) -> None:
    bag = write_bag(tmp_path / 'in.mcap', mixed_messages(1, 1))
    with RosProcess(DA3, *PLAY, bag, '--wait-for', '/other', domain_id=ros_domain_id) as player:
        player.wait_for_line(r'no topic /other; it has .*/cam/image_raw')
        assert player.wait(30) == 1
