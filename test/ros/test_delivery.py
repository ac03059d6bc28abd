"""From a frame to what is published: failures stay with their window, a late rig starts anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
import threading
from typing import Any

from geometry_msgs.msg import TransformStamped
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage

from da3_ros.errors import StreamError
from da3_ros.geometry.camera import ImageSize
from da3_ros.notes import Note
from da3_ros.pipeline.pipeline import Losses, Pipeline
from da3_ros.ros.messages.geometry_messages import transform_message
from da3_ros.ros.node.delivery import Delivery
from da3_ros.ros.node.outputs import Outputs
from da3_ros.ros.node.params import OptionsHolder
from da3_ros.ros.node.worker import Worker
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.listener import TfInput
from da3_ros.ros.tf.rig_source import RigSource
from da3_ros.stream.stats import StreamStats
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import make_world
from da3_ros.types import RigCalibration, Window, WindowPrediction, WindowResult
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
WORLD = make_world()
SIZE = ImageSize(24, 32)
TIMEOUT_S = 10.0


class Faulty:
    """The truth, spoilt for chosen windows."""

    def __init__(self, spoil: Callable[[Window, WindowPrediction], WindowPrediction]) -> None:
        self._truth = TruthEstimator(WORLD)
        self._spoil = spoil

    def estimate(self, window: Window) -> WindowPrediction:
        return self._spoil(window, self._truth.estimate(window))


class RecordingOutputs(Outputs):
    """Publishes as usual, and remembers what was published."""

    def __init__(self, node: Node, holder: OptionsHolder, tf: TfInput) -> None:
        super().__init__(node, holder, tf)
        self.results: list[tuple[WindowResult, RigCalibration]] = []
        self.changed = threading.Condition()

    def publish(self, result: WindowResult, losses: Losses, rig: RigCalibration) -> float:
        latency_s = super().publish(result, losses, rig)
        with self.changed:
            self.results.append((result, rig))
            self.changed.notify_all()
        return latency_s


class Bench:
    """A worker with everything around it, fed by hand."""

    def __init__(self, context: Context, estimator: Any, cameras: list[str]) -> None:
        overrides = [Parameter('cameras', value=cameras), Parameter('window', value=2)]
        self.node = Node('bench', context=context, parameter_overrides=overrides)
        holder = OptionsHolder(self.node)
        self.lines: list[str] = []
        self.faulted = threading.Event()
        self.reasons = ReasonBoard(self)
        self.stats = StreamStats()
        logger = self.node.get_logger()
        output = holder.current.output
        self.tf = TfInput(self.node, output, self.reasons)
        self.outputs = RecordingOutputs(self.node, holder, self.tf)
        self.rig_source = RigSource(output, RigCalibration(), self.tf)
        self.pipeline = Pipeline(
            holder.current, estimator, self.rig_source, log=logger, stats=self.stats
        )
        self.delivery = Delivery(self.pipeline, self.outputs, self.reasons, self.stats)
        self.worker = Worker(estimator, self.delivery.work, lambda: self.pipeline.has_work)
        self.worker.activate()
        self._stamp_ns = 10**18

    def info(self, message: str) -> None:
        self.lines.append(message)

    def warning(self, message: str) -> None:
        self.lines.append(message)

    def error(self, message: str) -> None:
        self.lines.append(message)
        self.faulted.set()

    def push(self, cameras: list[str]) -> int:
        self._stamp_ns += 100_000_000
        for camera in cameras:
            if self.pipeline.push(WORLD.frame(camera, self._stamp_ns, SIZE)):
                self.worker.wake()
        return self._stamp_ns

    def wait(self, count: int) -> list[tuple[WindowResult, RigCalibration]]:
        with self.outputs.changed:
            done = self.outputs.changed.wait_for(
                lambda: len(self.outputs.results) >= count, TIMEOUT_S
            )
            assert done, f'{len(self.outputs.results)} windows, faults: {self.lines}'
            return list(self.outputs.results)


@pytest.fixture(name='bench')
def bench_fixture() -> Iterator[Callable[..., Bench]]:
    context = Context()
    stack = ExitStack()
    rclpy.init(context=context, domain_id=stack.enter_context(reserved_domain_id()))
    made: list[Bench] = []

    def make(estimator: Any, cameras: list[str]) -> Bench:
        made.append(Bench(context, estimator, cameras))
        return made[-1]

    yield make
    for bench in made:
        assert bench.worker.close(TIMEOUT_S)
        bench.node.destroy_node()
    rclpy.shutdown(context=context)
    stack.close()


def test_a_window_that_fails_is_named_and_the_next_one_goes_on(
    bench: Callable[..., Bench],
) -> None:
    def spoil(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        if window.index == 1:
            raise StreamError('the network is on fire')
        return prediction

    found = bench(Faulty(spoil), ['front'])
    found.push(['front'])
    found.wait(1)
    failed_ns = found.push(['front'])
    assert found.faulted.wait(TIMEOUT_S)
    assert found.lines == [
        'window 1 (cameras front) failed and is left out: StreamError: the network is on fire'
    ]
    next_ns = found.push(['front'])
    result = found.wait(2)[-1][0]
    # What the failed window had seen is made up for by the next.
    assert [s.stamp_ns for s in result.new_sets] == [failed_ns, next_ns]
    assert found.stats.snapshot(0.0).counters['failed_windows'] == 1


def test_a_prediction_of_nonsense_is_refused_and_said(bench: Callable[..., Bench]) -> None:
    def spoil(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        if window.index != 0:
            return prediction
        bad = replace(prediction.views[0], window_from_camera=np.full((4, 4), np.nan))
        return replace(prediction, views=(bad, *prediction.views[1:]))

    found = bench(Faulty(spoil), ['front'])
    found.push(['front'])
    assert found.faulted.wait(TIMEOUT_S)
    assert 'window 0: window refused' in found.lines[0]
    assert found.pipeline.last_result is None
    found.push(['front'])
    assert len(found.wait(1)[0][0].new_sets) == 2


def test_a_kind_of_note_is_logged_once_whatever_its_words(bench: Callable[..., Bench]) -> None:
    def spoil(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        # No two sentences are alike, and none is known by its numbers alone.
        views = Note('views_in_chunks', 'a' * (window.index + 1))
        sky = Note('no_metric_scale', f'nothing; in window {window.index}')
        return replace(prediction, notes=(views, sky))

    found = bench(Faulty(spoil), ['front'])
    for count in (1, 2, 3):
        found.push(['front'])
        found.wait(count)
    assert found.lines.count('a') == 1
    assert found.lines.count('nothing; in window 0') == 1
    assert not any('aa' in line or 'in window 1' in line for line in found.lines)
    # What holds now has the words of the newest window.
    assert 'nothing; in window 2' in [active.text for active in found.reasons.active()]


def test_a_rig_that_comes_late_starts_a_metric_world(bench: Callable[..., Bench]) -> None:
    cameras = ['front', 'left']
    found = bench(TruthEstimator(WORLD), cameras)
    found.push(cameras)
    first, rig = found.wait(1)[0]
    assert not first.alignment.is_metric
    assert not rig.base_from_camera
    transforms: list[TransformStamped] = [
        transform_message(pose, 0, 'base_link', WORLD.rig.frame_id(camera))
        for camera, pose in WORLD.rig.calibration.base_from_camera.items()
    ]
    found.tf.take_static(serialize_message(TFMessage(transforms=transforms)))
    found.push(cameras)
    second, rig = found.wait(2)[1]
    assert set(rig.base_from_camera) == set(cameras)
    assert second.alignment.method == 'first'
    assert second.alignment.is_metric
    (posed,) = found.pipeline.snapshot().sets
    assert len(posed.views) == 2


def test_reset_forgets_the_scene(bench: Callable[..., Bench]) -> None:
    found = bench(TruthEstimator(WORLD), ['front'])
    for count in (1, 2):
        found.push(['front'])
        found.wait(count)
    assert len(found.pipeline.snapshot().sets) == 2
    found.delivery.reset()
    assert found.pipeline.snapshot().sets == ()
    found.push(['front'])
    assert found.wait(3)[-1][0].alignment.method == 'first'


def test_a_set_that_comes_within_a_reset_stays_in_the_path(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outputs forget the old world before the new one's first window is published."""
    found = bench(TruthEstimator(WORLD), ['front'])
    found.push(['front'])
    found.wait(1)
    reset, restart = found.pipeline.reset, found.outputs.restart
    published: list[int] = []

    def reset_while_images_come() -> None:
        reset()
        found.push(['front'])
        with found.outputs.changed:
            found.outputs.changed.wait_for(lambda: len(found.outputs.results) > 1, 0.5)

    def counted_restart() -> None:
        published.append(len(found.outputs.results))
        restart()

    monkeypatch.setattr(found.pipeline, 'reset', reset_while_images_come)
    monkeypatch.setattr(found.outputs, 'restart', counted_restart)
    found.delivery.reset()
    found.wait(2)
    assert set(published) == {1}
