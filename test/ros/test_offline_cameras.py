"""Which topics of a recording are cameras, and which options go with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import logging
from pathlib import Path

import numpy as np
import pytest

from da3_ros.errors import ConfigError, SourceError
from da3_ros.options.choices import ImageTransport
from da3_ros.ros.offline.camera_topics import (
    COMPRESSED,
    IMAGE,
    INFO,
    CameraTopics,
    Content,
    TopicChooser,
    camera_name,
    content_of_encoding,
)
from da3_ros.ros.offline.cameras import Asked, choose_cameras, named_topics
from da3_ros.ros.offline.parameters import read_parameters
from da3_ros.ros.offline.tape import Tape
from da3_ros.sources.bag import TopicInfo
from helpers.raw_messages import START_NS, image, write_bag

ENCODINGS = {'/left/mono/image_rect': 'mono8', '/cam/depth/image_rect_raw': '16UC1'}


def chooser(topics: Mapping[str, str], transport: ImageTransport | None = None) -> TopicChooser:
    def content_of(info: TopicInfo) -> Content:
        return content_of_encoding(ENCODINGS.get(info.name, 'rgb8'))

    infos = [TopicInfo(name, msgtype, 9, False) for name, msgtype in topics.items()]
    return TopicChooser(infos, content_of, transport)


def found(topics: Mapping[str, str], transport: ImageTransport | None = None) -> dict[str, str]:
    return {one.camera: one.image for one in chooser(topics, transport).found()}


def test_what_looks_like_cameras_is_found() -> None:
    """Drivers of the field: RealSense, ZED, usb_cam, and what is no camera beside them."""
    topics = {
        '/cam/color/image_raw': IMAGE,
        '/cam/color/image_raw/compressed': COMPRESSED,
        '/cam/color/camera_info': INFO,
        '/cam/depth/image_rect_raw': IMAGE,
        '/cam/depth/image_rect_raw/compressedDepth': COMPRESSED,
        '/cam/aligned_depth_to_color/image_raw': IMAGE,
        '/left/mono/image_rect': IMAGE,
        '/zed/left/image_rect_color': IMAGE,
        '/zed/left/image_raw': IMAGE,
        '/zed/left/camera_info': INFO,
        '/zed/confidence/image': IMAGE,
        '/usb/image_raw/compressed': COMPRESSED,
        '/segmentation/mask': IMAGE,
        '/scan': 'sensor_msgs/msg/LaserScan',
    }
    ENCODINGS['/cam/aligned_depth_to_color/image_raw'] = '16UC1'
    assert found(topics) == {
        'cam/color': '/cam/color/image_raw',
        'usb': '/usb/image_raw/compressed',
        # Without distortion before with.
        'zed/left': '/zed/left/image_rect_color',
    }
    assert found(topics, 'compressed')['cam/color'] == '/cam/color/image_raw/compressed'
    infos = {one.camera: one.info for one in chooser(topics).found()}
    assert infos == {
        'cam/color': '/cam/color/camera_info',
        'usb': None,
        'zed/left': '/zed/left/camera_info',
    }
    assert found({'/left/mono/image_rect': IMAGE}) == {'left/mono': '/left/mono/image_rect'}


def test_our_own_outputs_are_no_cameras() -> None:
    own = ('color/image', 'depth/image', 'depth/debug', 'depth/confidence', 'depth/sky_mask')
    topics = {f'/front/{name}': IMAGE for name in own}
    assert found({**topics, '/front/image_raw': IMAGE}) == {'front': '/front/image_raw'}
    with pytest.raises(SourceError, match='no topic looks like'):
        found(topics)


def test_nothing_suitable_lists_what_there_is() -> None:
    theora = 'theora_image_transport/msg/Packet'
    topics = {'/front/image_raw/theora': theora, '/imu': 'sensor_msgs/msg/Imu'}
    asked: list[Callable[[], object]] = [
        chooser(topics).found,
        lambda: chooser(topics).named(named_topics(['front=/front/image_raw'])),
    ]
    for ask in asked:
        with pytest.raises(SourceError) as error:
            ask()
        assert 'packets of a video (theora_image_transport/msg/Packet)' in str(error.value)
        assert '/imu [sensor_msgs/msg/Imu]' in str(error.value)


def test_cameras_are_named_by_their_topics() -> None:
    for topic, name in (
        ('/front/image_raw', 'front'),
        ('/zed/left/image_rect/compressed', 'zed/left'),
        ('/image_raw', 'camera'),
        ('/robot/stereo', 'robot/stereo'),
    ):
        assert camera_name(topic) == name


def test_topics_that_are_named_are_taken() -> None:
    topics = {
        '/a/b/image': IMAGE,
        '/a/b/camera_info': INFO,
        '/c/image_raw/compressed': COMPRESSED,
        '/other/info': INFO,
        '/robot/front/image_raw': IMAGE,
        '/robot/front/camera_info': INFO,
    }
    named = named_topics(['f=/a/b/image', 'c=/c/image_raw', 'c.info=/other/info', '/a/b/image2'])
    assert list(named) == ['f', 'c', 'a/b/image2']
    one, two = chooser(topics).named({name: named[name] for name in ('f', 'c')})
    assert one == CameraTopics('f', '/a/b/image', False, '/a/b/camera_info')
    assert two == CameraTopics('c', '/c/image_raw/compressed', True, '/other/info')
    # By the name of the node alone, in whichever namespace it was recorded.
    (three,) = chooser(topics).named(named_topics(['front.info=/robot/front/camera_info']))
    assert three.image == '/robot/front/image_raw'
    for wrong, said in (
        (['x=/nothing'], 'expected images on /nothing'),
        (['x=/other/info'], 'expected images on /other/info'),
        (['x=/a/b/image', 'x.info=/nothing'], 'there is no topic /nothing'),
        (['x=/a/b/image', 'y=/a/b/image'], 'already that of camera x'),
    ):
        with pytest.raises(SourceError, match=said):
            chooser(topics).named(named_topics(wrong))
    for text in ('=/a', 'f=a', 'f', '7=/a', '.info=/a'):
        with pytest.raises(ConfigError, match='topic: '):
            named_topics([text])
    with pytest.raises(ConfigError, match='camera f has /a already'):
        named_topics(['f=/a', 'f=/b'])


@pytest.mark.parametrize(
    ('encoding', 'content'),
    [
        ('rgb8', Content.COLOUR),
        ('bayer_rggb16', Content.COLOUR),
        ('8UC3', Content.COLOUR),
        ('bgr8; jpeg compressed bgr8', Content.COLOUR),
        ('jpeg', Content.COLOUR),
        ('mono16', Content.GREY),
        ('8UC1', Content.GREY),
        ('16UC1', Content.OTHER),
        ('32FC1', Content.OTHER),
        ('16UC1; compressedDepth png', Content.OTHER),
        ('16UC1; png compressed', Content.OTHER),
    ],
)
def test_encodings_tell_pictures_from_depth(encoding: str, content: Content) -> None:
    assert content_of_encoding(encoding) is content


PARAMETERS = """
/**:
  ros__parameters:
    window: 2
    rig: {front: {base_from_camera: [1, 0, 0, 0, 0, 0, 1]}}
    max_depth_m: 20
robot:
  da3_node:
    ros__parameters:
      cameras: [front, left]
      window: 4
      rig.left.base_from_camera: [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 1.0]
      input.left.rotation_deg: 90
      input.back.rotation_deg: 90
      viewer: true
      model_dir: da3-base
      use_sim_time: true
      wheel_radius: 3
other_node:
  ros__parameters: {window: 9}
"""


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.zeros((4, 6, 3), np.uint8)
    names = ('/front/image_raw', '/left/image_raw')
    messages = [image(name, START_NS, pixels) for name in names]
    return write_bag(tmp_path_factory.mktemp('cameras') / 'in', messages)


def test_parameters_mean_what_they_mean_to_the_node(
    bag: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / 'p.yaml'
    path.write_text(PARAMETERS)
    with caplog.at_level(logging.INFO), Tape([bag]) as tape:
        cameras = choose_cameras(tape, Asked(params_file=path, options={'stride': 3}))
    options = cameras.options
    assert options.stream.cameras == ('front', 'left')
    assert (options.stream.window, options.stream.stride) == (4, 3)
    assert (options.output.max_depth_m, options.estimator.model) == (20.0, 'da3-base')
    places = {name: pose[:3, 3].tolist() for name, pose in cameras.rig.base_from_camera.items()}
    assert places == {'front': [1, 0, 0], 'left': [0, 2, 0]}
    assert {name: view.quarter_turns for name, view in cameras.views.items()} == {
        'front': 0,
        'left': 1,
    }
    said = caplog.text
    assert 'wheel_radius is no parameter' in said
    assert 'input.back.rotation_deg: no such camera' in said
    assert 'viewer has no effect' in said
    assert 'use_sim_time' not in said
    # The command line wins over the file.
    with Tape([bag]) as tape:
        asked = Asked(params_file=path, options={'window': 7, 'model': 'truth'})
        options = choose_cameras(tape, asked).options
    assert (options.stream.window, options.estimator.model) == (7, 'truth')


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ('other: {ros__parameters: {window: 1}}', 'expected a section'),
        ('[1, 2]', 'expected a section'),
        ('/**: {ros__parameters: {window: many}}', 'window: expected int'),
        ('/**: {ros__parameters: {window: 2, stride: 3}}', 'stride: 3 is more than window'),
        (
            '/**: {ros__parameters: {rig: {front: {base_from_camera: [1]}}}}',
            'rig.front.base_from_camera: expected seven',
        ),
        ('/**: {ros__parameters: {input: {left: {crop_px: [1]}}}}', 'input.left.crop_px'),
        ('/**: {ros__parameters: {cameras: [back]}}', 'camera back: expected images'),
        ('/**: {ros__parameters: {cameras: front}}', "cameras: expected a list.*got 'front'"),
        (
            '/a/da3_node: {ros__parameters: {window: 2}}\nb/da3_node: {ros__parameters: {}}',
            'parameters of one da3_node, it has /a/da3_node, /b/da3_node',
        ),
    ],
)
def test_wrong_parameters_are_refused(bag: Path, tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / 'p.yaml'
    path.write_text(content)
    with Tape([bag]) as tape, pytest.raises((ConfigError, SourceError), match=said):
        choose_cameras(tape, Asked(params_file=path))


def test_a_rig_file_names_topics_places_and_parameters(bag: Path, tmp_path: Path) -> None:
    rig = tmp_path / 'rig.yaml'
    rig.write_text(
        'cameras:\n'
        '  eye: {image: /front/image_raw, base_from_camera: {xyz: [0, 0, 3]}}\n'
        '  left: {rotation_deg: 180}\n'
        'parameters: {window: 5}\n'
    )
    with Tape([bag]) as tape:
        cameras = choose_cameras(tape, Asked(rig_file=rig))
        assert [one.image for one in cameras.topics] == ['/front/image_raw', '/left/image_raw']
        assert cameras.rig.base_from_camera['eye'][2, 3] == 3
        assert cameras.views['left'].quarter_turns == 2
        assert cameras.options.stream.window == 5
        with pytest.raises(ConfigError, match='no such camera back'):
            choose_cameras(tape, Asked(rig_file=rig, topics=['back=/left/image_raw']))
        cameras = choose_cameras(tape, Asked(topics=['/left/image_raw']))
        assert cameras.options.stream.cameras == ('left',)
        found = choose_cameras(tape, Asked())
        assert found.options.stream.cameras == ('front', 'left')
        assert found.were_found


def test_every_section_of_a_file_that_is_meant_counts(tmp_path: Path) -> None:
    path = tmp_path / 'p.yaml'
    for key in ('da3_node', '/da3_node', '/robot/da3_node', '"/**/da3_node"', '"/**"'):
        path.write_text(f'{key}:\n  ros__parameters:\n    stride: 2\n')
        assert read_parameters(path).options == {'stride': 2}
    path.write_text(
        'da3_node: {ros__parameters: {window: 4}}\n/da3_node: {ros__parameters: {stride: 2}}\n'
    )
    assert read_parameters(path).options == {'window': 4, 'stride': 2}


def test_what_is_no_parameter_of_a_camera_is_named(
    bag: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / 'p.yaml'
    path.write_text('/**: {ros__parameters: {rig.front.pose: [1.0], input.back.crop_px: [1]}}')
    with Tape([bag]) as tape:
        choose_cameras(tape, Asked(params_file=path))
    assert 'parameter rig.front.pose: no parameter of the node; ignored' in caplog.text
    assert 'parameter input.back.crop_px: no such camera; there is front, left' in caplog.text
