"""What the arguments of launch files mean, without the launch packages."""

from pathlib import Path

import pytest

from da3_ros.errors import ConfigError, SourceError
from da3_ros.options import NodeOptions, from_flat, option_specs
from da3_ros.options.table import Entrance
from da3_ros.ros.launch.launch_arguments import (
    COMMON,
    INPUTS,
    RECIPE,
    REPLAY,
    RIG,
    Replay,
    expected_options,
    named_file,
    parameter_file,
    parameters_of,
    recorded_topics,
)
from helpers.option_groups import entries

TABLES = {'da3': (*INPUTS, *COMMON), 'rig': (RIG, *COMMON), 'replay': REPLAY, 'recipe': RECIPE}
PROMISED = {
    'cameras',
    'model',
    'params_file',
    'namespace',
    'use_sim_time',
    'log_level',
    'autostart',
    'rviz',
    'compressed',
    'viewer',
    'tuned_dds',
}


def defaults() -> dict[str, str]:
    return {a.name: a.default for a in (*REPLAY, *INPUTS, *COMMON)}


@pytest.mark.parametrize('name', TABLES)
def test_every_argument_is_described_and_its_default_is_allowed(name: str) -> None:
    for argument in TABLES[name]:
        assert len(argument.help) > 10
        assert not argument.choices or argument.default in argument.choices


def test_the_promised_arguments_are_there() -> None:
    assert {a.name for a in TABLES['da3']} >= PROMISED


def test_arguments_that_are_not_given_set_nothing() -> None:
    assert parameters_of(defaults()) == {}


def test_arguments_become_parameters() -> None:
    given = {
        'cameras': 'front, left',
        'compressed': 'true',
        'model': 'truth',
        'use_sim_time': 'True',
        'autostart': 'false',
        'viewer': 'true',
        'viewer_host': '0.0.0.0',
        'viewer_port': '9000',
    }
    assert parameters_of(given) == {
        'cameras': ['front', 'left'],
        'image_transport': 'compressed',
        'model': 'truth',
        'use_sim_time': True,
        'autostart': False,
        'viewer': True,
        'viewer_host': '0.0.0.0',
        'viewer_port': 9000,
    }
    assert parameters_of({'compressed': 'false'}) == {'image_transport': 'raw'}
    for text, value in (('auto', 'auto'), ('True', True), ('false', False)):
        found = parameters_of({'publish_tf': text})
        assert found == {'publish_tf': value}
        assert found['publish_tf'] is value or text == 'auto'


@pytest.mark.parametrize(
    ('name', 'text'), [('cameras', 'a,,b'), ('compressed', 'maybe'), ('viewer_port', 'x')]
)
def test_arguments_that_make_no_sense_are_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        parameters_of({name: text})


def test_the_node_has_the_options_of_the_file_under_those_of_the_arguments(
    tmp_path: Path,
) -> None:
    file = tmp_path / 'with space.yaml'
    file.write_text(
        '/**:\n  ros__parameters: {cameras: [front, left], odom_frame: world, max_depth_m: 3}\n'
        'eyes:\n  ros__parameters: {image_transport: compressed, unknown: 1}\n'
        'other:\n  ros__parameters: {odom_frame: no}\n'
    )

    options = expected_options(parameter_file(str(file)), {'odom_frame': 'here'}, 'eyes')

    assert options.stream.cameras == ('front', 'left')
    assert options.output.image_transport == 'compressed'
    assert options.output.odom_frame == 'here'
    assert options.output.max_depth_m == 3.0


@pytest.mark.parametrize('text', ['[', 'x', '/**: {ros__parameters: {window: -1}}'])
def test_a_bad_parameter_file_is_left_to_the_node(tmp_path: Path, text: str) -> None:
    file = tmp_path / 'bad.yaml'
    file.write_text(text)

    assert expected_options(file, {}).stream == NodeOptions().stream


def test_a_parameter_file_that_is_not_there_is_an_error() -> None:
    assert parameter_file('') is None
    with pytest.raises(ConfigError, match='params_file'):
        parameter_file('no/such.yaml')


def test_files_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    own = tmp_path / 'zed.yaml'
    own.touch()
    assert named_file('rig', str(own), Path('/nowhere')) == own
    assert named_file('rig', 'zed', tmp_path) == own
    for text in ('', 'oak', '../zed'):
        with pytest.raises(ConfigError, match=r'rig: .*zed'):
            named_file('rig', text, tmp_path)


def test_a_replay_waits_for_the_images_and_records_the_output() -> None:
    given = {**defaults(), 'bag': 'a bag', 'namespace': 'robot', 'record': 'out', 'duration': '3'}
    options = from_flat({'cameras': ('front', 'left')})
    remappings = [('left/image_raw', '/left/driver/image'), ('left/camera_info', '/left/info')]
    replay = Replay.of(given, options, remappings, {'/left/info', '/lidar'})

    words = replay.play_command
    waits = [words[i + 1] for i, word in enumerate(words) if word == '--wait-for']
    assert waits == ['/robot/front/image_raw', '/left/driver/image', '/left/info']
    assert words[:3] == ('play', 'a bag', '--clock')
    assert words[words.index('--duration') + 1] == '3'
    assert replay.record_command[:2] == ('record', 'out')
    assert {'/robot/front/depth/image', '/robot/odometry', '/tf'} <= set(replay.record_command)
    assert {'/robot/front/depth/image', '/robot/odometry'} <= replay.awaited
    assert '/tf' not in replay.awaited
    assert (replay.wait_s, replay.linger_s) == (120.0, 2.0)


def test_a_replay_of_compressed_images_waits_for_those() -> None:
    given = {**defaults(), 'bag': 'b'}
    options = from_flat({'cameras': ('front',), 'image_transport': 'compressed'})
    assert '/front/image_raw/compressed' in Replay.of(given, options).play_command
    assert Replay.of(given, options).record_command == ()


def test_a_replay_waits_for_no_publisher_of_what_is_in_the_bag() -> None:
    given = {**defaults(), 'bag': 'b', 'record': 'o', 'record_topics': '/lidar, front/points'}
    replay = Replay.of(given, from_flat({'cameras': ('front',)}), (), {'/lidar'})
    assert replay.record_command[2:] == ('/lidar', 'front/points', '--use-sim-time')
    assert replay.awaited == {'/front/points'}


@pytest.mark.parametrize(
    ('name', 'text'), [('rate', 'fast'), ('linger', '-1'), ('duration', 'inf')]
)
def test_a_replay_that_makes_no_sense_is_refused(name: str, text: str) -> None:
    given = {**defaults(), 'bag': 'b', name: text}
    with pytest.raises(ConfigError, match=name):
        Replay.of(given, NodeOptions())


def test_a_bag_tells_its_topics_and_what_is_none_is_named(tmp_path: Path) -> None:
    from helpers.raw_messages import mixed_messages, write_bag

    bag = tmp_path / 'a drive.mcap'
    write_bag(bag, mixed_messages(2, 1))
    assert '/cam/image_raw' in recorded_topics(str(bag))
    with pytest.raises(ConfigError, match='bag: expected'):
        recorded_topics('')
    with pytest.raises(SourceError, match=r'no\.mcap'):
        recorded_topics(str(tmp_path / 'no.mcap'))


def test_arguments_that_set_parameters_name_parameters() -> None:
    # rclpy has use_sim_time itself.
    known = {spec.name for spec in option_specs()} | {'use_sim_time'}
    given = dict.fromkeys(('compressed', 'use_sim_time', 'autostart', 'viewer'), 'true')
    given |= {'cameras': 'a', 'model': 'm', 'viewer_host': 'h', 'viewer_port': '1'}
    given |= {'runtime': 'torch'}
    assert set(parameters_of(given)) <= known
    assert parameters_of(given)['runtime'] == 'torch'


def test_options_of_the_table_are_arguments_that_say_nothing_by_themselves() -> None:
    found = {a.name: a for a in TABLES['da3']}
    specs = entries(Entrance.LAUNCH)
    assert len(specs) >= 6
    for spec in specs:
        assert found[spec.name].help.startswith(spec.summary)
        assert found[spec.name].default == ''
        assert all(alias in found for alias in spec.aliases)


def test_another_name_of_an_option_is_taken_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert {'model', 'model_dir'} <= {a.name for a in COMMON}
    assert parameters_of({**defaults(), 'model_dir': 'da3-base'}) == {'model': 'da3-base'}
    assert 'launch arguments: model_dir is another name of model' in caplog.text
    file = tmp_path / 'p.yaml'
    file.write_text('/**:\n  ros__parameters: {model_dir: da3-large}\n', encoding='utf-8')
    assert expected_options(file, {}).estimator.model == 'da3-large'
    assert f'{file}: model_dir is another name of model' in caplog.text
    with pytest.raises(ConfigError, match='model is given twice'):
        parameters_of({'model': 'a', 'model_dir': 'b'})
