"""`da3 synthesize` and `da3 bag-from-video`: what lies in the bags they make."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from da3_ros.cli.main import app
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.sources.bag import BagReader, RawMessage
from da3_ros.sources.video import VIDEO_START_NS
from da3_ros.synthetic import START_NS, make_family_world
from da3_ros.synthetic.wheels import odom_from_base
from helpers.raw_messages import STORE
from helpers.rounding import assert_equal_pictures, assert_equal_to_rounding

SMALL = ('--seconds', '0.4', '--rate', '5', '--size', '64x48', '--seed', '3')


def da3(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def by_topic(path: Path) -> dict[str, list[RawMessage]]:
    grouped: dict[str, list[RawMessage]] = {}
    with BagReader(path) as bag:
        for message in bag.messages():
            grouped.setdefault(message.topic, []).append(message)
    return grouped


def decode(message: RawMessage) -> Any:
    return STORE.deserialize_cdr(message.data, message.msgtype)


@pytest.mark.parametrize('name', ['out.mcap', 'out.db3', 'out'])
def test_synthesize_writes_the_world(tmp_path: Path, name: str) -> None:
    output = da3('synthesize', tmp_path / name, *SMALL)
    assert '2 instants' in output
    topics = by_topic(tmp_path / name)
    expected = {'/tf_static', '/tf', '/truth/odometry'}
    for camera in ('front', 'left', 'right'):
        expected |= {f'/{camera}/image_raw', f'/{camera}/camera_info', f'/truth/{camera}/depth'}
    assert set(topics) == expected
    world = make_family_world(3, ImageSize(48, 64))
    stamps = [START_NS, START_NS + 200_000_000]
    assert [m.stamp_ns for m in topics['/left/image_raw']] == stamps
    second = topics['/left/image_raw'][1]
    view = world.render('left', stamps[1])
    assert_equal_pictures(decode(second).data, view.image.reshape(-1))
    assert decode(second).header.frame_id == 'left_optical_frame'
    info = decode(topics['/left/camera_info'][1])
    np.testing.assert_array_equal(info.k.reshape(3, 3), view.camera.K)
    depth = decode(topics['/truth/left/depth'][1])
    assert (depth.height, depth.width) == (24, 32)
    assert_equal_to_rounding(
        depth.data.view('<f4').reshape(24, 32), world.depth('left', stamps[1], ImageSize(24, 32))
    )
    pose = decode(topics['/truth/odometry'][1]).pose.pose
    truth = world.world_from_base(stamps[1])
    p, q = pose.position, pose.orientation
    assert_equal_to_rounding([p.x, p.y, p.z], truth[:3, 3])
    np.testing.assert_allclose(
        matrix_from_quaternion_xyzw([q.x, q.y, q.z, q.w]), truth[:3, :3], atol=1e-12
    )
    (wheels,) = decode(topics['/tf'][1]).transforms
    assert (wheels.header.frame_id, wheels.child_frame_id) == ('odom', 'base_link')
    shift = wheels.transform.translation
    assert_equal_to_rounding([shift.x, shift.y, shift.z], odom_from_base(world, stamps[1])[:3, 3])
    (rig,) = topics['/tf_static']
    assert {t.child_frame_id for t in decode(rig).transforms} == {
        f'{camera}_optical_frame' for camera in ('front', 'left', 'right')
    }


def test_synthesize_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        da3('synthesize', tmp_path / name / 'out.mcap', *SMALL)
    a, b = ((tmp_path / name / 'out.mcap').read_bytes() for name in ('a', 'b'))
    assert a == b


def test_synthesize_by_choice(tmp_path: Path) -> None:
    choices = ('--compressed', '--no-truth', '--no-odometry', '--cameras', 'back')
    da3('synthesize', tmp_path / 'out', *SMALL, *choices)
    assert set(by_topic(tmp_path / 'out')) == {
        '/back/image_raw/compressed',
        '/back/camera_info',
        '/tf_static',
    }


@pytest.mark.parametrize('bad', [('--size', '64'), ('--size', '0x4'), ('--rate', '0')])
def test_synthesize_refuses_what_makes_no_recording(tmp_path: Path, bad: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, ['synthesize', str(tmp_path / 'out.mcap'), *bad])
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / 'in.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for index in range(20):
            picture = np.full((48, 64, 3), 10 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_video_becomes_a_camera(tmp_path: Path, video: Path) -> None:
    output = da3('bag-from-video', video, tmp_path / 'out.mcap', '--camera', 'eye')
    assert 'no CameraInfo' in output
    topics = by_topic(tmp_path / 'out.mcap')
    assert set(topics) == {'/eye/image_raw'}
    images = [decode(message) for message in topics['/eye/image_raw']]
    assert [m.stamp_ns - VIDEO_START_NS for m in topics['/eye/image_raw']] == [
        i * 100_000_000 for i in range(20)
    ]
    np.testing.assert_allclose([i.data.mean() for i in images], 10 * np.arange(20), atol=4)
    assert {(i.height, i.width, i.encoding) for i in images} == {(48, 64, 'rgb8')}


def test_a_video_by_choice(tmp_path: Path, video: Path) -> None:
    da3(
        *('bag-from-video', video, tmp_path / 'out.db3', '--fov-deg', '90', '--max-side', '32'),
        *('--rate', '5', '--seconds', '1', '--compressed'),
    )
    topics = by_topic(tmp_path / 'out.db3')
    assert {topic: len(messages) for topic, messages in topics.items()} == {
        '/camera/image_raw/compressed': 5,
        '/camera/camera_info': 5,
    }
    info = decode(topics['/camera/camera_info'][0])
    assert (info.height, info.width) == (24, 32)
    np.testing.assert_allclose(info.k, [16, 0, 15.5, 0, 16, 11.5, 0, 0, 1])
