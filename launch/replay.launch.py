"""Run the node on a bag: `ros2 launch da3_ros replay.launch.py bag:=drive.mcap cameras:=front`.

The bag starts when the node listens, its time is that of the node (/clock), and everything ends
a little after it. With `record` the node's output becomes another bag.
"""

import re

from launch.actions import (
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events.process import ProcessExited, ProcessIO
from launch.launch_description_entity import LaunchDescriptionEntity

from da3_ros.errors import ConfigError
from da3_ros.ros.launch import actions
from da3_ros.ros.launch.launch_arguments import (
    COMMON,
    INPUTS,
    REPLAY,
    Replay,
    expected_options,
    named_file,
    parameter_file,
    parameters_of,
    recorded_topics,
)
from da3_ros.ros.launch.rig_file import read_rig
from launch import LaunchContext, LaunchDescription

ARGUMENTS = (*REPLAY, *INPUTS, *(a for a in COMMON if a.name != 'use_sim_time'))


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    texts = actions.given(context, ARGUMENTS)
    recorded = recorded_topics(texts['bag'])
    parameters, remappings = parameters_of(texts), []
    if texts['rig']:
        if texts['cameras'] or texts['compressed']:
            raise ConfigError('rig: it says the cameras; leave out cameras and compressed')
        rig = read_rig(named_file('rig', texts['rig'], actions.share() / 'config' / 'rigs'))
        parameters, remappings = {**rig.node_parameters(), **parameters}, rig.remappings()
    parameters['use_sim_time'] = True
    options = expected_options(parameter_file(texts['params_file']), parameters, texts['name'])
    replay = Replay.of(texts, options, remappings, recorded)
    ended = [Shutdown(reason='the node ended')]
    return [
        *actions.transport(texts),
        actions.da3_node(texts, parameters, remappings, on_exit=ended),
        *actions.rviz(texts, options, use_sim_time=True),
        *_play(replay),
    ]


class _OnceRecording:
    """Starts the player when the recorder has said that it records what the node publishes.

    Args:
        player: its process.
        awaited: topics.
    """

    def __init__(self, player: ExecuteProcess, awaited: frozenset[str]) -> None:
        self._player = player
        self._awaited = awaited
        self._said = ''
        self._is_over = False

    def take(self, event: ProcessIO) -> list[LaunchDescriptionEntity] | None:
        """Take what the recorder writes."""
        self._said += event.text.decode(errors='replace')
        heard = set(re.findall(r'^recording (\S+) \[', self._said, re.MULTILINE))
        is_listening = re.search(r'^ready\s', self._said, re.MULTILINE) is not None
        return self._start() if is_listening and heard >= self._awaited else None

    def give_up(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Start all the same after a long wait."""
        del context
        return self._start()

    def _start(self) -> list[LaunchDescriptionEntity] | None:
        if self._is_over:
            return None
        self._is_over = True
        return [self._player]


def _play(replay: Replay) -> list[LaunchDescriptionEntity]:
    """Return the player, started once the recorder listens where there is one."""
    player = actions.da3_command(*replay.play_command)

    def end(event: ProcessExited, _context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if event.returncode:
            return [Shutdown(reason='the bag could not be played')]
        over = Shutdown(reason='the bag is over')
        return [TimerAction(period=replay.linger_s, actions=[over])]

    at_the_end = RegisterEventHandler(OnProcessExit(target_action=player, on_exit=end))
    if not replay.record_command:
        return [at_the_end, player]
    failed = [Shutdown(reason='the recorder ended')]
    recorder = actions.da3_command(*replay.record_command, on_exit=failed)
    once = _OnceRecording(player, replay.awaited)
    return [
        at_the_end,
        RegisterEventHandler(OnProcessIO(target_action=recorder, on_stdout=once.take)),
        TimerAction(period=replay.wait_s, actions=[OpaqueFunction(function=once.give_up)]),
        recorder,
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; start the node, the recorder and the player."""
    declared = actions.declared(ARGUMENTS)
    return LaunchDescription([*declared, OpaqueFunction(function=_start)])
