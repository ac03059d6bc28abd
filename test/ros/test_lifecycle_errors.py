"""Transitions that break, and memory that is given back: the node in the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import gc
import time
from typing import Any
import weakref

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter

from da3_ros.errors import CheckpointError
from da3_ros.msg import WindowReport
from da3_ros.options import NodeOptions
from da3_ros.ros.node.executor import NodeExecutor
from da3_ros.ros.node.node import Da3Node
from da3_ros.ros.node.processing import Processing
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import make_world
from helpers.lifecycle_client import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    SHUTDOWN,
    LifecycleClient,
)
from helpers.ros_process import reserved_domain_id
from helpers.ros_rig import RosRobot
from helpers.spinning import Spinning

pytestmark = pytest.mark.ros
WORLD = make_world()
Make = Callable[..., Da3Node]


class Maker:
    """Makes estimators as told, and knows which still exist."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.delay_s = 0.0
        self.made: list[weakref.ref[TruthEstimator]] = []
        self.asked: list[NodeOptions] = []

    def __call__(self, options: NodeOptions) -> TruthEstimator:
        self.asked.append(options)
        if self.error is not None:
            raise self.error
        estimator = TruthEstimator(WORLD, delay_s=self.delay_s)
        self.made.append(weakref.ref(estimator))
        return estimator

    @property
    def alive(self) -> int:
        gc.collect()
        return sum(reference() is not None for reference in self.made)


class Place:
    """A robot and nodes of the same process; each side is a DDS participant of its own.

    Within one participant Fast DDS now and then does not match what is made while other endpoints
    are destroyed.
    """

    def __init__(self, domain_id: int) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._executor = NodeExecutor(6, context=self._context)
        self._nodes: list[Da3Node] = []
        self.robot = RosRobot(domain_id, ['front'])
        self._spinning = Spinning(self._executor)

    def make(self, estimator: Any, **values: Any) -> tuple[Da3Node, LifecycleClient]:
        values = {'cameras': ['front'], 'window': 2, **values}
        overrides = [Parameter(name, value=v) for name, v in values.items()]
        node = Da3Node(estimator, context=self._context, parameter_overrides=overrides)
        self._nodes.append(node)
        self._executor.add_node(node)
        return node, LifecycleClient(self.robot)

    def close(self) -> None:
        # Whatever the executor waits on must outlive its spinning.
        self._spinning.end()
        assert not self._spinning.is_alive
        for node in self._nodes:
            node.close(1.0)
            node.destroy_node()
        self.robot.__exit__(None, None, None)
        rclpy.shutdown(context=self._context)

    def see_one_window(self) -> None:
        """Send images until the node makes something of them."""
        key = self.robot.listen(WindowReport, 'window')
        already = len(self.robot.messages(key))
        self.robot.wait(lambda: self._sent_and_seen(key) > already, 'a window')

    def _sent_and_seen(self, key: str) -> int:
        self.robot.send()
        time.sleep(0.05)
        return len(self.robot.messages(key))

    @property
    def spins(self) -> bool:
        return self._spinning.is_alive


@pytest.fixture(name='place')
def place_fixture() -> Iterator[Place]:
    with reserved_domain_id() as domain_id:
        place = Place(domain_id)
        yield place
        place.close()


def test_the_node_is_a_lifecycle_node_and_does_nothing_by_itself(place: Place) -> None:
    maker = Maker()
    node, client = place.make(maker)
    assert isinstance(node, LifecycleNode)
    assert node.wants_autostart
    assert client.state() == 'unconfigured'
    assert maker.asked == []
    assert node.autostart()
    assert client.state() == 'active'
    assert len(maker.asked) == 1


@pytest.mark.parametrize(
    'error',
    [
        CheckpointError('no weights here'),
        OSError(5, 'no weights here'),
        RuntimeError('no weights here'),
    ],
)
def test_whatever_loading_raises_is_a_failed_configure(place: Place, error: Exception) -> None:
    maker = Maker()
    node, client = place.make(maker)
    for _ in range(2):
        maker.error = error
        assert not client.change(CONFIGURE)
        assert 'no weights here' in node.last_failure
        assert client.state() == 'unconfigured'
        assert client.set(window=3)[0].successful
        maker.error = None
        assert client.change(CONFIGURE)
        assert node.last_failure == ''
        assert client.change(CLEANUP)
    assert place.spins


@pytest.mark.parametrize(
    ('way', 'transition', 'method'),
    [
        ((), CONFIGURE, '_build'),
        ((CONFIGURE,), ACTIVATE, 'activate'),
        ((CONFIGURE, ACTIVATE), DEACTIVATE, 'deactivate'),
        ((CONFIGURE,), CLEANUP, 'release'),
        ((CONFIGURE, ACTIVATE), SHUTDOWN['active'], 'release'),
        ((CONFIGURE,), SHUTDOWN['inactive'], 'release'),
    ],
)
def test_an_error_in_any_transition_leads_back_to_unconfigured(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    way: tuple[int, ...],
    transition: int,
    method: str,
) -> None:
    node, client = place.make(Maker())
    for _ in range(2):
        for step in way:
            assert client.change(step)

        with monkeypatch.context() as broken:
            broken.setattr(Processing, method, failing_once(method))
            assert not client.change(transition)
        assert client.state() == 'unconfigured'
        assert 'KeyError' in node.last_failure
        assert place.spins
        client.becomes(client.publishes, value=False, what='publishing')
        assert not client.subscribes()
    assert client.change(CONFIGURE)
    assert client.change(ACTIVATE)
    client.becomes(client.subscribes, value=True, what='subscribing')


def failing_once(method: str) -> Any:
    """Return a method of `Processing` that fails when it is called first."""
    original = Processing.__dict__[method]
    calls: list[str] = []

    def stand_in(*arguments: Any, **options: Any) -> Any:
        calls.append(method)
        if len(calls) == 1:
            raise KeyError('a fault of this program')
        return original(*arguments, **options)

    return stand_in


def test_an_error_that_cannot_be_cleared_up_finalizes_the_node(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = place.make(Maker())
    assert client.change(CONFIGURE)
    with monkeypatch.context() as broken:
        broken.setattr(Processing, 'release', lambda *_: 1 / 0)
        assert not client.change(CLEANUP)
    assert client.state() == 'finalized'
    assert not client.change(CONFIGURE)
    assert place.spins


def test_cleanup_lets_go_of_the_estimator_each_time(place: Place) -> None:
    maker = Maker()
    _, client = place.make(maker)
    for count in range(1, 4):
        assert client.change(CONFIGURE)
        assert client.change(ACTIVATE)
        place.see_one_window()
        client.becomes(lambda: _offers_export(client), value=True, what='offering an export')
        assert maker.alive == 1
        assert client.change(DEACTIVATE)
        assert maker.alive == 1
        assert client.change(CLEANUP)
        assert len(maker.made) == count
        client.becomes(lambda: _offers_export(client), value=False, what='offering an export')
        assert maker.alive == 0


def _offers_export(client: LifecycleClient) -> bool:
    services = client.node.get_service_names_and_types_by_node('da3_node', '/')
    return any('export_scene' in name for name, _ in services)


def test_an_estimator_in_a_long_window_goes_when_it_is_done(place: Place) -> None:
    maker = Maker()
    maker.delay_s = 3.0
    node, client = place.make(maker)
    assert client.change(CONFIGURE)
    assert client.change(ACTIVATE)
    robot = place.robot
    robot.wait_for_node()
    pipeline = node._processing._pipeline  # type: ignore[union-attr]
    robot.send()
    robot.send()
    robot.wait(lambda: pipeline.sync_report().sets > 0, 'a set')
    assert client.change(SHUTDOWN['active'])
    assert client.state() == 'finalized'
    robot.wait(lambda: maker.alive == 0, 'the end of the estimator', timeout_s=10.0)
