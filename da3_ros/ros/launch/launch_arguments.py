"""Arguments of the launch files, and the parameters of the node that follow from them.

Plain Python, so that it can be tested where the `launch` packages are not installed. An argument
that is not given says nothing: the parameter file, or else the node, decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
import logging
from pathlib import Path
from typing import Any

from da3_ros.errors import ConfigError
from da3_ros.foreign import expanded, foreign_file
from da3_ros.options import (
    RUNTIMES,
    NodeOptions,
    from_flat,
    option_specs,
    with_truth,
    without_aliases,
)
from da3_ros.ros.launch.rig_file import as_option
from da3_ros.ros.launch.yaml_file import load_yaml, one_line
from da3_ros.sources.bag import BagReader

LOG_LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')
NODE_NAME = 'da3_node'

_log = logging.getLogger(__name__)
_SPECS = {spec.name: spec for spec in option_specs()}
_TRUTH = {'true': True, '1': True, 'false': False, '0': False}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a launch file."""

    name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    """What it may be; empty for anything."""


def _of_table(name: str, choices: tuple[str, ...] = (), more: str = '') -> tuple[Argument, ...]:
    """Return an option of the table as arguments, one for each of its names.

    An argument that is not given says nothing, so that its default is none.
    """
    spec = _SPECS[name]
    others = (Argument(alias, '', f'another name of {name}', choices) for alias in spec.aliases)
    return (Argument(name, '', f'{spec.summary}{more}', choices), *others)


_BOOL = ('true', 'false', 'True', 'False')
_MAYBE = ('', *_BOOL)
INPUTS = (
    *_of_table('cameras', more=' Joined by commas: front,left,right.'),
    Argument(
        'compressed',
        '',
        'subscribe to <camera>/image_raw/compressed (true) or to <camera>/image_raw (false)',
        _MAYBE,
    ),
)
COMMON = (
    *_of_table('model'),
    *_of_table('runtime', ('', *RUNTIMES)),
    Argument('params_file', '', 'YAML file of node parameters, see config/da3.yaml'),
    Argument('namespace', '', 'namespace of the node; its topics are relative to it'),
    Argument('name', NODE_NAME, 'name of the node'),
    Argument('use_sim_time', '', 'take the time from /clock, as with a bag or Gazebo', _MAYBE),
    Argument('log_level', 'info', 'what the node logs: ' + ', '.join(LOG_LEVELS), LOG_LEVELS),
    *_of_table('autostart', _MAYBE),
    *_of_table('viewer', _MAYBE),
    *_of_table('publish_tf', (*_MAYBE, 'auto')),
    *_of_table('viewer_host'),
    *_of_table('viewer_port'),
    Argument('rviz', 'false', 'start RViz with rviz/da3.rviz, made for these cameras', _BOOL),
    Argument(
        'tuned_dds',
        'true',
        'use config/fastdds.xml, without which large images are lost, unless the environment '
        'names a profile already; it keeps the traffic on this computer',
        _BOOL,
    ),
)
"""Arguments that every launch file has."""

_SWITCHES = ('use_sim_time', 'autostart', 'viewer')
"""Boolean arguments that are parameters of the same name."""
_TEXTS = ('model', 'runtime', 'viewer_host')
"""The same of texts."""


def parameters_of(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that arguments set.

    Args:
        given: argument to text; empty where it was not given.

    Raises:
        ConfigError: a text cannot be understood; names the argument.
    """
    given = without_aliases({k: text for k, text in given.items() if text}, 'launch arguments')
    found: dict[str, Any] = {
        name: boolean(name, given[name]) for name in _SWITCHES if given.get(name)
    }
    found |= {name: given[name] for name in _TEXTS if given.get(name)}
    if given.get('publish_tf'):
        found['publish_tf'] = with_truth(_SPECS['publish_tf'], given['publish_tf'])
    if given.get('viewer_port'):
        found['viewer_port'] = _whole('viewer_port', given['viewer_port'])
    if given.get('cameras'):
        names = [part.strip() for part in given['cameras'].split(',')]
        if not all(names):
            raise ConfigError(
                f'cameras: expected names joined by commas, got {given["cameras"]!r}'
            )
        found['cameras'] = names
    if given.get('compressed'):
        is_compressed = boolean('compressed', given['compressed'])
        found['image_transport'] = 'compressed' if is_compressed else 'raw'
    return found


def boolean(name: str, text: str) -> bool:
    """Return what an argument means.

    Raises:
        ConfigError: it is neither true nor false.
    """
    try:
        return _TRUTH[text.strip().lower()]
    except KeyError:
        raise ConfigError(f'{name}: expected true or false, got {text!r}') from None


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f'{name}: expected a whole number, got {text!r}') from None


def parameter_file(text: str) -> Path | None:
    """Return the parameter file of the argument, None when none is given.

    Raises:
        ConfigError: there is no such file, which launch would pass over with a warning.
    """
    if not text:
        return None
    path = expanded(text)
    if not path.is_file():
        raise ConfigError(f'params_file: there is no file {path}')
    return path


def expected_options(
    file: Path | None, given: Mapping[str, Any], name: str = NODE_NAME
) -> NodeOptions:
    """Return the options that the node will have, as far as the launch file can tell.

    What it cannot tell (a wildcard for another node, a file that is wrong) has its default here,
    and is for the node to report.

    Args:
        file: parameter file.
        given: parameters that win over it.
        name: name of the node.
    """
    try:
        with foreign_file(file or '', 'params_file', ConfigError), one_line():
            in_file = without_aliases(_values_in(file, name), str(file)) if file else {}
            values = {**in_file, **given}
            known = {k: as_option(_SPECS[k], v) for k, v in values.items() if k in _SPECS}
            return from_flat(known)
    except ConfigError as error:
        _log.warning('the launch file takes the default options: %s', error)
        return NodeOptions()


def _values_in(file: Path, name: str) -> dict[str, Any]:
    document = load_yaml(file, f'params_file {file}')
    values: dict[str, Any] = {}
    for key, section in document.items() if isinstance(document, Mapping) else ():
        is_meant = key in ('/**', name, f'/{name}', f'/**/{name}')
        inside = section.get('ros__parameters') if isinstance(section, Mapping) else None
        if is_meant and isinstance(inside, Mapping):
            values.update(inside)
    return values


RIG = Argument('rig', '', 'rig file, or the name of one of config/rigs: realsense, zed, oak ...')
REPLAY = (
    Argument('bag', '', 'bag to play: a folder, a .mcap or a .db3 file'),
    Argument('rig', '', RIG.help + '; empty: the arguments cameras and compressed'),
    Argument('rate', '1.0', 'speed; 0 plays as fast as it goes'),
    Argument('start', '0.0', 'seconds of the bag to leave out at its start'),
    Argument('duration', '', 'seconds of the bag to play; empty: all'),
    Argument('topics', '', 'topics to play, joined by commas; empty: all'),
    Argument('wait', '120.0', 'longest wait for the node to listen to its cameras, seconds'),
    Argument('linger', '2.0', 'seconds that the node has after the last message'),
    Argument('record', '', 'bag to record the output to, .mcap or .db3 or a folder; empty: none'),
    Argument('record_topics', '', 'topics to record, joined by commas; empty: the usual ones'),
)
"""Arguments of the launch file that plays a bag."""
RECIPE = (
    Argument('recipe', '', 'recipe file, or the name of one: rtabmap, nvblox ...'),
    Argument('camera', 'front', 'name of the camera'),
    Argument('camera_frame', '', 'its optical frame; empty: <camera>_optical_frame'),
    Argument('namespace', '', 'namespace of da3_node'),
    next(argument for argument in COMMON if argument.name == 'use_sim_time'),
)
"""Arguments of the launch file that starts a consumer."""

_RECORDED = ('odometry', 'path', 'window', 'points')
_RECORDED_OF_CAMERA = ('depth/image', 'depth/camera_info', 'color/image', 'color/camera_info')
# Topics that may have no publisher before the bag starts.
_OF_OTHERS = {'/clock', '/tf', '/tf_static'}


def recorded_topics(text: str) -> set[str]:
    """Return the names of the topics of the bag that an argument names.

    Raises:
        ConfigError: the argument is empty.
        SourceError: it is no bag; says why.
    """
    if not text:
        raise ConfigError('bag: expected a bag, for example bag:=drive.mcap')
    with BagReader(expanded(text)) as bag:
        return {info.name for info in bag.topics}


def named_file(argument: str, text: str, folder: Path) -> Path:
    """Return the file of an argument: a path, or the name of one that comes with the package.

    Raises:
        ConfigError: the argument is empty, or there is no such file.
    """
    names = ', '.join(sorted(file.stem for file in folder.glob('*.yaml')))
    if not text:
        raise ConfigError(f'{argument}: expected a file, or one of {names}')
    path = expanded(text)
    if path.is_file():
        return path
    own = folder / f'{text}.yaml'
    if '/' not in text and own.is_file():
        return own
    raise ConfigError(f'{argument}: there is no file {path}, nor one of that name among {names}')


@dataclass(frozen=True, slots=True)
class Replay:
    """How a bag is played to the node."""

    play_command: tuple[str, ...]
    """Words after `da3`."""
    record_command: tuple[str, ...]
    """Words after `da3`; empty when nothing is recorded."""
    awaited: frozenset[str]
    """Recorded topics that the node publishes: the bag starts once the recorder hears them."""
    wait_s: float
    """Longest wait for the node."""
    linger_s: float
    """Time between the last message and the end."""

    @classmethod
    def of(
        cls,
        given: Mapping[str, str],
        options: NodeOptions,
        remappings: Sequence[tuple[str, str]] = (),
        recorded: Collection[str] = (),
    ) -> Replay:
        """Return what the arguments ask for.

        Args:
            given: argument to text.
            options: of the node: its cameras, their transport.
            remappings: (own name, other name) of the node's topics.
            recorded: topics of the bag; images are expected in it, calibrations may be.

        Raises:
            ConfigError: a number is none.
        """
        numbers = {
            name: _number(name, given[name]) for name in ('rate', 'start', 'wait', 'linger')
        }
        play = ['play', given['bag'], '--clock']
        for option, name in (
            ('--rate', 'rate'),
            ('--start', 'start'),
            ('--wait-subscribers', 'wait'),
        ):
            play += [option, f'{numbers[name]:g}']
        if given['duration']:
            play += ['--duration', f'{_number("duration", given["duration"]):g}']
        suffix = 'image_raw' + ('/compressed' if options.output.image_transport != 'raw' else '')
        others = dict(remappings)
        for camera in options.stream.cameras:
            names = (f'{camera}/{suffix}', f'{camera}/camera_info')
            images, info = (_resolved(others.get(own, own), given) for own in names)
            play += ['--wait-for', images]
            play += ['--wait-for', info] if info in recorded else []
        for topic in _listed(given['topics']):
            play += ['--topics', topic]
        topics = _topics_to_record(given, options)
        # Log times are those of the replayed clock: then the two bags play together.
        record = ('record', given['record'], *topics, '--use-sim-time') if topics else ()
        asked = {topic if topic.startswith('/') else f'/{topic}' for topic in topics}
        awaited = frozenset(asked - set(recorded) - _OF_OTHERS)
        return cls(tuple(play), record, awaited, numbers['wait'], numbers['linger'])


def _topics_to_record(given: Mapping[str, str], options: NodeOptions) -> tuple[str, ...]:
    if not given['record']:
        return ()
    usual = [f'{c}/{topic}' for c in options.stream.cameras for topic in _RECORDED_OF_CAMERA]
    own = [_resolved(topic, given) for topic in (*usual, *_RECORDED)]
    return tuple(_listed(given['record_topics']) or [*own, '/tf'])


def _resolved(topic: str, given: Mapping[str, str]) -> str:
    namespace = given['namespace'].strip('/')
    if topic.startswith('~/'):
        topic = f'{given["name"]}/{topic[2:]}'
    return topic if topic.startswith('/') else '/' + '/'.join(filter(None, (namespace, topic)))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(',') if part.strip()]


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float('inf'):
        raise ConfigError(f'{name}: expected a number from 0 up, got {text!r}')
    return value
