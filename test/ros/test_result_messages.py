"""Messages of results made without ROS: their bytes, which there are, and how they go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from rclpy.serialization import deserialize_message

from da3_ros.errors import ConfigError, StreamError
from da3_ros.geometry.camera import ImageSize
from da3_ros.options import NodeOptions
from da3_ros.options.outputs import OUTPUTS, OutputChoice
from da3_ros.ros.messages.message_types import message_class
from da3_ros.ros.offline.result_messages import TF_STATIC_TOPIC, ResultMessages
from da3_ros.ros.tf.claims import TransformClaim
from da3_ros.sinks.data_bytes import DataTemplate
from da3_ros.sinks.messages import RecordedMessages
from da3_ros.types import RigCalibration, WindowResult
from helpers.allocations import most_memory
from helpers.posed_results import drive
from helpers.recorded_results import CAMERAS, FRAME_IDS, LOSSES, RESULTS, WORLD, maker, messages_of

pytestmark = pytest.mark.ros


@pytest.mark.parametrize('frame_id', ['', 'o', 'odo', 'map_1', 'robot/front_optical', 'örtlich'])
@pytest.mark.parametrize('stamp_ns', [1, 1_700_000_000_999_999_999, -1])
def test_bytes_are_those_of_the_whole_message(frame_id: str, stamp_ns: int) -> None:
    """Names of every length: what follows them is aligned in another way each time."""
    make, rng = RecordedMessages(), np.random.default_rng(0)
    head = make.header(stamp_ns, frame_id)
    grey = rng.integers(0, 256, (3, 5), dtype=np.uint8)
    for pixels, encoding in (
        (grey, 'mono8'),
        (rng.random((4, 3), np.float32), '32FC1'),
        (rng.integers(0, 9, (2, 7), dtype=np.uint16), '16UC1'),
        # Not in one piece, as what is cut out of a picture.
        (rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)[1:4, 2:], 'rgb8'),
    ):
        size, step = pixels.shape[:2], pixels[0].nbytes
        empty = make.image_of_bytes(make.header(0, frame_id), size, encoding, step)
        data = DataTemplate.of(make.serialize(empty)).filled(stamp_ns, pixels)
        assert data == make.serialize(make.image(head, pixels, encoding))
        image = deserialize_message(data, message_class('sensor_msgs/msg/Image'))
        assert bytes(image.data) == pixels.tobytes()
    points = rng.random((2, 3, 5), np.float32)
    cloud = make.cloud(head, 'abcde', (2, 3), is_dense=True)
    cloud.header = make.header(0, frame_id)
    data = DataTemplate.of(make.serialize(cloud), 1).filled(stamp_ns, points)
    cloud.header, cloud.data = head, points.reshape(-1).view(np.uint8)
    assert data == make.serialize(cloud)


def test_equal_results_give_equal_bytes() -> None:
    first, second = (messages_of(maker(), RESULTS) for _ in range(2))
    assert first == second
    slower = [replace(result, estimate_s=9.0) for result in RESULTS]
    assert messages_of(maker(), slower) == first


def test_of_an_image_one_copy_is_made() -> None:
    """That is the message itself."""
    size = ImageSize(240, 320)
    [result] = drive(WORLD, 1, size)
    images = {v.id: v.image for s in result.new_sets for v in s.views}
    made = maker(outputs='depth,color,confidence')

    def largest() -> None:
        for _ in made.of_window(replace(result, images=images), LOSSES, RigCalibration()):
            pass

    largest()
    assert most_memory(largest) < 2.5 * 4 * size.height * size.width


# ---- what is asked for

OF_CAMERAS = {
    'depth': ('depth/image',),
    'camera_info': ('depth/camera_info',),
    'confidence': ('depth/confidence',),
    'color': ('color/image', 'color/camera_info'),
    'camera_points': ('points',),
    'debug': ('depth/debug',),
    'sky_mask': ('depth/sky_mask',),
}
OF_ALL = {'tf': '/tf', 'odometry': '/odometry', 'points': '/points', 'window': '/window'}


@pytest.mark.parametrize('output', OUTPUTS)
def test_an_output_is_written_where_it_is_asked_for_and_no_other(output: str) -> None:
    expected = {f'/{c}/{name}' for c in CAMERAS for name in OF_CAMERAS.get(output, ())}
    expected |= {OF_ALL[output]} if output in OF_ALL else set()
    everything = {m[:2]: m[2] for m in messages_of(maker(), RESULTS[:1])}
    alone = {m[:2]: m[2] for m in messages_of(maker(outputs=output), RESULTS[:1])}
    assert {topic for topic, _ in alone} == expected
    assert alone.items() <= everything.items()


def test_without_being_asked_clouds_of_cameras_and_pictures_are_left_out() -> None:
    names = OutputChoice().names
    assert set(OUTPUTS) - names == {'camera_points', 'debug', 'sky_mask'}
    assert OutputChoice('all').names == set(OUTPUTS)
    assert OutputChoice(' depth , tf').names == {'depth', 'tf'}
    for outputs in ('', ' , ', 'depth,dept', 'all,depth'):
        with pytest.raises(ConfigError, match='outputs: expected some of depth, camera_info'):
            OutputChoice(outputs)


def test_views_without_confidence_and_sky_have_no_such_images() -> None:
    [posed] = RESULTS[0].new_sets
    views = tuple(replace(view, confidence=None, sky=None) for view in posed.views)
    result = replace(RESULTS[0], new_sets=(replace(posed, views=views),))
    topics = {m[0] for m in messages_of(maker(outputs='confidence,sky_mask,depth'), [result])}
    assert topics == {f'/{camera}/depth/image' for camera in CAMERAS}


def test_a_camera_may_have_an_absolute_name() -> None:
    [posed] = RESULTS[0].new_sets
    view = posed.views[0]
    key = replace(view.id, camera='/robot/eye')
    result = replace(
        RESULTS[0],
        new_sets=(replace(posed, views=(replace(view, id=key),)),),
        images={key: RESULTS[0].images[view.id]},
    )
    assert messages_of(maker(outputs='depth'), [result])[0][0] == '/robot/eye/depth/image'


# ---- transforms


class Claims:
    """Claims one transform, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.found: list[TransformClaim] | None = [
            TransformClaim('odom', 'base', np.eye(4), 7, 'base', 'publish_tf', True)
        ]

    def of_set(self, *args: object) -> Any:
        self.asked.append('set')
        return self.found or []

    def of_rig(self, *args: object) -> Any:
        self.asked.append('rig')
        return self.found

    def tick(self) -> Any:
        self.asked.append('tick')
        return self.found


def test_what_goes_out_is_asked_before_messages_are_made() -> None:
    """Which depends on how far a recording has been read; messages are made by another thread."""
    claims: Any = Claims()
    made = ResultMessages(NodeOptions(), OutputChoice('tf'), claims)
    given = [
        made.of_window(RESULTS[0], LOSSES, RigCalibration()),
        made.of_rig(RigCalibration(), FRAME_IDS),
        made.of_tick(),
    ]
    assert claims.asked == ['set', 'rig', 'tick']
    claims.found = None
    assert [topic for one in given for topic, _, _ in one] == ['/tf', '/tf_static', '/tf_static']
    assert list(made.of_window(RESULTS[1], LOSSES, RigCalibration())) == []
    assert list(made.of_rig(RigCalibration(), FRAME_IDS)) == []
    # That nothing is latched any more is a message, too.
    claims.found = []
    [(topic, msgtype, data)] = made.of_tick()
    assert topic == TF_STATIC_TOPIC
    assert deserialize_message(data, message_class(msgtype)).transforms == []
    unwanted = ResultMessages(NodeOptions(), OutputChoice('depth'), claims)
    claims.asked.clear()
    assert [*unwanted.of_rig(RigCalibration(), FRAME_IDS), *unwanted.of_tick()] == []
    assert claims.asked == []


# ---- from one process to the next


@pytest.mark.parametrize('after', range(5))
def test_from_a_state_it_goes_on_with_the_same_bytes(after: int) -> None:
    results = RESULTS[:3] + drive_on(RESULTS[2:3]) + RESULTS[3:]
    whole, begun, resumed = (maker(outputs='odometry') for _ in range(3))
    expected = messages_of(whole, results)
    before = messages_of(begun, results[:after])
    resumed.restore(begun.state())
    assert before + messages_of(resumed, results[after:]) == expected
    assert resumed.state() == whole.state()
    with pytest.raises(StreamError):
        resumed.restore(begun.state()[:-1])


def drive_on(results: Sequence[WindowResult]) -> list[WindowResult]:
    """Return windows once more, a second later and placed with a residual."""
    found = []
    for result in results:
        sets = tuple(replace(s, stamp_ns=s.stamp_ns + 10**9) for s in result.new_sets)
        alignment = replace(result.alignment, translation_residual=0.1, rotation_residual_rad=0.02)
        found.append(replace(result, new_sets=sets, alignment=alignment))
    return found


def test_a_new_world_begins_without_velocity_and_uncertainty() -> None:
    made = messages_of(maker(outputs='odometry'), RESULTS)
    first, *_, last = (
        deserialize_message(data, message_class(msgtype)) for _, msgtype, data in made
    )
    assert last.twist.twist == first.twist.twist
    assert last.twist.covariance[0] == 1e6
