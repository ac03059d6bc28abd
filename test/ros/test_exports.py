"""Export service and action over real DDS, with a scene that waits for the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.action')
from action_msgs.msg import GoalStatus  # type: ignore[import-untyped]
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException

from da3_ros.errors import ExportError
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.model.build import Network
from da3_ros.ros.node.executor import NodeExecutor
from da3_ros.ros.node.exports import Exports
from da3_ros.ros.node.lifecycle import ManagedNode
from da3_ros.ros.node.splats import WorkerSplats
from da3_ros.ros.node.worker import Worker
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import make_world
from da3_ros.types import PosedView, ViewId
from helpers import tiny
from helpers.export_client import ExportClient, Goal, awaited
from helpers.ros_process import reserved_domain_id
from tools.parity.synthetic_weights import synthetic_network

pytestmark = pytest.mark.ros
TIMEOUT_S = 20.0
WAITING = 4


def tiny_network() -> Network:
    return synthetic_network(tiny.ANY_VIEW)


def small_scene() -> ExportScene:
    size = ImageSize(28, 42)
    image = np.full((28, 42, 3), 120, np.uint8)
    view = PosedView(
        id=ViewId('front', 5, 'optical'),
        depth=np.full((28, 42), 2.0, np.float32),
        image=image,
        camera=PinholeCamera.from_focal(30.0, 30.0, 20.5, 13.5, size),
        is_calibrated=True,
        world_from_camera=np.eye(4),
        confidence=np.full((28, 42), 2.0, np.float32),
        sky=None,
    )
    return ExportScene((view,), True)


class Server:
    """A node with exports whose scene can be held back, and a client of its action."""

    client: ExportClient

    def __init__(self, context: Context, export_dir: Path) -> None:
        self.asked = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()
        self.node = ManagedNode('da3_node', context=context)
        network = Da3Estimator(DepthAnything3(network=tiny_network()))
        self.worker = Worker(network, lambda counts: None, lambda: False)
        self.exports = Exports(
            self.node,
            export_dir,
            self._scene,
            WAITING,
            WorkerSplats(self.worker),
        )

    def _scene(self) -> ExportScene:
        self.asked.set()
        assert self.may_go.wait(TIMEOUT_S)
        return small_scene()

    def hold(self) -> None:
        self.asked.clear()
        self.may_go.clear()


@pytest.fixture(scope='module', name='export_dir')
def export_dir_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('exports')


@pytest.fixture(scope='module', name='server')
def server_fixture(export_dir: Path) -> Iterator[Server]:
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        server = Server(context, export_dir)
        executor = NodeExecutor(4, context=context)
        executor.add_node(server.node)

        def spin() -> None:
            try:
                executor.spin()
            except ExternalShutdownException:
                return

        thread = threading.Thread(target=spin, daemon=True)
        thread.start()
        with ExportClient(domain_id) as server.client:
            yield server
        # Whatever the executor waits on must outlive its spinning.
        executor.shutdown(5.0)
        thread.join(5.0)
        server.exports.end('the test ends', TIMEOUT_S)
        assert server.worker.close(TIMEOUT_S)
        server.node.destroy_node()
        rclpy.shutdown(context=context)


def sent(client: ExportClient, **request: Any) -> Goal:
    return client.send(request)[0]


@pytest.fixture(scope='module', name='action')
def action_fixture(server: Server) -> ExportClient:
    """Return the one client of the module, which lives for as long as anything spins."""
    return server.client


def test_action_writes_files_and_tells_its_progress(
    action: ExportClient, export_dir: Path
) -> None:
    goal = sent(action, format='npz-glb', path='a/b')
    status, result = goal.result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.success
    assert sorted(result.files) == sorted(
        str(p.relative_to(export_dir)) for p in (export_dir / 'a' / 'b').rglob('*.*')
    )
    assert (result.views, result.points) == (1, 28 * 42)
    shares = [share for share, _ in goal.feedback]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_a_cancelled_goal_leaves_no_file(
    action: ExportClient, server: Server, export_dir: Path
) -> None:
    server.hold()
    goal = sent(action, format='npz', path='cancelled')
    assert server.asked.wait(TIMEOUT_S)
    assert goal.cancel() == 1
    server.may_go.set()
    status, result = goal.result()
    assert status == GoalStatus.STATUS_CANCELED
    assert not result.success
    assert 'cancel' in result.message
    assert not (export_dir / 'cancelled').exists()


@pytest.mark.parametrize(
    ('request_', 'reason'),
    [
        ({'format': 'npz', 'path': '../out'}, 'inside'),
        ({'format': 'npz', 'path': '/out'}, 'inside'),
        ({'format': 'dwg', 'path': 'x'}, 'npz'),
        ({'format': '', 'path': 'x'}, 'npz'),
    ],
)
def test_service_and_action_refuse_alike_and_say_why(
    action: ExportClient, server: Server, request_: dict[str, str], reason: str
) -> None:
    status, result = sent(action, **request_).result()
    assert status == GoalStatus.STATUS_ABORTED
    response = awaited(action.call(**request_))
    assert not response.success
    assert not result.success
    assert response.message == result.message
    assert reason in result.message


def test_without_a_path_every_export_gets_a_folder_of_its_own(action: ExportClient) -> None:
    first = sent(action, format='npz').result()[1]
    second = sent(action, format='npz').result()[1]
    assert first.success
    assert second.success
    assert first.files != second.files


def test_gaussians_are_made_when_a_format_asks_for_them(
    server: Server, action: ExportClient, export_dir: Path
) -> None:
    status, result = sent(action, format='ply-gs_ply', path='splats').result()
    assert status == GoalStatus.STATUS_SUCCEEDED, result.message
    assert list(result.files) == ['splats/points.ply', 'splats/gs_ply/0000.ply']
    header = (export_dir / 'splats' / 'gs_ply' / '0000.ply').read_bytes()[:60]
    assert header.startswith(b'ply\nformat binary_little_endian 1.0\nelement vertex')
    # Without a network the answer says so, and nothing is left behind.
    assert server.worker.close(TIMEOUT_S)
    status, result = sent(action, format='ply-gs_ply', path='none').result()
    assert status == GoalStatus.STATUS_ABORTED
    assert 'configure the node again' in result.message
    assert not (export_dir / 'none').exists()


def test_without_a_network_that_gives_gaussians_the_error_says_which_does() -> None:
    worker = Worker(TruthEstimator(make_world()), lambda counts: None, lambda: False)
    with pytest.raises(ExportError, match='da3-giant'):
        WorkerSplats(worker).with_gaussians(small_scene(), lambda: False)
    assert worker.close(TIMEOUT_S)
