"""Many exports at once, and exports that a transition or the end of the process meets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
import signal

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.action')
from action_msgs.msg import GoalStatus  # type: ignore[import-untyped]

from da3_ros.msg import WindowReport
from helpers.export_client import ExportClient, Goal, awaited
from helpers.fault_rig import HELPERS, start_node
from helpers.lifecycle_client import CLEANUP, DEACTIVATE, SHUTDOWN, LifecycleClient
from helpers.patience import BLOCKED_S, PATIENCE_S, wait_until
from helpers.ros_process import RosProcess
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
CAMERAS = ['front', 'left']
# Not the default.
WAITING = 3
SETS = 30


class Place:
    """A node with a scene, whose exports rest at every step, and who asks for them."""

    def __init__(self, node: RosProcess, robot: RosRobot, client: ExportClient) -> None:
        self.node = node
        self.robot = robot
        self.client = client

    def hold(self, waiting: int) -> list[Goal]:
        """Let one export begin, and so many wait behind it."""
        held = self.client.send({'format': 'npz', 'path': 'held'})
        self.node.wait_for_line('exporting', 3 * PATIENCE_S)
        names = [f'waiting{number}' for number in range(waiting)]
        held += self.client.send(*({'format': 'npz', 'path': name} for name in names))
        for goal in held[1:]:
            wait_until(lambda g=goal: bool(g.feedback))  # type: ignore[misc]
        return held


@contextmanager
def placed(domain_id: int, export_dir: Path, rest_s: float) -> Iterator[Place]:
    program = (HELPERS / 'odd_node.py', '0', str(rest_s))
    given = (f'export_dir:={export_dir}', f'export_queue:={WAITING}')
    with (
        start_node(domain_id, CAMERAS, *given, program=program) as node,
        RosRobot(domain_id, CAMERAS) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        robot.listen(WindowReport, 'window')
        robot.prime(robot.send)
        with ExportClient(domain_id) as client:
            yield Place(node, robot, client)


def test_depth_goes_on_at_its_rate_while_eight_exports_take_long(
    ros_domain_id: int, tmp_path: Path
) -> None:
    with placed(ros_domain_id, tmp_path, BLOCKED_S) as place:
        goals = place.hold(0)
        goals += place.client.send(*({'format': 'npz', 'path': f'x{n}'} for n in range(7)))
        responses = [place.client.call(format='npz', path=f'y{n}') for n in range(7)]
        # Each set is answered before the next one goes out: nothing waits for an export.
        dropped = place.robot.messages('window')[-1].dropped_sets
        for _ in range(SETS):
            place.robot.wait_stamp('window', place.robot.send())
        assert place.robot.messages('window')[-1].dropped_sets == dropped
        refused = [g for g in goals if g.is_done] + [r for r in responses if r.done()]
        assert len(refused) == 15 - 1 - WAITING
        assert not goals[0].is_done


def test_each_of_twenty_goals_and_requests_gets_its_answer(
    ros_domain_id: int, tmp_path: Path
) -> None:
    with placed(ros_domain_id, tmp_path, 0.1) as place:
        held = place.client.send({'format': 'npz', 'path': 'held'})
        goals = held + place.client.send(
            *({'format': 'npz', 'path': f'goal{n}'} for n in range(19))
        )
        responses = [place.client.call(format='npz', path=f'call{n}') for n in range(20)]
        results = [goal.result() for goal in goals]
        answers = [result for _, result in results] + [awaited(r) for r in responses]
        for status, result in results:
            wanted = GoalStatus.STATUS_SUCCEEDED if result.success else GoalStatus.STATUS_ABORTED
            assert status == wanted
        written = [answer for answer in answers if answer.success]
        assert len(written) >= 1 + WAITING
        for answer in answers:
            assert answer.success or 'export_queue' in answer.message, answer.message
        there = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file()}
        assert there == {file for answer in written for file in answer.files}


def test_a_goal_that_waits_is_cancelled_at_once(ros_domain_id: int, tmp_path: Path) -> None:
    with placed(ros_domain_id, tmp_path, BLOCKED_S) as place:
        # Goals that are sent together may be taken in either order.
        first, second = sorted(place.hold(2)[1:], key=lambda goal: goal.feedback[0][1])
        assert [first.feedback[0], second.feedback[0]] == [
            (0.0, 'queued, 1 before it'),
            (0.0, 'queued, 2 before it'),
        ]
        assert first.cancel() == 1
        status, result = first.result()
        assert status == GoalStatus.STATUS_CANCELED
        assert 'cancelled' in result.message
        wait_until(lambda: second.feedback[-1] == (0.0, 'queued, 1 before it'))
        assert not second.is_done


def cleanup(client: LifecycleClient) -> None:
    assert client.change(DEACTIVATE)
    assert client.change(CLEANUP)


def shutdown(client: LifecycleClient) -> None:
    assert client.change(SHUTDOWN['active'])


@pytest.mark.parametrize(
    ('end', 'reason'), [(cleanup, 'cleaned up'), (shutdown, 'shut down')], ids=['clean', 'shut']
)
def test_a_transition_answers_every_goal_and_request(
    ros_domain_id: int, tmp_path: Path, end: Callable[[LifecycleClient], None], reason: str
) -> None:
    with placed(ros_domain_id, tmp_path, BLOCKED_S) as place:
        goals = place.hold(2)
        response = place.client.call(format='npz', path='call')
        end(LifecycleClient(place.robot))
        for goal in goals:
            status, result = goal.result()
            assert status == GoalStatus.STATUS_ABORTED
            assert reason in result.message
        assert reason in awaited(response).message
        assert 'Traceback' not in place.node.output


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_the_process_answers_requests(
    ros_domain_id: int, tmp_path: Path, number: signal.Signals
) -> None:
    with placed(ros_domain_id, tmp_path, BLOCKED_S) as place:
        place.hold(0)
        responses = [place.client.call(format='npz', path=f'call{n}') for n in range(3 + WAITING)]
        # All have arrived when the last ones were refused.
        wait_until(lambda: sum(r.done() for r in responses) == 3)
        place.node.send(number)
        for response in responses:
            message = awaited(response).message
            assert 'shuts down' in message or 'export_queue' in message
        assert place.node.wait() == 0
        assert 'Traceback' not in place.node.output
