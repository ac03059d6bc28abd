"""`da3 play`: a bag onto real topics."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
import logging
from pathlib import Path
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.errors import NodeError
from da3_ros.notes import Note, joined
from da3_ros.options.choices import Reliability
from da3_ros.options.table import Entrance
from da3_ros.process import READY

if TYPE_CHECKING:
    from da3_ros.ros.bags.player import BagPlayer, PlayOptions, PlaySummary
    from da3_ros.ros.bags.ros2_bag import Ros2BagPlayer
    from da3_ros.sources.bag import BagReader

_LOG = logging.getLogger(__name__)


class Player(str, Enum):
    """Who plays."""

    auto = 'auto'
    ros2 = 'ros2'
    da3 = 'da3'


_Who = Annotated[
    Player,
    typer.Option(
        help='ros2: `ros2 bag play` of a ROS 2 installation; da3: our own; auto: ros2 where it is '
        'installed and can do what is asked.'
    ),
]


@takes_options(Entrance.PLAY)
def play(
    bag: Annotated[
        Path, typer.Argument(help='Bag folder, or a bare .mcap or .db3 file; whole or damaged.')
    ],
    qos: Reliability,
    start: float,
    duration: float | None,
    rate: Annotated[float, typer.Option(min=0.0, help='Speed; 0 plays as fast as it goes.')] = 1.0,
    loop: Annotated[bool, typer.Option('--loop', help='Start again at the end.')] = False,
    clock: Annotated[
        bool, typer.Option('--clock', help="Publish the bag's time on /clock.")
    ] = False,
    topics: Annotated[
        list[str] | None, typer.Option('--topics', help='Topic to play; repeat for several.')
    ] = None,
    wait_subscribers: Annotated[
        float,
        typer.Option(min=0.0, help='Seconds to wait until every topic has a subscriber.'),
    ] = 0.0,
    wait_for: Annotated[
        list[str] | None,
        typer.Option('--wait-for', help='Topic that this wait is for; repeat; else all.'),
    ] = None,
    player: _Who = Player.auto,
) -> None:
    """Publish the messages of a bag at their recorded pace.

    Prints "ready" when it is part of the ROS graph, and a summary at the end.
    """
    from da3_ros.cli.process import import_ros, stop_on_signals
    from da3_ros.sources.bag import BagReader

    player_module = import_ros('da3_ros.ros.bags.player', 'play')
    ros2_bag = import_ros('da3_ros.ros.bags.ros2_bag', 'play')
    session = import_ros('da3_ros.ros.client.session', 'play')
    options = player_module.PlayOptions(
        rate=rate,
        loop=loop,
        publish_clock=clock,
        topics=tuple(topics or ()),
        start_s=start,
        duration_s=duration,
        wait_subscribers_s=wait_subscribers,
        wait_topics=tuple(wait_for or ()),
        reliability=qos,
    )
    with stop_on_signals() as stop, BagReader(bag) as reader, session.tool_node('da3_play') as ros:
        said = reader.notes
        _warn(reader.path, said)
        if _is_for_ros2(player, reader, options):
            summary = _play_ros2(ros2_bag.Ros2BagPlayer(ros[0], reader, options, stop))
        else:
            summary = _play_own(player_module.BagPlayer(ros[0], reader, options, stop), loop)
        _warn(reader.path, [note for note in reader.notes if note not in said])
    _print_summary(summary, wait_subscribers > 0)
    if stop.number == signal.SIGINT:
        raise KeyboardInterrupt


def _warn(bag: Path, notes: Sequence[Note]) -> None:
    """Say what is missing of a bag."""
    if notes:
        _LOG.warning('bag %s: %s', bag, joined(notes))


def _is_for_ros2(player: Player, bag: BagReader, options: PlayOptions) -> bool:
    """Return whether `ros2 bag` plays.

    Raises:
        NodeError: it was asked for and cannot.
    """
    from da3_ros.ros.bags.ros2_bag import reason_against

    if player is Player.da3:
        return False
    reason = reason_against(bag, options)
    if reason and player is Player.ros2:
        raise NodeError(f'play: {reason}')
    return not reason


def _play_own(player: BagPlayer, loop: bool) -> PlaySummary:
    from tqdm import tqdm

    print(READY, flush=True)
    player.wait_for_subscribers()
    total = None if loop else player.total
    with tqdm(total=total, unit='msg', desc='playing', disable=None) as bar:
        return player.play(on_message=bar.update)


def _play_ros2(player: Ros2BagPlayer) -> PlaySummary:
    print(READY, flush=True)
    player.wait_for_subscribers()
    return player.play()


def _print_summary(summary: PlaySummary, has_waited: bool) -> None:
    took = f'in {summary.seconds:.2f} s'
    what = 'by ros2 bag' if summary.messages is None else f'{summary.messages} messages'
    print(f'played {what} on {summary.topics} topics {took}', flush=True)
    if summary.skipped_topics:
        print(f'left out (type not installed): {", ".join(summary.skipped_topics)}')
    if has_waited and summary.unheard_topics:
        print(f'started without a subscriber: {", ".join(summary.unheard_topics)}')
