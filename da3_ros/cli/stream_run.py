"""A stream from its frames to its files: windows, checkpoints, the end."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
import logging
from typing import TYPE_CHECKING, Any

from da3_ros.cli.reporting import complain
from da3_ros.errors import ExportError, PipelineError
from da3_ros.options import NodeOptions, OutputOptions, StreamOptions
from da3_ros.pipeline.behind import Behind
from da3_ros.pipeline.every_frame import every_result
from da3_ros.pipeline.known_trajectory import KnownTrajectory
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.read_ahead import BYTES_AHEAD, ReadAhead
from da3_ros.pipeline.rig import GivenRig
from da3_ros.sinks.stream_folder import StreamFolder
from da3_ros.sinks.stream_part import StreamPart
from da3_ros.types import CameraFrame, Estimator, ForgetsViews

if TYPE_CHECKING:
    from da3_ros.cli.stream_options import StreamRequest
    from da3_ros.cli.stream_plan import StreamPlan
    from da3_ros.cli.stream_source import Shrink, StreamSource

PRIOR_FRAME = 'known_poses'
"""Frame of the poses that are known beforehand."""

_NS_PER_S = 1e9
_MOST_WINDOWS = 50
FRAMES_OF_CHECKPOINT = 200
"""After so many new frames a run is committed: what is computed since then is lost by a kill."""
_HOPELESS = 3
"""Windows that fail before any succeeds: the others will fail, too."""

_KEPT = ('window', 'stride', 'store_every')
"""Of the plan: an interrupted run goes on with these."""

_log = logging.getLogger(__name__)


def node_options(
    request: StreamRequest, plan: StreamPlan, cameras: tuple[str, ...], *, has_poses: bool
) -> NodeOptions:
    """Return the options of the pipeline.

    Raises:
        ConfigError: one is out of its bounds.
    """
    return NodeOptions(
        estimator=request.network,
        stream=StreamOptions(
            cameras=cameras,
            window=plan.window,
            stride=plan.stride,
            scale_source=request.stream.scale_source,
            scene_sets=0,
        ),
        output=OutputOptions(prior_frame=PRIOR_FRAME if has_poses else ''),
    )


def with_plan_of(committed: dict[str, Any] | None, plan: StreamPlan) -> StreamPlan:
    """Return the plan with the windows that an interrupted run had."""
    if committed is None:
        return plan
    try:
        window, stride, every = (int(committed['plan'][name]) for name in _KEPT)
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(
            f'the record of an interrupted run is damaged ({error}); --restart begins anew'
        ) from error
    return replace(plan, window=window, stride=stride, store_every=every)


@dataclass(eq=False)
class FrameClock:
    """Tells the time of the newest frame, so that nothing depends on how fast frames come."""

    stamp_ns: int = 0

    def __call__(self) -> float:
        """Return the stamp of the newest frame, s."""
        return self.stamp_ns / _NS_PER_S


@dataclass(eq=False)
class Failures:
    """Windows that failed; too many at the beginning end the run."""

    count: int = 0
    first: str = ''
    has_result: bool = False
    lines: Callable[[str], object] = field(default=complain)

    def __call__(self, error: PipelineError) -> None:
        """Take note of one.

        Raises:
            PipelineError: nothing but failures up to now.
        """
        self.count += 1
        self.first = self.first or str(error)
        if self.count >= _HOPELESS and not self.has_result:
            raise error
        self.lines(str(error))

    def notes(self) -> tuple[str, ...]:
        """Return what is said of them."""
        if not self.count:
            return ()
        return (f'{self.count} windows failed, the first: {self.first}',)


def _size_of(taken: tuple[int, CameraFrame]) -> int:
    return taken[1].image.nbytes


@dataclass(frozen=True, eq=False)
class StreamRun:
    """What one run has, once everything is known to be in order."""

    source: StreamSource
    options: NodeOptions
    plan: StreamPlan
    estimator: Estimator
    known: KnownTrajectory | None
    part: StreamPart
    folder: StreamFolder
    shrink: Shrink
    failures: Failures = field(default_factory=Failures)

    def compute(self, advanced: Callable[[int], object]) -> None:
        """Bring every frame into the folder; go on behind what was committed.

        Args:
            advanced: called with the number of frames that are in the folder now.

        Raises:
            Da3Error: the input, the estimator or the disk refuses.
        """
        known = self.known
        rig = GivenRig(self.source.rig, known.prior_of if known else lambda frame_set: None)
        clock = FrameClock()
        pipeline = Pipeline(
            self.options, self.estimator, rig, keeps_all=True, log=_log, clock=clock
        )
        committed = self.part.committed
        resumed = None
        if committed is not None:
            resumed = base64.b64decode(committed['pipeline'])
            self.folder.restore(committed['folder'])
            self.failures.count, self.failures.first = committed['failures']
            advanced(self.folder.counts.frames)
        try:
            with (
                ReadAhead(self.source.frames(self.shrink), _size_of, BYTES_AHEAD) as frames,
                Behind(self.folder.add) as writer,
            ):
                taken = self._taken(iter(frames), clock)
                for result in every_result(pipeline, taken, self.failures, resumed):
                    self.failures.has_result = True
                    writer.put(replace(result, images={}))
                    advanced(self.folder.counts.frames)
                    if pipeline.windows % self._checkpoint_windows == 0:
                        writer.drain()
                        self._commit(pipeline)
                writer.drain()
                advanced(self.folder.counts.frames)
            if pipeline.windows:
                self._commit(pipeline)
        finally:
            pipeline.close()

    @property
    def _checkpoint_windows(self) -> int:
        new = self.plan.stride * len(self.source.cameras)
        return max(1, min(_MOST_WINDOWS, FRAMES_OF_CHECKPOINT // new))

    def _taken(
        self, frames: Iterator[tuple[int, CameraFrame]], clock: FrameClock
    ) -> Iterator[CameraFrame]:
        for number, frame in frames:
            clock.stamp_ns = max(clock.stamp_ns, frame.stamp_ns)
            self.folder.took(frame.id, number)
            yield frame

    def _commit(self, pipeline: Pipeline) -> None:
        # The windows behind it compute the same whether or not the run was interrupted here.
        if isinstance(self.estimator, ForgetsViews):
            self.estimator.forget()
        plan = {name: getattr(self.plan, name) for name in _KEPT}
        state = {
            'plan': plan,
            'pipeline': base64.b64encode(pipeline.state()).decode(),
            'folder': self.folder.commit(),
            'failures': [self.failures.count, self.failures.first],
        }
        self.part.commit(state)
