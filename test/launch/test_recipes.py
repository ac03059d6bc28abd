"""Every recipe, held against a running node over real DDS as its consumer would read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re
from typing import Any

import pytest
import yaml

from da3_ros.errors import ConfigError
from da3_ros.options import option_specs
from da3_ros.ros.launch.recipes import ConsumedTopic, Recipe, read_recipe
from helpers.ros_process import ROOT, RosProcess, reserved_domain_id

FILES = sorted((ROOT / 'config' / 'recipes').glob('*.yaml'))
BYTES_PER_PIXEL = {'rgb8': 3, '32FC1': 4, '16UC1': 2}


def test_the_recipes_are_those_that_are_documented() -> None:
    text = (ROOT / 'docs' / 'recipes.md').read_text()
    assert {f.stem for f in FILES} == {
        'rtabmap',
        'nvblox',
        'nav2_voxel_layer',
        'robot_localization',
        'depth_image_proc',
    }
    assert all(f'config/recipes/{file.name}' in text for file in FILES)


def test_the_documented_voxel_layer_is_that_of_the_recipe() -> None:
    text = (ROOT / 'docs' / 'recipes.md').read_text()
    (block,) = re.findall(r'```yaml\n(.*?)```', text, re.DOTALL)
    written = yaml.safe_load(block)['voxel_layer']
    recipe = read_recipe(ROOT / 'config' / 'recipes' / 'nav2_voxel_layer.yaml')
    layer = recipe.parameters['local_costmap']['local_costmap']['ros__parameters']['voxel_layer']
    assert written.pop('da3') == layer['da3']
    assert written.items() <= layer.items()
    assert layer['da3']['topic'] == recipe.topics[0].to


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_recipes_name_parameters_that_the_node_has(file: Path) -> None:
    recipe = read_recipe(file)
    assert set(recipe.node) <= {spec.name for spec in option_specs()}
    assert recipe.consumer.keys() in ({'package', 'executable', 'name'}, set())
    own = {topic.own for topic in recipe.topics}
    assert all(set(group) <= own for group in recipe.together)


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_recipes_follow_camera_frame_and_namespace(file: Path) -> None:
    recipe = read_recipe(file, 'left', 'left_eye', '/robot/')
    text = yaml.safe_dump([dict(recipe.parameters), [topic.to for topic in recipe.topics]])
    assert '<' not in text
    assert 'front' not in text
    assert all(topic.to.startswith('/robot/') for topic in recipe.topics)
    assert recipe.chain[-1] == 'left_eye'
    if 'odom0' in recipe.parameters:
        assert recipe.parameters['odom0'] == '/robot/odometry'
        assert recipe.remappings() == []


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('topics: {}', 'at least one'),
        ('topic: {}', 'unknown topic'),
        ('topics: {a: {to: /b}}', 'a: type'),
        ('topics: {a: {to: /b, type: c, reliability: maybe}}', 'reliability'),
        ('- 1', 'mapping'),
    ],
)
def test_a_bad_recipe_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text(text)
    with pytest.raises(ConfigError, match=says) as error:
        read_recipe(file)
    assert str(file) in str(error.value)


@pytest.fixture(scope='module', name='domain_id')
def domain_id_fixture() -> Iterator[int]:
    with reserved_domain_id() as domain_id:
        yield domain_id


def words(values: dict[str, Any]) -> list[str]:
    """Return node parameters as command-line words."""
    texts = [
        f'{name}:={str(v).lower() if v in (True, False) else v}' for name, v in values.items()
    ]
    return ['--ros-args', *(word for text in texts for word in ('-p', text))]


def size_of(message: Any) -> tuple[int, int]:
    return int(message.height), int(message.width)


def check(message: Any, topic: ConsumedTopic, camera_frame: str) -> None:
    """Hold one message against what the consumer reads."""
    assert message.header.frame_id == (topic.frame or camera_frame)
    if topic.child_frame:
        assert message.child_frame_id == topic.child_frame
    if topic.encoding:
        assert message.encoding == topic.encoding
        assert message.step == message.width * BYTES_PER_PIXEL[topic.encoding]
    if topic.type.endswith('PointCloud2'):
        fields = {field.name: field for field in message.fields}
        assert all(fields[axis].datatype == fields[axis].FLOAT32 for axis in 'xyz')
        assert message.width > 0
    if topic.type.endswith('CameraInfo'):
        height, width = size_of(message)
        assert 0 < message.k[2] < width
        assert 0 < message.k[5] < height
        assert list(message.p[:3]) == list(message.k[:3])
        assert not any(message.d)


def joints(robot: Any, stamp_ns: int) -> set[tuple[str, str]]:
    """Return parent and child of every fixed joint, and of the moving ones at a stamp."""
    from da3_ros.ros.messages.geometry_messages import ns_from_stamp

    fixed = [t for message in robot.messages('/tf_static') for t in message.transforms]
    moving = [t for message in robot.messages('/tf') for t in message.transforms]
    here = [t for t in moving if ns_from_stamp(t.header.stamp) == stamp_ns]
    return {(t.header.frame_id, t.child_frame_id) for t in (*fixed, *here)}


def is_connected(links: set[tuple[str, str]], parent: str, child: str) -> bool:
    parents = {below: above for above, below in links}
    while child in parents and child != parent:
        child = parents[child]
    return child == parent


def listen(robot: Any, recipe: Recipe) -> None:
    from da3_ros.ros.messages.message_types import message_class
    from helpers.consumers import profile

    for topic in recipe.topics:
        wanted = profile(topic.reliability, depth=topic.depth)
        robot.listen(message_class(topic.type), topic.to, wanted, key=topic.own)


@pytest.mark.ros
@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_the_node_gives_what_the_consumer_reads(file: Path, domain_id: int) -> None:
    from tf2_msgs.msg import TFMessage

    from helpers.consumers import mismatches, profile
    from helpers.fault_rig import send_until
    from helpers.ros_rig import LATCHED, RosRobot

    recipe = read_recipe(file)
    values = {'model': 'truth', 'cameras': '[front]', 'window': 2, **recipe.node}
    with RosProcess('da3_ros.ros.node.main', *words(values), domain_id=domain_id) as process:
        process.wait_for_line('ready')
        with RosRobot(domain_id, ['front']) as robot:
            robot.publish_rig(['front'])
            robot.wait_for_node()
            listen(robot, recipe)
            robot.prime(robot.send)
            robot.listen(TFMessage, '/tf_static', LATCHED)
            robot.listen(TFMessage, '/tf')
            robot.wait_for('/tf_static')
            # With publish_tf off nothing comes on /tf: what does come is looked at below.
            robot.send()
            if recipe.node.get('publish_tf', 'auto') == 'auto':
                # It listens to others for a second.
                send_until(robot, '/tf', lambda message: True)
            stamp_ns = robot.send()

            got = {t.own: robot.wait_stamp(t.own, stamp_ns) for t in recipe.topics}
            for topic in recipe.topics:
                check(got[topic.own], topic, robot.frame_id('front'))
                wanted = profile(topic.reliability, depth=topic.depth)
                assert mismatches(robot.node, topic.to, topic.type, wanted) == []
            for group in recipe.together:
                heads = [got[own].header for own in group]
                assert all(head == heads[0] for head in heads)
                assert len({size_of(got[own]) for own in group}) == 1
            if recipe.node.get('publish_tf', True):
                robot.wait_stamp('/tf', stamp_ns)
            links = joints(robot, stamp_ns)
            for parent, child in zip(recipe.chain, recipe.chain[1:], strict=False):
                assert is_connected(links, parent, child), links
            assert tuple(recipe.theirs) not in links
