"""Who publishes a frame, without middleware and without waiting: laws over any events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import pytest

from da3_ros.ros.tf.frame_tree import GONE_AFTER_S, FrameTree
from da3_ros.ros.tf.joints import Joint
from da3_ros.ros.tf.ownership import LISTENS_S, SentTransforms, TransformOwnership

BASE = 'base_link'
# What happens: some seconds pass, or another node publishes the frame on /tf.
EVENTS = st.lists(st.one_of(st.floats(0.01, 8.0), st.just('foreign')), max_size=40)


class Watch:
    """A tree and its owner under a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.tree = FrameTree(lambda: self.now_s)
        self.ownership = TransformOwnership(self.tree, lambda: self.now_s)

    def may_publish(self) -> bool:
        return self.ownership.may_publish(BASE, 'auto')


@given(EVENTS)
def test_nothing_is_sent_within_five_seconds_of_another_publisher(
    events: list[float | str],
) -> None:
    watch = Watch()
    watch.ownership.activate()
    began_s, last_s = watch.now_s, float('-inf')
    for event in events:
        if isinstance(event, str):
            watch.tree.seen('odom', BASE)
            last_s = watch.now_s
        else:
            watch.now_s += event
        is_quiet = watch.now_s - last_s > GONE_AFTER_S
        has_listened = watch.now_s - began_s >= LISTENS_S
        assert watch.may_publish() is (is_quiet and has_listened)
        # The other switches ask nobody.
        assert watch.ownership.may_publish(BASE, True)
        assert not watch.ownership.may_publish(BASE, False)


@given(EVENTS)
def test_it_takes_over_in_the_end(events: list[float | str]) -> None:
    watch = Watch()
    watch.ownership.activate()
    for event in events:
        if isinstance(event, str):
            watch.tree.seen('odom', BASE)
        else:
            watch.now_s += event
    watch.now_s += GONE_AFTER_S + 0.001
    assert watch.may_publish()


def test_what_came_before_activation_counts_and_every_activation_listens_anew() -> None:
    watch = Watch()
    watch.now_s += 50.0
    assert not watch.may_publish()
    watch.tree.seen('odom', BASE)
    watch.ownership.activate()
    watch.now_s += LISTENS_S
    assert not watch.may_publish()
    watch.now_s += GONE_AFTER_S
    assert watch.may_publish()
    watch.ownership.activate()
    assert not watch.may_publish()


def test_what_is_fixed_stays_taken() -> None:
    watch = Watch()
    watch.ownership.activate()
    watch.tree.seen('odom', BASE, is_fixed=True)
    watch.now_s += 1e6
    watch.tree.forget_old()
    assert not watch.may_publish()


def test_other_frames_are_nobodys_business() -> None:
    watch = Watch()
    watch.ownership.activate()
    watch.now_s += LISTENS_S
    watch.tree.seen(BASE, 'wheel')
    watch.tree.seen('map', 'odom')
    assert watch.may_publish()


# ---- the ring


POSE = (1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0)


def test_only_what_was_sent_is_known_again() -> None:
    sent = SentTransforms()
    own = Joint('odom', BASE, 5, POSE)
    assert not sent.has(own)
    sent.add(own)
    assert sent.has(Joint('odom', BASE, 5, tuple(POSE)))
    for other in (
        own._replace(stamp_ns=6),
        own._replace(parent='map'),
        own._replace(child='base'),
        own._replace(values=(1.0 + 1e-15, *POSE[1:])),
    ):
        assert not sent.has(other)


@given(st.integers(1, 3000))
def test_the_newest_are_remembered_and_memory_is_bounded(count: int) -> None:
    sent = SentTransforms()
    for stamp_ns in range(count):
        sent.add(Joint('odom', BASE, stamp_ns, POSE))
    known = [n for n in range(count) if sent.has(Joint('odom', BASE, n, POSE))]
    assert known == list(range(max(0, count - 256), count))


# ---- the tree


def test_two_that_take_turns_are_two_parents_and_one_that_moves_is_not() -> None:
    watch = Watch()
    tree = watch.tree
    tree.seen('gripper', 'cup')
    watch.now_s += 0.1
    assert tree.seen('table', 'cup')
    assert tree.two_parents('cup') is None
    watch.now_s += 0.1
    tree.seen('gripper', 'cup')
    assert tree.two_parents('cup') == ('gripper', 'table')
    watch.now_s += GONE_AFTER_S + 0.1
    assert tree.two_parents('cup') is None
    assert tree.parent_of('cup') is None


def test_a_fixed_frame_with_another_parent_is_contested() -> None:
    watch = Watch()
    tree = watch.tree
    tree.seen('base_link', 'camera', is_fixed=True)
    tree.seen('arm', 'camera')
    assert tree.two_parents('camera') == ('base_link', 'arm')
    watch.now_s += GONE_AFTER_S + 0.1
    assert tree.two_parents('camera') is None
    tree.seen('mast', 'camera', is_fixed=True)
    watch.now_s += 1e4
    assert tree.two_parents('camera') == ('mast', 'base_link')
    tree.settle('camera')
    assert tree.two_parents('camera') is None
    # The same joint on both topics has one parent.
    tree.seen('mast', 'camera')
    assert tree.two_parents('camera') is None


NAMES = st.sampled_from('abcdef')


@given(st.lists(st.tuples(NAMES, NAMES, st.booleans()), max_size=30))
def test_chains_and_loops_agree_with_a_plain_walk(joints: list[tuple[str, str, bool]]) -> None:
    tree = FrameTree(lambda: 0.0)
    parents: dict[str, tuple[str, bool]] = {}
    for parent, child, is_fixed in joints:
        tree.seen(parent, child, is_fixed=is_fixed)
        if is_fixed or not parents.get(child, ('', False))[1]:
            parents[child] = (parent, is_fixed)
    for frame in 'abcdef':
        walk, at = [frame], frame
        while at in parents and (at := parents[at][0]) not in walk:
            walk.append(at)
        assert tree.ancestors(frame) == tuple(walk)
        is_loop = walk[-1] in parents and parents[walk[-1]][0] == frame
        assert tree.loop(frame) == (tuple(walk) if is_loop else None)
        fixed, at = [frame], frame
        while parents.get(at, ('', False))[1] and (at := parents[at][0]) not in fixed:
            fixed.append(at)
        ends = not parents.get(fixed[-1], ('', False))[1]
        assert tree.fixed_chain(frame) == (tuple(fixed) if ends else None)


def test_frames_that_come_and_go_do_not_pile_up() -> None:
    watch = Watch()
    for i in range(500):
        watch.tree.seen('map', f'object_{i}')
    watch.tree.seen('base_link', 'camera', is_fixed=True)
    watch.now_s += 61.0
    watch.tree.forget_old()
    assert watch.tree.ancestors('object_3') == ('object_3',)
    assert watch.tree.ancestors('camera') == ('camera', 'base_link')
    assert watch.tree.seen('map', 'object_3')


def test_two_that_give_way_to_each_other_do_not_stay_away_both() -> None:
    """Both heard the other at once; the one with less patience takes over and keeps the frame."""
    now_s = 0.0

    def clock() -> float:
        return now_s

    trees = [FrameTree(clock, patience_s) for patience_s in (0.3, 1.4)]
    nodes = [(tree, TransformOwnership(tree, clock)) for tree in trees]
    for tree, ownership in nodes:
        ownership.activate()
        tree.seen('odom', 'base_link')
    published: list[tuple[int, ...]] = []
    while now_s < 30.0:
        now_s += 0.1
        sends = [i for i, (_, own) in enumerate(nodes) if own.may_publish('base_link', 'auto')]
        for i in sends:
            nodes[1 - i][0].seen('odom', 'base_link')
        published.append(tuple(sends))
    assert set(published) == {(), (0,)}
    assert published.index((0,)) == pytest.approx(53, abs=2)
    assert set(published[60:]) == {(0,)}
