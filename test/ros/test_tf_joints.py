"""Transforms out of bytes, against the middleware's own reader and the rules of tf2."""

from __future__ import annotations

from contextlib import suppress
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_msgs')
from geometry_msgs.msg import TransformStamped
from rclpy.serialization import deserialize_message, serialize_message
from tf2_msgs.msg import TFMessage

from da3_ros.errors import GeometryError
from da3_ros.ros.tf.joints import Joint, joint_of, joints_of

pytestmark = pytest.mark.ros
NAMES = st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=12)
NUMBERS = st.lists(st.floats(allow_nan=False), min_size=7, max_size=7)
STAMPS = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))
Given = tuple[str, str, tuple[int, int], list[float]]


def message(*given_joints: Given) -> TFMessage:
    transforms = []
    for parent, child, (sec, nanosec), numbers in given_joints:
        joint = TransformStamped(child_frame_id=child)
        joint.header.frame_id = parent
        joint.header.stamp.sec, joint.header.stamp.nanosec = sec, nanosec
        t, q = joint.transform.translation, joint.transform.rotation
        t.x, t.y, t.z, q.x, q.y, q.z, q.w = numbers
        transforms.append(joint)
    return TFMessage(transforms=transforms)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, STAMPS, NUMBERS), max_size=5))
def test_the_bytes_say_what_the_middleware_reads(joints: list[Given]) -> None:
    data = serialize_message(message(*joints))
    expected = [joint_of(t) for t in deserialize_message(data, TFMessage).transforms]
    assert joints_of(data) == expected
    for joint, (parent, child, (sec, nanosec), numbers) in zip(expected, joints, strict=True):
        assert joint.parent == parent.lstrip('/')
        assert joint.child == child.lstrip('/')
        assert joint.stamp_ns == sec * 10**9 + nanosec
        assert joint.values == tuple(numbers)


def test_the_other_order_of_bytes_is_read_too() -> None:
    head = struct.pack('>4BIiI', 0, 0, 0, 0, 1, 7, 9)
    names = struct.pack('>I4sI6s', 4, b'abc\0', 6, b'child\0')
    # Behind the names 28 + 2 bytes to the next multiple of eight.
    body = head + names
    body += b'\0' * (-(len(body) - 4) % 8)
    body += struct.pack('>7d', 1, 2, 3, 0, 0, 0, 1)
    assert joints_of(body) == [Joint('abc', 'child', 7_000_000_009, (1, 2, 3, 0, 0, 0, 1))]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 160))
def test_bytes_that_are_none_are_refused(noise: bytes, cut: int) -> None:
    whole = serialize_message(message(('map', 'odom', (1, 2), [0, 0, 0, 0, 0, 0, 1])))
    with pytest.raises(GeometryError, match='TFMessage'):
        joints_of(whole[: min(cut, len(whole) - 1)])
    # Anything else may happen to be a message, and raises nothing else.
    for data in (noise, b'\0\1\0\0' + noise):
        with suppress(GeometryError):
            joints_of(data)


@pytest.mark.parametrize(
    ('joint', 'words'),
    [
        (Joint('a', 'b', 1, (0, 0, 0, 0, 0, 0, 1)), ''),
        (Joint('a', 'b', 0, (0, 0, 0, 0, 0, 0, -1)), ''),
        (Joint('a', 'b', 1, (0, 0, 0, 0, 0, 0, 0)), 'not of length one'),
        (Joint('a', 'b', 1, (0, 0, 0, 0, 0, 0, 1.1)), 'not of length one'),
        (Joint('a', 'b', 1, (float('nan'), 0, 0, 0, 0, 0, 1)), 'not finite'),
        (Joint('a', 'b', 1, (0, 0, 0, float('inf'), 0, 0, 1)), 'not finite'),
        (Joint('a', 'a', 1, (0, 0, 0, 0, 0, 0, 1)), 'the same'),
        (Joint('', 'b', 1, (0, 0, 0, 0, 0, 0, 1)), "frame_id is ''"),
        (Joint('a', '', 1, (0, 0, 0, 0, 0, 0, 1)), "child_frame_id ''"),
    ],
)
def test_what_tf2_refuses_is_named(joint: Joint, words: str) -> None:
    """By TF_SELF_TRANSFORM, TF_NO_FRAME_ID, TF_NAN_INPUT, TF_DENORMALIZED_QUATERNION of tf2."""
    assert words in joint.fault
    assert bool(joint.fault) is bool(words)
