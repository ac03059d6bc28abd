"""The RViz configuration and the Foxglove layout show topics that a node really has."""

from __future__ import annotations

from collections.abc import Iterator
import json
from typing import Any

import pytest
import yaml

from da3_ros.ros.launch.rviz_config import for_cameras
from helpers.ros_process import ROOT, RosProcess, reserved_domain_id

RVIZ = ROOT / 'rviz' / 'da3.rviz'
FOXGLOVE = ROOT / 'config' / 'foxglove.json'
# What RViz's own displays subscribe to: rviz_default_plugins, plugins_description.xml.
TYPES = {
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/PointCloud2': 'sensor_msgs/msg/PointCloud2',
    'rviz_default_plugins/Odometry': 'nav_msgs/msg/Odometry',
    'rviz_default_plugins/Path': 'nav_msgs/msg/Path',
}
WITHOUT_TOPIC = {
    'rviz_default_plugins/Grid',
    'rviz_default_plugins/TF',
    'rviz_common/Group',
}
SHOWN = {
    '/points',
    '/odometry',
    '/path',
    '/front/points',
    '/front/color/image',
    '/front/depth/image',
    '/front/depth/debug',
}


def displays(text: str) -> list[dict[str, Any]]:
    """Return every display, those inside groups too."""
    found = []
    left = list(yaml.safe_load(text)['Visualization Manager']['Displays'])
    while left:
        display = left.pop(0)
        found.append(display)
        left += display.get('Displays', [])
    return found


def shown(text: str) -> dict[str, dict[str, Any]]:
    return {d['Topic']['Value']: d for d in displays(text) if 'Topic' in d}


def foxglove_topics() -> dict[str, str]:
    """Return topic to type of everything that the layout shows."""
    found = {}
    panels = json.loads(FOXGLOVE.read_text())['configById']
    for name, panel in panels.items():
        kind = name.split('!')[0]
        if kind == '3D':
            for topic in panel['topics']:
                found[topic] = {
                    'points': 'sensor_msgs/msg/PointCloud2',
                    'odometry': 'nav_msgs/msg/Odometry',
                    'path': 'nav_msgs/msg/Path',
                }[topic.rsplit('/', 1)[-1]]
        elif kind == 'Image':
            found[panel['imageMode']['imageTopic']] = 'sensor_msgs/msg/Image'
            found[panel['imageMode']['calibrationTopic']] = 'sensor_msgs/msg/CameraInfo'
        elif kind == 'Plot':
            for path in panel['paths']:
                found[path['value'].split('.')[0]] = 'da3_ros/msg/WindowReport'
        else:
            assert kind == 'DiagnosticSummary'
            found[panel['topicToRender']] = 'diagnostic_msgs/msg/DiagnosticArray'
    return found


def test_rviz_shows_everything_in_odom() -> None:
    text = RVIZ.read_text()
    assert set(shown(text)) == SHOWN
    for display in displays(text):
        assert ('Topic' in display) == (display['Class'] in TYPES)
        assert display['Class'] in TYPES or display['Class'] in WITHOUT_TOPIC
    options = yaml.safe_load(text)['Visualization Manager']['Global Options']
    assert options['Fixed Frame'] == 'odom'
    assert 'rviz_default_plugins/TF' in {d['Class'] for d in displays(text)}


def test_rviz_is_written_for_other_cameras_and_namespaces() -> None:
    text = for_cameras(RVIZ.read_text(), ['left', 'a/right'], '/robot/', 'world')
    expected = {f'/robot{topic}' for topic in SHOWN if 'front' not in topic}
    for camera in ('left', 'a/right'):
        expected |= {f'/robot/{camera}{t.removeprefix("/front")}' for t in SHOWN if 'front' in t}
    assert set(shown(text)) == expected
    assert {d['Name'] for d in displays(text)} >= {'left', 'left color', 'a/right color'}
    manager = yaml.safe_load(text)['Visualization Manager']
    assert manager['Global Options']['Fixed Frame'] == 'world'


def test_rviz_for_its_own_camera_is_the_file_itself() -> None:
    text = RVIZ.read_text()
    assert yaml.safe_load(for_cameras(text, ['front'], '', 'odom')) == yaml.safe_load(text)


def test_foxglove_shows_everything_in_odom_and_every_panel_has_a_place() -> None:
    layout = json.loads(FOXGLOVE.read_text())
    assert set(foxglove_topics()) >= SHOWN
    scene = next(p for name, p in layout['configById'].items() if name.startswith('3D!'))
    assert scene['followTf'] == 'odom'
    placed, left = set(), [layout['layout']]
    while left:
        part = left.pop()
        if isinstance(part, str):
            placed.add(part)
        else:
            left += [part['first'], part['second']]
    assert placed == set(layout['configById'])


@pytest.fixture(scope='module', name='robot')
def robot_fixture() -> Iterator[Any]:
    """Run a node with two cameras and give an observer of its graph."""
    from helpers.ros_rig import RosRobot

    words = ('model:=truth', 'cameras:=[front, left]')
    arguments = ('--ros-args', *(w for word in words for w in ('-p', word)))
    with (
        reserved_domain_id() as domain_id,
        RosProcess('da3_ros.ros.node.main', *arguments, domain_id=domain_id) as process,
    ):
        process.wait_for_line('ready')
        with RosRobot(domain_id, ['front']) as robot:
            robot.wait_for_node()
            robot.wait(lambda: robot.node.count_publishers('/diagnostics') > 0, 'all publishers')
            yield robot


@pytest.mark.ros
@pytest.mark.parametrize('cameras', [None, ['front', 'left']])
def test_rviz_reads_what_the_node_publishes(robot: Any, cameras: list[str] | None) -> None:
    from helpers.consumers import mismatches, profile

    text = RVIZ.read_text()
    if cameras:
        text = for_cameras(text, cameras, '', 'odom')
    wrong: list[str] = []
    for topic, display in shown(text).items():
        given = display['Topic']
        policies = (given['Reliability Policy'], given['Durability Policy'])
        reliability, durability = (p.lower().replace(' ', '_') for p in policies)
        wanted = profile(reliability, durability, given['Depth'])
        wrong += mismatches(robot.node, topic, TYPES[display['Class']], wanted)
    assert wrong == []
    # A path that was published before RViz came is shown when it asks for the last one.
    assert shown(text)['/path']['Topic']['Durability Policy'] == 'Transient Local'


@pytest.mark.ros
def test_foxglove_reads_what_the_node_publishes(robot: Any) -> None:
    from da3_ros.msg import WindowReport
    from helpers.consumers import mismatches, profile

    wrong: list[str] = []
    for topic, kind in foxglove_topics().items():
        wrong += mismatches(robot.node, topic, kind, profile('reliable'))
    assert wrong == []
    panels = json.loads(FOXGLOVE.read_text())['configById']
    fields = WindowReport.get_fields_and_field_types()
    for path in panels['Plot!da3_latency']['paths']:
        topic, field = path['value'].split('.')
        assert topic == '/window'
        assert fields[field] in ('float', 'double')
