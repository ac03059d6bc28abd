"""Transforms out of recordings: what they answer, and how far they are read for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.notes import joined
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.tf.claims import TransformClaims
from da3_ros.ros.tf.rig_source import RigSource
from da3_ros.sources.bag import RawMessage
from da3_ros.synthetic.world import make_world
from da3_ros.types import FrameSet, PosedSet, PosePrior, RigCalibration
from helpers.posed_results import posed_set
from helpers.recorded_tf import (
    MS,
    OPTICAL,
    START_NS,
    Array,
    Moving,
    Recording,
    fixed,
    messages_of,
    random_tree,
    recorded,
)
from helpers.stream_builders import frame

WAIT_S = 0.1
STEP_NS = MS
OPTIONS = replace(
    OutputOptions(), odom_frame='da3', prior_frame='odom', publish_tf=False, tf_wait_s=WAIT_S
)
NO_RIG = RigCalibration()
WORLD = make_world()
RIG = WORLD.rig.calibration
POSED = posed_set(WORLD, START_NS, ImageSize(8, 10))


def shift(x: float, y: float = 0.0) -> Array:
    return rigid(np.eye(3), [x, y, 0.0])


def frames(stamp_ns: int, *cameras: str) -> FrameSet:
    names = cameras or ('front',)
    return FrameSet(stamp_ns, tuple(frame(camera, stamp_ns) for camera in names))


def prior_of(source: RigSource, frame_set: FrameSet) -> PosePrior:
    prior = source.prior(frame_set)
    assert prior is not None
    return prior


# ---- laws over any tree


def above(tree: dict[str, Moving], child: str) -> list[Moving]:
    chain = []
    while child in tree:
        chain.append(tree[child])
        child = tree[child].parent
    return chain


def between(tree: dict[str, Moving], a: str, b: str, stamp_ns: int) -> tuple[Array, list[Moving]]:
    """Return a_from_b by the definition of the joints, and those that lead there."""
    poses, chains = [], [above(tree, a), above(tree, b)]
    for chain in chains:
        pose = np.eye(4)
        for joint in chain:
            pose = joint.at(stamp_ns) @ pose
        poses.append(pose)
    leading = [j for chain in chains for j in chain if not (j in chains[0] and j in chains[1])]
    return invert(poses[0]) @ poses[1], leading


def recorded_by(leading: list[Moving], stamp_ns: int) -> int:
    """Return the log time at which all joints are known for a stamp."""
    found = 0
    for joint in leading:
        if not joint.is_fixed:
            first = int(np.searchsorted(joint.stamps_ns, stamp_ns))
            found = max(found, joint.logs_ns[first])
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_pose_is_right_and_nothing_is_read_that_is_not_needed(seed: int) -> None:
    random = np.random.default_rng(seed)
    tree = random_tree(random)
    moving, static = (messages_of(tree, is_fixed) for is_fixed in (False, True))
    # Without an odometry /tf is kept once it leads to a camera.
    follows = bool(random.integers(2))
    options = replace(OPTIONS, prior_frame='odom' if follows else '')
    tape = Recording(options, moving, static, start_ns=START_NS)
    source = RigSource(options, NO_RIG, tape.tf)
    # The first second is read in any case.
    tape.tf.read()
    stamps_ns = random.integers(START_NS + 900 * MS, START_NS + 1700 * MS, 12)
    for stamp_ns in sorted(stamps_ns.tolist()):
        # An image that comes late needs no waiting.
        log_ns = max(tape.now_ns, stamp_ns + int(random.integers(0, 400)) * MS)
        tape.play_to(log_ns)
        before_ns, latest_ns = tape.read_ns, log_ns + round(WAIT_S * 1e9)
        prior = prior_of(source, frames(stamp_ns, *OPTICAL))
        needed_ns = log_ns
        targets = {'base_link': prior.base_from_camera}
        if follows:
            targets['odom'] = prior.odometry_from_camera
        for target, found in targets.items():
            for camera, below in OPTICAL.items():
                pose, leading = between(tree, target, below, stamp_ns)
                by_ns = recorded_by(leading, stamp_ns)
                needed_ns = max(needed_ns, by_ns)
                assert (camera in found) is (by_ns <= tape.read_ns)
                assert camera in found or by_ns > latest_ns
                if camera in found:
                    np.testing.assert_allclose(found[camera], pose, atol=1e-9)
        assert tape.read_ns <= max(before_ns, min(needed_ns + STEP_NS, latest_ns))


# ---- waiting


def odometry(stamps_ns: Iterable[int], late_ns: int = 0, lap_ns: int = 0) -> list[RawMessage]:
    """Return odom to base_link, at 1 m/s along x from `START_NS` on.

    Args:
        stamps_ns: of the transforms.
        late_ns: how much later they are recorded.
        lap_ns: this is added to the log time only.
    """
    return [
        recorded(t + late_ns + lap_ns, t, ('odom', 'base_link', shift((t - START_NS) / 1e9)))
        for t in stamps_ns
    ]


def every(period_ms: int, begin_ms: int, end_ms: int) -> range:
    return range(START_NS + begin_ms * MS, START_NS + end_ms * MS, period_ms * MS)


AHEAD = rigid(BODY_FROM_OPTICAL[:3, :3], [0.0, 0.1, 0.0])
FRONT = fixed(START_NS, ('base_link', OPTICAL['front'], AHEAD))


def test_an_odometry_that_ended_is_looked_for_every_time_and_no_further_than_that() -> None:
    tape = Recording(OPTIONS, odometry(every(20, 0, 400)), [FRONT], start_ns=START_NS)
    tape.tf.read()
    source = RigSource(OPTIONS, NO_RIG, tape.tf)
    for stamp_ns in every(33, 1000, 1500):
        tape.play_to(stamp_ns)
        prior = prior_of(source, frames(stamp_ns))
        assert 'older than the image' in joined(prior.notes)
        assert set(prior.base_from_camera) == {'front'}
        assert tape.read_ns <= stamp_ns + WAIT_S * 1e9


def test_where_waiting_is_free_a_transform_is_not_missed_for_those_before() -> None:
    """The node waits for no joint twice that stays behind; here every image has its own wait."""
    late = odometry([START_NS + 800 * MS, START_NS + 1400 * MS], late_ns=180 * MS)
    tape = Recording(OPTIONS, late, [FRONT], start_ns=START_NS)
    tape.tf.read()
    source = RigSource(OPTIONS, NO_RIG, tape.tf)
    found = []
    for stamp_ns in every(50, 1200, 1400):
        tape.play_to(stamp_ns + 140 * MS)
        found.append(bool(prior_of(source, frames(stamp_ns)).odometry_from_camera))
    # Recorded at 1580 ms: within 100 ms of the last image, at 1490 ms, and of no other.
    assert found == [False, False, False, True]


def test_without_tf_nothing_is_read_ahead() -> None:
    options = replace(OPTIONS, publish_tf='auto')
    tape = Recording(options, [], [FRONT], start_ns=START_NS)
    source = RigSource(options, NO_RIG, tape.tf)
    assert set(source.wait_for_rig(OPTICAL, 1.0).base_from_camera) == {'front'}
    assert source.prior(frames(START_NS)) is not None
    assert tape.read_ns == START_NS


def test_a_rig_on_tf_is_waited_for_as_by_the_node() -> None:
    options = replace(OPTIONS, prior_frame='')
    head = recorded(START_NS + 1700 * MS, START_NS, ('base_link', 'head', shift(0.3)))
    late = recorded(START_NS + 5000 * MS, START_NS, ('base_link', 'body', shift(0.3)))
    camera = fixed(START_NS, ('head', OPTICAL['front'], shift(0.0)))
    tape = Recording(options, [head, late], [camera], start_ns=START_NS)
    tape.tf.read()
    tape.play_to(START_NS + 1000 * MS)
    source = RigSource(options, NO_RIG, tape.tf)
    rig = source.wait_for_rig({'front': OPTICAL['front']}, 1.0).base_from_camera
    np.testing.assert_allclose(rig['front'], shift(0.3), atol=1e-12)
    assert tape.read_ns <= START_NS + 1700 * MS + STEP_NS


# ---- several bags, and time that goes back


def test_a_fixed_frame_is_known_from_the_start_and_moves_when_that_was_recorded() -> None:
    """As in the bags of two days, between which a camera was mounted elsewhere."""
    camera, day_ns = OPTICAL['front'], 86_400_000 * MS
    static = [
        fixed(START_NS + 900 * MS, ('base_link', camera, shift(0.1))),
        # The same again is nothing new.
        fixed(START_NS + day_ns, ('base_link', camera, shift(0.1))),
        fixed(START_NS + day_ns + 500 * MS, ('base_link', camera, shift(0.2))),
    ]
    tape = Recording(replace(OPTIONS, prior_frame=''), [], static, start_ns=START_NS)
    source = RigSource(OPTIONS, NO_RIG, tape.tf)
    for log_ns, x in ((0, 0.1), (day_ns, 0.1), (day_ns + 500 * MS, 0.2), (2 * day_ns, 0.2)):
        tape.play_to(START_NS + log_ns)
        rig = source.rig({'front': camera}).base_from_camera
        np.testing.assert_allclose(rig['front'], shift(x), atol=1e-12)
    assert not tape.reasons.found()


def test_stamps_that_jump_back_begin_anew() -> None:
    """A bag of a simulation that was started twice, or that was played in a loop."""
    lap_ns = 3000 * MS
    moving = [m for lap in range(3) for m in odometry(every(20, 0, 3000), lap_ns=lap * lap_ns)]
    tape = Recording(OPTIONS, moving, [FRONT], start_ns=START_NS)
    source = RigSource(OPTIONS, NO_RIG, tape.tf)
    for lap in range(3):
        for stamp_ns in every(100, 100, 2900):
            tape.play_to(stamp_ns + lap * lap_ns)
            found = prior_of(source, frames(stamp_ns)).odometry_from_camera
            seconds = (stamp_ns - START_NS) / 1e9
            np.testing.assert_allclose(found['front'], shift(seconds) @ AHEAD, atol=1e-9)
    (found_reason,) = tape.reasons.found()
    assert (found_reason.reason, found_reason.count) == (Reason.TF_CLOCK, 2)


def test_a_gap_in_the_recording_is_no_jump_of_a_clock() -> None:
    stamps = [*every(20, 0, 1000), *every(20, 3_600_000, 3_601_000)]
    tape = Recording(OPTIONS, odometry(stamps), [FRONT], start_ns=START_NS)
    source = RigSource(OPTIONS, NO_RIG, tape.tf)
    for stamp_ns in (START_NS + 500 * MS, START_NS + 3_600_000 * MS):
        tape.play_to(stamp_ns)
        assert prior_of(source, frames(stamp_ns)).odometry_from_camera
    assert not tape.reasons.found()


def test_a_loop_is_over_when_nobody_has_published_it_for_long() -> None:
    loop = [
        recorded(t, t, ('body', 'head', shift(0.1)), ('head', 'body', shift(0.1)))
        for t in every(100, 0, 500)
    ]
    tape = Recording(OPTIONS, loop, start_ns=START_NS)
    for seconds, holds in ((1, True), (4, True), (7, False)):
        tape.play_to(START_NS + seconds * 1000 * MS)
        tape.tf.read()
        assert {a.reason for a in tape.reasons.active()} == ({Reason.TF_LOOP} if holds else set())


# ---- what goes out


def base_set(stamp_ns: int) -> PosedSet:
    view = POSED.views[0]
    return replace(POSED, stamp_ns=stamp_ns, views=(view,))


def test_who_publishes_in_the_first_second_is_known_before_anything_goes_out() -> None:
    options = replace(OPTIONS, publish_tf='auto', odom_frame='odom', prior_frame='')
    for begins_ms, is_left_to_it in ((900, True), (1100, False)):
        tape = Recording(options, odometry(every(20, begins_ms, 3000)), start_ns=START_NS)
        claims = TransformClaims(options, tape.tf)
        sent = claims.of_set(base_set(START_NS), RIG)
        assert [claim.child for claim in sent] == ([] if is_left_to_it else ['base_link'])
        assert tape.read_ns == START_NS + 1000 * MS
        tape.play_to(START_NS + 1500 * MS)
        assert claims.of_set(base_set(START_NS + 1500 * MS), RIG) == []
        # Five seconds of log time after it ended.
        tape.play_to(START_NS + 8100 * MS)
        claims.tick()
        (sent_later,) = claims.of_set(base_set(START_NS + 8100 * MS), RIG)
        assert (sent_later.parent, sent_later.child) == ('odom', 'base_link')
        assert any('this node publishes odom to base_link from the next' in s for s in tape.lines)
