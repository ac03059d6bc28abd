"""Whatever happens within a step: nothing of an older world, unit or clock comes out.

The machine draws what callbacks and services do, and where in the worker's step they do it: while
TF is waited for, while the network computes, when the world has taken a result and nothing of it
is published yet, and while it is published. All in one thread, so that every race has its turn
and every failure can be drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import numpy as np
import pytest

pytest.importorskip('hypothesis')
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from da3_ros.options import from_flat
from da3_ros.pipeline.pipeline import Losses, Pipeline
from da3_ros.ros.node.delivery import Delivery
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.stream.stats import StreamStats
from da3_ros.types import CameraFrame, PosedSet, RigCalibration, WindowResult
from helpers.pipelines import METRES, UNITS, Rig, Wall

STEP_NS = 100_000_000
NEWEST_CLOCK_NS = 10**18
CLOCK_NS = 10**13
"""A clock begins so much before the one that it replaces: longer than any sequence lasts."""
CAMERAS = ('front', 'left')

Place = Literal['tf', 'network', 'step', 'log', 'publish']
Action = Literal[
    'push', 'push_one', 'push_rest', 'push_late', 'look', 'metric', 'reset', 'jump', 'rig',
    'wanted', 'fails',
]  # fmt: skip
PLACES: tuple[Place, ...] = get_args(Place)
ACTIONS: tuple[Action, ...] = get_args(Action)

BEGINNINGS: tuple[Action, ...] = ('reset', 'jump')

interruptions = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(ACTIONS)), min_size=1, max_size=3
)
windows = st.sampled_from([(2, 1), (3, 1), (3, 2), (2, 2), (1, 1)])


def numbered_image(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    digits = [number >> 16 & 255, number >> 8 & 255, number & 255]
    return np.full((2, 3, 3), digits, np.uint8)


class YieldingPipeline(Pipeline):
    """Lets other threads have their turn between a step and whatever becomes of its result."""

    between: Callable[[], None]

    def step(
        self,
        is_wanted: Callable[[], bool] = lambda: True,
        counts: Callable[[], bool] = lambda: True,
    ) -> WindowResult | None:
        result = super().step(is_wanted, counts)
        if result is not None:
            self.between()
        return result


class Machine(RuleBasedStateMachine):
    """The worker's side of the node around a real pipeline, and what must never come out."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        """Of the newest frame."""
        self.floor = 0
        """Frames below were pushed before the newest new beginning."""
        self.number_of: dict[int, int] = {}
        """Stamp to the newest frame that has it."""
        self.clock = 0
        self.now_ns = NEWEST_CLOCK_NS
        self.due: list[tuple[Place, Action]] = []
        self.is_interrupted = False
        self.violations: list[AssertionError] = []
        """A failed window does not end the worker, and neither does a check within one."""

    @initialize(
        cameras=st.integers(1, 2),
        window=windows,
        scene_sets=st.sampled_from([100, 2, 0]),
    )
    def configure(self, cameras: int, window: tuple[int, int], scene_sets: int) -> None:
        self.cameras = CAMERAS[:cameras]
        options = from_flat(
            {
                'cameras': self.cameras,
                'window': window[0],
                'stride': window[1],
                'scene_sets': scene_sets,
            }
        )
        self.wall = Wall(between=lambda: self.interrupt('network'))
        self.rig = Rig(between=lambda: self.interrupt('tf'))
        self.is_wanted = True
        self.stats = StreamStats()
        self.pipeline = YieldingPipeline(options, self.wall, self.rig, log=self, stats=self.stats)
        self.pipeline.between = lambda: self.interrupt('step')
        self.delivery = Delivery(
            self.pipeline,
            self,
            ReasonBoard(self),
            self.stats,
            is_wanted=lambda: self.is_wanted,
        )
        self.published: list[WindowResult] = []
        self.floor = self.number + 1

    # ---- what a node consists of besides

    def info(self, message: str, /) -> None:
        self.interrupt('log')

    def warning(self, message: str, /) -> None:
        self.interrupt('log')

    def error(self, message: str, /) -> None:
        self.interrupt('log')

    def publish(self, result: WindowResult, losses: Losses, rig: RigCalibration) -> float:
        """Check what goes out."""
        with self.noting():
            self.check_result(result)
        self.published.append(result)
        self.interrupt('publish')
        return 0.0

    def check_result(self, result: WindowResult) -> None:
        self.check_sets(result.new_sets, is_metric=result.alignment.is_metric)
        assert {posed.generation for posed in result.new_sets} == {result.generation}
        before = self.published[-1] if self.published else None
        if before is not None:
            assert before.generation <= result.generation
            if before.generation == result.generation:
                assert before.new_sets[-1].stamp_ns < result.new_sets[0].stamp_ns
                assert before.alignment.is_metric == result.alignment.is_metric
        ids = {view.id for posed in result.new_sets for view in posed.views}
        assert ids == set(result.images)

    def restart(self) -> None:
        """Begin to publish another world."""

    @contextmanager
    def noting(self) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            self.violations.append(error)

    # ---- what happens in between

    def interrupt(self, place: Place) -> None:
        """Let other threads do what was drawn for this place."""
        if self.is_interrupted:
            return
        self.is_interrupted = True
        with self.noting():
            self.look()
        now = [action for where, action in self.due if where == place]
        self.due = [(where, action) for where, action in self.due if where != place]
        for action in now:
            # A reset waits for what is being published.
            if (place, action) != ('publish', 'reset'):
                with self.noting():
                    self.act(action)
        self.is_interrupted = False

    def act(self, action: Action) -> None:
        actions: dict[Action, Callable[[], None]] = {
            'push': self.push,
            'push_one': lambda: self.push(self.cameras[:1]),
            'push_rest': lambda: self.push(self.cameras[1:], is_new=False),
            'push_late': lambda: self.push(late_ns=STEP_NS // 2),
            'reset': self.reset,
            'jump': self.jump,
            'look': self.look,
            'metric': lambda: setattr(self.wall, 'is_metric', True),
            'rig': lambda: self.rig.known.update({self.cameras[-1]: np.eye(4)}),
            'wanted': lambda: setattr(self, 'is_wanted', not self.is_wanted),
            'fails': lambda: setattr(self.wall, 'fails', not self.wall.fails),
        }
        actions[action]()

    def push(
        self, cameras: tuple[str, ...] | None = None, late_ns: int = 0, is_new: bool = True
    ) -> None:
        """Push frames of a new instant, of the last one, or of one before it."""
        if is_new and not late_ns:
            self.now_ns += STEP_NS
        stamp_ns = self.now_ns - late_ns
        for camera in self.cameras if cameras is None else cameras:
            self.number += 1
            self.number_of[stamp_ns] = self.number
            image = numbered_image(self.number)
            self.pipeline.push(CameraFrame(camera, stamp_ns, f'{camera}_optical', image))

    def reset(self) -> None:
        """Begin anew, also with a network that has forgotten what a metre is."""
        self.delivery.reset()
        self.wall.is_metric = False
        self.floor = self.number + 1

    def jump(self) -> None:
        """Set the clock back, and push until a set of the new one came together."""
        self.clock += 1
        self.now_ns = NEWEST_CLOCK_NS - self.clock * CLOCK_NS
        first = self.number + 1
        sets = self.pipeline.sync_report().sets
        while self.pipeline.sync_report().sets == sets:
            self.push()
        self.floor = first

    def look(self) -> None:
        """Take a snapshot, as an export does, and check it."""
        scene = self.pipeline.snapshot()
        self.check_sets(scene.sets, is_metric=scene.is_metric)
        assert {posed.generation for posed in scene.sets} <= {scene.generation}
        stamps = [pose.stamp_ns for pose in scene.trajectory.poses()]
        assert stamps == sorted(set(stamps))
        assert all(self.number_of[stamp_ns] >= self.floor for stamp_ns in stamps)
        assert {posed.stamp_ns for posed in scene.sets} <= set(stamps)

    def check_sets(self, sets: tuple[PosedSet, ...], *, is_metric: bool) -> None:
        stamps = [posed.stamp_ns for posed in sets]
        assert stamps == sorted(set(stamps))
        for view in (view for posed in sets for view in posed.views):
            number = int.from_bytes(bytes(view.image[0, 0].tolist()), 'big')
            assert number >= self.floor, 'a view from before the newest beginning'
            unit = METRES if is_metric else UNITS
            np.testing.assert_allclose(view.depth, unit, rtol=1e-4)

    # ---- rules

    @rule(action=st.sampled_from(ACTIONS))
    def between_steps(self, action: Action) -> None:
        self.act(action)

    @rule(count=st.integers(1, 3), becomes_metric=st.booleans())
    def work(self, count: int, becomes_metric: bool) -> None:
        """Push and let the worker step; then the network may learn what a metre is."""
        self.is_wanted, self.wall.fails = True, False
        for _ in range(count):
            self.push()
            self.delivery.work(lambda: True)
        self.wall.is_metric |= becomes_metric

    @rule(due=interruptions)
    def work_interrupted(self, due: list[tuple[Place, Action]]) -> None:
        """Push and let the worker step, with what happens meanwhile."""
        self.is_wanted, self.wall.fails = True, False
        self.push()
        self.due = due
        self.delivery.work(lambda: True)
        self.due = []

    @rule(before=st.lists(st.sampled_from(ACTIONS), max_size=2), begin=st.sampled_from(BEGINNINGS))
    def begin_between_steps(self, before: list[Action], begin: Action) -> None:
        """Begin anew while frames and sets wait, and let the worker take what there is."""
        for action in (*before, begin):
            self.act(action)
        self.act('push_rest')
        self.delivery.work(lambda: True)

    @rule(due=interruptions)
    def work_through_a_pause(self, due: list[tuple[Place, Action]]) -> None:
        """A window that is in the works when the node is deactivated does not count."""
        already = len(self.published)
        kept = {posed.stamp_ns for posed in self.pipeline.snapshot().sets}
        self.due = due
        self.delivery.work(lambda: False)
        self.due = []
        self.pipeline.pause()
        assert len(self.published) == already
        assert {posed.stamp_ns for posed in self.pipeline.snapshot().sets} <= kept

    @rule(window=windows, scene_sets=st.sampled_from([100, 2, 0]), due=interruptions)
    def reconfigure(
        self, window: tuple[int, int], scene_sets: int, due: list[tuple[Place, Action]]
    ) -> None:
        """Other parameters: the old pipeline ends in the middle of a window."""
        old, delivery, already = self.pipeline, self.delivery, self.published
        count = len(already)
        self.push()
        self.due = due
        self.wall.between = old.close
        delivery.work(lambda: True)
        self.due = []
        old.close()
        assert old.snapshot().sets == ()
        assert len(already) == count
        self.configure(len(self.cameras), window, scene_sets)

    @invariant()
    def whoever_looks_sees_one_world(self) -> None:
        self.look()
        for violation in self.violations:
            raise violation


def run(sequences: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            database=None,
            # Explaining a failure takes longer than a test may.
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_nothing_of_an_older_world_comes_out() -> None:
    run(200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_of_an_older_world_comes_out_of_ten_thousand_sequences() -> None:
    run(10_000)
