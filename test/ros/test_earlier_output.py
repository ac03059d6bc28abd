"""Transforms that an earlier run published into a recording: they are known again, no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.geometry.se3 import invert, rigid
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.offline.earlier_output import WINDOW_REPORT, window_reports
from da3_ros.ros.tf.rig_source import RigSource
from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import RawMessage
from da3_ros.types import FrameSet, RigCalibration
from helpers.recorded_tf import (
    MS,
    OPTICAL,
    START_NS,
    Array,
    Recording,
    fixed,
    header,
    make,
    quaternion,
    raw,
    recorded,
    vector,
)
from helpers.stream_builders import frame

OPTIONS = replace(OutputOptions(), prior_frame='odom', publish_tf='auto')
# What the node needs before it answers, and its report comes after its transforms.
LATE_NS, REPORT_NS = 300 * MS, 40 * MS
STAMPS = [START_NS + i * 100 * MS for i in range(20)]
NAMES = tuple(OPTICAL.values())
View = tuple[str, int, Array]
"""Frame, stamp, world_from_camera."""


def any_pose(random: np.random.Generator) -> Array:
    turn = Rotation.from_rotvec(random.normal(size=3)).as_matrix()
    return rigid(turn, 10 * random.normal(size=3))


def report(log_ns: int, set_ns: int, views: Sequence[View], world: str = 'odom') -> RawMessage:
    """Return a window report with these views and zeros for all else."""
    shared_definitions().require(WINDOW_REPORT)
    definition: Any = shared_definitions().typestore.fielddefs[WINDOW_REPORT][1]
    empty: dict[str, Any] = {'string': '', 'bool': False, 'float64': 0.0}
    fields: dict[str, Any] = {
        name: empty.get(kind[1][0], 0) if kind[0].name == 'BASE' else []
        for name, kind in definition
    }
    fields |= {
        'header': header(set_ns, world),
        'views': [
            make(
                'da3_ros/msg/ViewReport',
                camera='front',
                stamp=header(stamp_ns, '').stamp,
                frame_id=frame_id,
                world_from_camera=make(
                    'geometry_msgs/msg/Pose',
                    position=vector('Point', pose),
                    orientation=quaternion(pose),
                ),
                k=np.zeros(9),
                height=1,
                width=1,
                k_source='predicted',
                valid_fraction=0.0,
                median_depth=0.0,
            )
            for frame_id, stamp_ns, pose in views
        ],
    }
    return raw('/da3/window', log_ns, make(WINDOW_REPORT, **fields))


class Robot:
    """Drives any way with two cameras, watched by a node whose reports were recorded.

    Args:
        rig: base_link to the cameras; empty where nobody knows it.
        seed: of the poses.
    """

    def __init__(self, rig: dict[str, Array], seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        self.base = {stamp_ns: any_pose(random) for stamp_ns in STAMPS}
        self.cameras = {
            (name, stamp_ns): self.base[stamp_ns] @ rig[name] if rig else any_pose(random)
            for stamp_ns in STAMPS
            for name in NAMES
        }

    def reports(self, world: str = 'odom') -> list[RawMessage]:
        """Return one report for each instant; the cameras are 3 ms apart."""
        return [
            report(
                stamp_ns + LATE_NS + REPORT_NS,
                stamp_ns,
                [
                    (name, stamp_ns + 3 * MS * i, self.cameras[name, stamp_ns])
                    for i, name in enumerate(NAMES)
                ],
                world,
            )
            for stamp_ns in STAMPS
        ]

    def own(self, parent: str, child: str, child_from_base: Array) -> list[RawMessage]:
        """Return the base as the node published it: the base, or the frame it is fixed to."""
        return [
            recorded(stamp_ns + LATE_NS, stamp_ns, (parent, child, pose @ invert(child_from_base)))
            for stamp_ns, pose in self.base.items()
        ]

    def own_cameras(self) -> list[RawMessage]:
        return [
            recorded(stamp_ns + LATE_NS, stamp_ns + 3 * MS * i, ('odom', name, pose))
            for i, name in enumerate(NAMES)
            for stamp_ns, pose in ((t, self.cameras[name, t]) for t in STAMPS)
        ]


def left_out(tape: Recording) -> dict[str, float]:
    """Return how many transforms were left out, by what the note says of them."""
    tape.play_to(STAMPS[-1] + 1000 * MS)
    return {note.text.split(' of an')[0]: note.numbers['transforms'] for note in tape.tf.notes}


RIG = {name: any_pose(np.random.default_rng(seed)) for seed, name in enumerate(NAMES, start=7)}
RIG_FIXED = fixed(START_NS, *(('base_link', name, pose) for name, pose in RIG.items()))
FOOTPRINT = any_pose(np.random.default_rng(3))


def test_the_base_of_an_earlier_run_is_left_out_and_goes_out_anew() -> None:
    robot = Robot(RIG)
    tape = Recording(
        OPTIONS,
        robot.own('odom', 'base_link', np.eye(4)),
        [RIG_FIXED],
        robot.reports(),
        start_ns=START_NS,
    )
    assert left_out(tape) == {'/tf has odom to base_link': len(STAMPS)}
    assert tape.tf.tree.parent_of('base_link') is None
    assert not tape.tf.buffer.is_connected('odom', NAMES[0])
    # Said once, with how it is known.
    (line,) = [line for line in tape.lines if 'earlier run' in line]
    assert 'window reports' in line


@pytest.mark.parametrize('world', ['odom', '/odom'])
def test_whatever_frame_of_the_tree_went_out_is_known_again(world: str) -> None:
    """The topmost frame, single cameras, and the identity from the map."""
    robot, alone = Robot(RIG), Robot({})
    below = fixed(START_NS, ('base_footprint', 'base_link', FOOTPRINT))
    identity = [recorded(t + LATE_NS, t, ('map', 'odom', np.eye(4))) for t in STAMPS]
    topmost = Recording(
        OPTIONS,
        robot.own('odom', 'base_footprint', FOOTPRINT) + identity,
        [RIG_FIXED, below],
        robot.reports(world),
        start_ns=START_NS,
    )
    assert left_out(topmost) == {
        '/tf has odom to base_footprint': len(STAMPS),
        '/tf has map to odom': len(STAMPS),
    }
    cameras = Recording(OPTIONS, alone.own_cameras(), [], alone.reports(world), start_ns=START_NS)
    assert left_out(cameras) == {f'/tf has odom to {name}': len(STAMPS) for name in NAMES}


def test_an_odometry_is_followed_under_the_same_names_and_stamps() -> None:
    """A simulation may have the stamps of the images, and be right to a micrometre."""
    robot = Robot(RIG)
    nudge = rigid(np.eye(3), [1e-6, 0.0, 0.0])
    theirs = [
        recorded(t + 5 * MS, t, ('odom', 'base_link', nudge @ pose))
        for t, pose in robot.base.items()
    ]
    others = [recorded(t, t, ('map', 'odom', nudge)) for t in STAMPS]
    tape = Recording(
        OPTIONS,
        [*theirs, *others, *robot.own('odom', 'base_link', np.eye(4))],
        [RIG_FIXED],
        robot.reports(),
        start_ns=START_NS,
    )
    source = RigSource(OPTIONS, RigCalibration(), tape.tf)
    assert left_out(tape) == {'/tf has odom to base_link': len(STAMPS)}
    for stamp_ns, pose in robot.base.items():
        asked = FrameSet(stamp_ns, (frame('front', stamp_ns),))
        prior = source.prior(asked)
        assert prior is not None
        expected = nudge @ pose @ RIG[NAMES[0]]
        np.testing.assert_allclose(prior.odometry_from_camera['front'], expected, atol=1e-10)
    assert tape.tf.tree.parent_of('base_link') == 'odom'


def test_without_reports_nothing_tells_an_earlier_run_from_an_odometry() -> None:
    robot = Robot(RIG)
    own = robot.own('odom', 'base_link', np.eye(4))
    for reports in ([], robot.reports('elsewhere')):
        tape = Recording(OPTIONS, own, [RIG_FIXED], reports, start_ns=START_NS)
        assert left_out(tape) == {}
        assert tape.tf.tree.parent_of('base_link') == 'odom'


def test_a_report_that_cannot_be_read_is_said_and_ends_nothing() -> None:
    robot = Robot(RIG)
    reports = robot.reports()
    reports[5] = replace(reports[5], data=reports[5].data[:60])
    own = robot.own('odom', 'base_link', np.eye(4))
    tape = Recording(OPTIONS, own, [RIG_FIXED], reports, start_ns=START_NS)
    assert left_out(tape) == {'/tf has odom to base_link': len(STAMPS) - 1}
    (found,) = tape.reasons.found()
    assert found.reason is Reason.TF_BAD
    assert '/da3/window' in found.text


def test_reports_are_read_only_as_far_as_the_tape_has_come() -> None:
    """However long the recording is, some seconds of reports are kept."""
    stamps = [START_NS + i * 1000 * MS for i in range(300)]
    taken: list[int] = []

    def reports() -> Iterator[RawMessage]:
        for stamp_ns in stamps:
            taken.append(stamp_ns)
            yield report(stamp_ns + 100 * MS, stamp_ns, [(NAMES[0], stamp_ns, np.eye(4))])

    moving = [recorded(t, t, ('wheels', 'base_link', np.eye(4))) for t in stamps]
    tape = Recording(OPTIONS, moving, [], reports(), start_ns=START_NS)
    for stamp_ns in stamps:
        tape.play_to(stamp_ns)
        assert taken[-1] <= stamp_ns + 12_000 * MS
    assert len(taken) == len(stamps)


def test_reports_of_several_bags_come_in_order_and_others_need_none(tmp_path: Path) -> None:
    reports = Robot(RIG).reports()
    other = recorded(START_NS, START_NS, ('odom', 'base_link', np.eye(4)))
    paths = [tmp_path / name for name in ('even.mcap', 'odd.db3', 'none.mcap')]
    for path, messages in zip(paths, (reports[::2], reports[1::2], [other]), strict=True):
        with BagWriter(path) as bag:
            for message in messages:
                bag.add_topic(message.topic, message.msgtype)
                bag.write(message.topic, message.stamp_ns, message.data)
    assert list(window_reports(paths)) == reports
    assert list(window_reports(paths[2:])) == []
