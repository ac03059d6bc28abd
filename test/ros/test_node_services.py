"""Services of the running node, and what it leaves undone: over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from da3_ros.srv import ExportScene, SaveTrajectory
from helpers.lifecycle_client import LifecycleClient
from helpers.ros_process import ROOT, RosProcess, reserved_domain_id
from helpers.ros_rig import RosRobot, matrix_of

pytestmark = pytest.mark.ros
NODE = 'da3_ros.ros.node.main'
ODD_NODE = ROOT / 'test' / 'helpers' / 'odd_node.py'
COMMON = ('cameras:=[front]', 'window:=2')


def arguments(*parameters: str) -> list[str]:
    return ['--ros-args', *(a for p in (*COMMON, *parameters) for a in ('-p', p))]


@pytest.fixture(scope='module', name='export_dir')
def export_dir_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('exports')


@pytest.fixture(scope='module', name='place')
def place_fixture(export_dir: Path) -> Iterator[tuple[RosProcess, RosRobot, LifecycleClient]]:
    given = arguments('model:=truth', 'scene_sets:=3', f'export_dir:={export_dir}')
    with (
        reserved_domain_id() as domain_id,
        RosProcess(NODE, *given, domain_id=domain_id) as node,
    ):
        node.wait_for_line('ready')
        with RosRobot(domain_id, ['front']) as robot:
            robot.publish_rig(['front'])
            robot.wait_for_node()
            robot.listen(Odometry, 'odometry')
            robot.listen(WindowReport, 'window')
            robot.listen(DiagnosticArray, '/diagnostics')
            robot.prime(robot.send)
            yield node, robot, LifecycleClient(robot)


def send(robot: RosRobot) -> int:
    """Send an instant and wait until its window is out."""
    stamp_ns = robot.send()
    robot.wait_stamp('window', stamp_ns)
    return stamp_ns


def reset(robot: RosRobot, client: LifecycleClient) -> int:
    """Start the world anew; return the stamp of its first set."""
    assert client.call(Trigger, 'reset').success
    return send(robot)


def test_disabling_leaves_the_cameras_and_enabling_goes_on_in_the_same_world(
    place: tuple[RosProcess, RosRobot, LifecycleClient],
) -> None:
    _, robot, client = place
    robot.start_ns = reset(robot, client)
    for round_ in range(2):
        for already in (False, True):
            answer = client.call(SetBool, 'enable', data=False)
            assert answer.success
            assert answer.message.startswith('already' if already else 'disabled')
            assert 'active' in answer.message
        client.becomes(client.subscribes, value=False, what='subscribing')
        robot.wait_for(
            '/diagnostics',
            lambda m: m.status[0].message.startswith('disabled by') and len(m.status) == 1,
        )
        seen = len(robot.messages('window'))
        for _ in range(3):
            robot.send()
        # What is there can be exported meanwhile.
        done = client.call(ExportScene, 'export_scene', format='npz', path=f'off{round_}')
        assert done.success, done.message
        assert len(robot.messages('window')) == seen
        for already in (False, True):
            answer = client.call(SetBool, 'enable', data=True)
            assert answer.success
            assert answer.message.startswith('already' if already else 'enabled')
        robot.wait_for_node()
        stamp_ns = send(robot)
        report = robot.wait_stamp('window', stamp_ns)
        assert report.alignment_method == 'shared_views'
        odometry = robot.wait_stamp('odometry', stamp_ns)
        truth = np.linalg.inv(robot.world.world_from_base(robot.start_ns))
        truth = truth @ robot.world.world_from_base(stamp_ns)
        np.testing.assert_allclose(matrix_of(odometry.pose.pose)[:3, :3], truth[:3, :3], atol=1e-6)


def test_the_saved_trajectory_is_the_published_odometry_since_the_reset(
    place: tuple[RosProcess, RosRobot, LifecycleClient], export_dir: Path
) -> None:
    _, robot, client = place
    first_ns = reset(robot, client)
    last_ns = [send(robot) for _ in range(8)][-1]
    robot.wait_stamp('odometry', last_ns)
    answer = client.call(SaveTrajectory, 'save_trajectory', file='ways/first.tum')
    assert answer.success, answer.message
    assert answer.path == 'ways/first.tum'
    published = {
        ns_from_stamp(m.header.stamp): m.pose.pose
        for m in robot.messages('odometry')
        if ns_from_stamp(m.header.stamp) >= first_ns
    }
    # More than the scene keeps.
    assert answer.poses == len(published) == 9
    lines = (export_dir / 'ways' / 'first.tum').read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith('#')]
    assert [int(row[0].replace('.', '')) for row in rows] == sorted(published)
    for row, stamp_ns in zip(rows, sorted(published), strict=True):
        p, q = published[stamp_ns].position, published[stamp_ns].orientation
        wanted = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
        np.testing.assert_allclose([float(text) for text in row[1:]], wanted, atol=1e-9)


def test_trajectories_are_refused_with_the_reason(
    place: tuple[RosProcess, RosRobot, LifecycleClient], export_dir: Path
) -> None:
    _, robot, client = place
    send(robot)

    def ask(file: str, *, overwrite: bool = False) -> Any:
        return client.call(SaveTrajectory, 'save_trajectory', file=file, overwrite=overwrite)

    assert ask('').path == 'trajectory.tum'
    before = (export_dir / 'trajectory.tum').read_bytes()
    again = ask('')
    assert not again.success
    assert 'overwrite' in again.message
    assert (export_dir / 'trajectory.tum').read_bytes() == before
    assert ask('', overwrite=True).success
    for outside in ('../way.tum', '/way.tum', 'a/../../way.tum'):
        answer = ask(outside, overwrite=True)
        assert not answer.success
        assert 'inside' in answer.message
    assert not (export_dir.parent / 'way.tum').exists()
    (export_dir / 'file').write_text('in the way')
    blocked = ask('file/way.tum')
    assert not blocked.success
    assert 'cannot be written' in blocked.message
    # Nothing is left of what failed.
    assert not list(export_dir.rglob('.partial-*'))
    assert client.call(Trigger, 'reset').success
    empty = ask('empty.tum')
    assert not empty.success
    assert 'none yet' in empty.message
    assert not (export_dir / 'empty.tum').exists()


def test_no_window_is_estimated_that_nobody_wants(ros_domain_id: int) -> None:
    given = arguments('model:=truth', 'scene_sets:=0', 'publish_tf:=false')
    with (
        RosProcess(NODE, *given, domain_id=ros_domain_id) as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.wait_for_node()

        def count(message: DiagnosticArray, key: str) -> int:
            return int(next(p.value for p in message.status[0].values if p.key == key))

        while not any(count(m, 'unwanted windows') >= 3 for m in robot.messages('/diagnostics')):
            robot.send()
            time.sleep(0.1)
        assert all(count(m, 'windows') == 0 for m in robot.messages('/diagnostics'))
        key = robot.listen(Image, 'front/depth/image')
        while not robot.messages(key):
            robot.send()
            time.sleep(0.1)
        robot.wait_for('/diagnostics', lambda m: count(m, 'windows') > 0)
        client = LifecycleClient(robot)
        # There is no scene, but there is a way.
        nothing = client.call(ExportScene, 'export_scene', format='npz')
        assert not nothing.success


def test_two_nodes_in_two_namespaces_do_not_meet(ros_domain_id: int) -> None:
    def node(name: str) -> RosProcess:
        given = [*arguments('model:=truth'), '-r', f'__ns:=/{name}']
        return RosProcess(NODE, *given, domain_id=ros_domain_id)

    with node('one') as one, node('two') as two, RosRobot(ros_domain_id, ['one/front']) as robot:
        one.wait_for_line('ready')
        two.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        key = robot.listen(Image, 'one/front/depth/image')
        other = robot.listen(Image, 'two/front/depth/image')
        robot.wait_for_node()
        deadline = time.monotonic() + 20.0
        while not robot.messages(key):
            assert time.monotonic() < deadline, one.output
            stamp_ns = robot.next_stamp()
            image = robot.image('front', stamp_ns)
            robot.infos['one/front'].publish(robot.info('front', stamp_ns))
            robot.images['one/front'].publish(image)
            time.sleep(0.1)
        assert not robot.messages(other)
        for name in ('one', 'two'):
            robot.wait_for(
                '/diagnostics',
                lambda m, n=name: m.status[0].name == f'{n}/da3_node: stream',  # type: ignore[misc]
            )
        # Each answers for itself.
        assert LifecycleClient(robot, '/one/da3_node').call(SetBool, 'enable', data=False).success
        assert LifecycleClient(robot, '/two/da3_node').state() == 'active'
        two.stop()
        assert LifecycleClient(robot, '/one/da3_node').state() == 'active'


@pytest.mark.slow
def test_a_node_killed_within_an_export_leaves_nothing_in_the_way(
    ros_domain_id: int, tmp_path: Path
) -> None:
    def run(rest_s: float) -> RosProcess:
        given = ['0', str(rest_s), *arguments(f'export_dir:={tmp_path}')]
        return RosProcess(ODD_NODE, *given, domain_id=ros_domain_id)

    def feed(robot: RosRobot, node: RosProcess) -> None:
        node.wait_for_line('ready')
        robot.wait_for_node()
        while 'the world starts' not in node.output:
            robot.send()
            time.sleep(0.1)

    with RosRobot(ros_domain_id, ['front']) as robot:
        with run(30.0) as node:
            feed(robot, node)
            client = LifecycleClient(robot)
            client.begin(ExportScene, 'export_scene', format='glb-npz', path='room')
            client.begin(ExportScene, 'export_scene', format='npz')
            node.wait_for_line('exporting')
            node.kill()
        left = [p for p in tmp_path.rglob('*') if p.is_file()]
        assert all('.partial-' in str(p) for p in left), left
        assert list(tmp_path.glob('*/.partial-*'))
        with run(0.0) as node:
            node.wait_for_line('removed 1 half-written exports')
            assert list(tmp_path.iterdir()) == []
            feed(robot, node)
            client = LifecycleClient(robot)
            done = client.call(ExportScene, 'export_scene', format='glb-npz', path='room')
            assert done.success, done.message
            written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*') if p.is_file()}
            assert written == set(done.files)
            assert all((tmp_path / name).stat().st_size for name in written)
