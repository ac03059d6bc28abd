"""What goes out of a recording is what the node sends: one rule, on two clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_msgs')

from da3_ros.options import OutputOptions
from da3_ros.ros.tf import listener
from da3_ros.ros.tf.claims import TransformClaim, TransformClaims
from helpers.recorded_tf import START_NS, Recording, fixed, recorded
from helpers.tf_bench import FRAMES, NO_RIG, POSED, RIG, UP, Bench, KeepingNode, Sent, keeping_node

pytestmark = pytest.mark.ros
NAMES = ('map', 'odom', 'base_footprint', 'base_link', *FRAMES.values(), 'camera_link')
JOINTS = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.booleans())


@pytest.fixture(name='node', scope='module')
def node_fixture() -> Iterator[KeepingNode]:
    with keeping_node() as node:
        yield node


# In log time as in that of the node, five seconds are never met exactly.
PAUSES_S = st.integers(1, 28).map(lambda n: 0.7 * n)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(PAUSES_S, JOINTS, st.booleans()), max_size=7),
    st.sampled_from(['auto', True, False]),
)
def test_a_recording_has_sent_what_the_node_sends(
    node: KeepingNode, events: list[tuple[float, tuple[str, str, bool], bool]], switch: Any
) -> None:
    """Whatever others published, and however long ago: one rule, on two clocks."""
    switches = {'publish_tf': switch, 'publish_map_tf': 'auto'}
    with pytest.MonkeyPatch.context() as patch:
        # A recording does not wait by chance.
        patch.setattr(listener, 'MOST_PATIENCE_S', 0.0)
        bench = Bench(node, **switches)
    begin_s = bench.now_s
    bench.rig_sent.clear()
    static, moving = [], []
    log_ns = begin_ns = START_NS + 1_100_000_000
    for pause_s, (a, b, is_fixed), _ in events:
        log_ns += round(pause_s * 1e9)
        if is_fixed:
            # Known from the start in a recording, so that the node hears it then.
            static.append(fixed(START_NS, (a, b, UP)))
            bench.tf.take_static(static[-1].data)
        else:
            moving.append(recorded(log_ns, log_ns, (a, b, np.eye(4))))
    options = replace(OutputOptions(), **switches)
    tape = Recording(options, moving, static, start_ns=START_NS)
    tape.tf.read()
    claims = TransformClaims(options, tape.tf)
    latched: list[list[TransformClaim]] = []
    log_ns = begin_ns
    for pause_s, _, has_rig in events:
        log_ns += round(pause_s * 1e9)
        tape.play_to(log_ns)
        bench.now_s = begin_s + (log_ns - START_NS) / 1e9
        while moving and moving[0].stamp_ns <= log_ns:
            bench.tf.take(moving.pop(0).data)
        bench.publisher.publish_rig(RIG, FRAMES)
        bench.publisher.tick()
        anew = (claims.of_rig(RIG, FRAMES), claims.tick())
        latched += [found for found in anew if found is not None]
        rig = RIG if has_rig else NO_RIG
        assert_same(claims.of_set(POSED, rig), bench.sent(rig))
    for ours, theirs in zip(latched, bench.rig_sent, strict=True):
        assert_same(ours, theirs)


def assert_same(claims: list[TransformClaim], sent: Sent) -> None:
    assert {(c.parent, c.child) for c in claims} == set(sent)
    for claim in claims:
        np.testing.assert_allclose(claim.pose, sent[claim.parent, claim.child], atol=1e-9)
