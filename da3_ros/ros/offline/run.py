"""A recording through the pipeline into a bag: every set once, and on again after a kill."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
import logging
import time
from typing import Any, Protocol

from da3_ros.errors import PipelineError, StreamError
from da3_ros.notes import Note
from da3_ros.options.outputs import OutputChoice
from da3_ros.options.scenes import RUN
from da3_ros.pipeline.behind import Behind
from da3_ros.pipeline.every_frame import every_result
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.saved_state import windows_of
from da3_ros.process import threads_in_use
from da3_ros.reasons import recorded_text
from da3_ros.ros.offline.cameras import Cameras
from da3_ros.ros.offline.checkpoint import CHECKPOINT_WINDOWS, RunState, state_bytes, state_of
from da3_ros.ros.offline.copied import CopiedTopics, TimedMessage
from da3_ros.ros.offline.earlier_output import WINDOW_REPORT, window_reports
from da3_ros.ros.offline.feed import CameraFeed
from da3_ros.ros.offline.result_messages import Message, ResultMessages
from da3_ros.ros.offline.tally import Tally
from da3_ros.ros.offline.tape import Taker, Tape
from da3_ros.ros.offline.tape_transforms import TapeTransforms
from da3_ros.ros.offline.watch import RecordingWatch
from da3_ros.ros.reading.camera_reader import ReadCounts
from da3_ros.ros.reason_board import Found, ReasonBoard
from da3_ros.ros.tf.claims import TransformClaims
from da3_ros.ros.tf.rig_source import RigSource
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC
from da3_ros.ros.window_reasons import WindowReasons, say_stamps
from da3_ros.sources.bag import RawMessage, TopicInfo
from da3_ros.stream.drops import DropCount
from da3_ros.types import (
    CameraFrame,
    Estimator,
    ForgetsViews,
    NetworkEstimator,
    Window,
    WindowPrediction,
    WindowResult,
)

_log = logging.getLogger(__name__)
_NS_PER_S = 1e9
_FIRST_LOOK_NS = 1_000_000_000


class ResultBag(Protocol):
    """A bag that keeps what was committed."""

    @property
    def committed(self) -> bytes | None:
        """State of the last commit of a run that was interrupted; None for a new one."""
        ...

    def add_topic(self, topic: str, msgtype: str, *, is_latched: bool = False) -> None:
        """Announce a topic; a second time does nothing."""
        ...

    def write(self, topic: str, stamp_ns: int, data: bytes) -> None:
        """Append a message with its log time."""
        ...

    def commit(self, state: bytes) -> None:
        """Keep what was written, whatever happens now, and the state that goes with it."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    fraction: float
    """Of the recording, by log time, 0 to 1."""
    seconds_read: float
    """Of the recording."""
    sets: int
    """That came out, those of interrupted runs among them."""
    is_replay: bool
    """Whether it only comes to where an interrupted run stopped."""


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What a run did."""

    tally: Tally
    resumed_windows: int
    """Windows of the interrupted run, which were not computed again."""
    received: Mapping[str, ReadCounts]
    """Images of every camera."""
    lost: tuple[DropCount, ...]
    """Images that reached no set, by camera and cause."""
    complete_sets: int
    """Sets that the images made."""
    passed_over_sets: int
    """Those of them between the ones that were asked for."""
    unplaced: tuple[str, ...]
    """Cameras whose place on the robot is not known."""
    estimator_s: float
    """Time inside the estimator, of this process alone."""
    other_threads: int
    """Number of threads before the interruption where it was another one; 0 else."""
    notes: tuple[Note, ...]
    """What was left out of the recording."""
    reasons: tuple[str, ...]
    """What there was to say, each once, the worst first."""


class BagRun:
    """Runs once.

    Args:
        tape: the recording, open.
        cameras: which they are, with options, rig and views.
        choice: what is written.
        estimator: turns windows into geometry.
        bag: takes the messages.
        every: use only each set of this number.
        turns_images: whether the estimator needs upright images.
        log: takes the reasons, once each.
        on_progress: called after every window.
    """

    def __init__(
        self,
        tape: Tape,
        cameras: Cameras,
        choice: OutputChoice,
        estimator: Estimator,
        bag: ResultBag,
        *,
        every: int = RUN.every,
        turns_images: bool = True,
        log: Any = _log,
        on_progress: Callable[[Progress], object] = lambda progress: None,
    ) -> None:
        options = self._options = cameras.options
        self._tape, self._bag, self._on_progress = tape, bag, on_progress
        # Never ticked: each reason is said once, and holds to the end.
        self._reasons = ReasonBoard(log, self._clock, recorded_text)
        self._windows = WindowReasons(self._reasons)
        names = {t.camera: t.image for t in cameras.topics}
        self._watch = RecordingWatch(self._reasons, options.stream, names, self._clock)
        self._estimator = TimedEstimator(estimator)
        self._forgets = estimator if isinstance(estimator, ForgetsViews) else None
        topics = {info.name for info in tape.topics if info.count}
        self._has_moving = MOVING_TOPIC in topics
        self._reports = window_reports([b.path for b in tape.bags if _has_reports(b.topics)])
        self._tf = TapeTransforms(
            options.output,
            self._reasons,
            lambda: tape.now_ns,
            tape.read_ahead,
            has_moving=self._has_moving,
            reports=self._reports,
        )
        self._rig_source = RigSource(options.output, cameras.rig, self._tf)
        self._claims = TransformClaims(options.output, self._tf)
        self._messages = ResultMessages(options, choice, self._claims, notes=_notes(estimator))
        turns = {c: view.quarter_turns for c, view in cameras.views.items() if turns_images}
        self._pipeline = Pipeline(
            options,
            self._estimator,
            self._rig_source,
            on_rig=self._put_rig,
            on_stamps=lambda event: say_stamps(self._reasons, event),
            quarter_turns=turns,
            log=log,
            clock=self._clock,
            keeps_all=True,
            every=every,
        )
        self._feed = CameraFeed(tape, cameras, self._reasons, self._clock)
        self._copied = CopiedTopics(tape, choice, list(names), self._put_copied)
        self._behind: Behind[Iterable[TimedMessage]] | None = None
        self._resumed = None if bag.committed is None else state_of(bag.committed)
        self._tally = Tally() if self._resumed is None else self._resumed.tally
        self._committed = 0 if self._resumed is None else windows_of(self._resumed.pipeline)
        self._left_out = self._committed
        self._has_begun = False

    def run(self) -> RunResult:
        """Read the recording to its end and write all that comes of it.

        Raises:
            SourceError: a bag cannot be read any more.
            SinkError: the output cannot be written.
            StreamError: not a single set came of the recording, or it is not the one of the run
                that was interrupted.
        """
        resumed = self._resumed
        if resumed is not None:
            self._messages.restore(resumed.messages)
            self._copied.restore(resumed.copied)
            self._tape.expect(resumed.read)
        self._tf.know_static(self._tape.every(STATIC_TOPIC))
        takers = {MOVING_TOPIC: self._take_moving} if self._has_moving else {}
        listeners = self._copied.takers()
        try:
            with (
                Behind(self._write, name='da3_bag_writer') as behind,
                # Its reader ends before anybody closes the bags.
                closing(self._frames(takers, listeners)) as frames,
            ):
                self._behind = behind
                self._copied.begin()
                state = None if resumed is None else resumed.pipeline
                results = every_result(self._pipeline, frames, self._failed, state, self._recall)
                for result in results:
                    self._take(result, behind)
        finally:
            self._pipeline.close()
            self._reports.close()
        self._feed.finish()
        return self._result()

    def _frames(
        self, takers: Mapping[str, Taker], listeners: Mapping[str, Taker]
    ) -> Generator[CameraFrame, None, None]:
        yield from self._feed.frames(takers, listeners, self._tick, self._put_rest)
        # Before the input ends, by which no camera sends any more.
        self._look()

    def _clock(self) -> float:
        return self._tape.now_ns / _NS_PER_S

    @property
    def _is_replay(self) -> bool:
        return self._pipeline.windows < self._left_out

    # ---- what comes of windows

    def _take(self, result: WindowResult, behind: Behind[Iterable[TimedMessage]]) -> None:
        self._tally = self._tally.with_result(result)
        if result.new_sets:
            self._windows.made(result)
            self._watch.made(result)
            losses = self._pipeline.losses(result)
            messages = self._messages.of_window(result, losses, self._pipeline.rig)
            behind.put(self._with_copied(messages))
        else:
            self._windows.refused(result)
        if self._pipeline.windows - self._committed >= CHECKPOINT_WINDOWS:
            self._checkpoint(behind)
        self._say_progress()

    def _failed(self, error: PipelineError) -> None:
        self._tally = self._tally.with_failed()
        self._windows.failed(error)

    def _checkpoint(self, behind: Behind[Iterable[TimedMessage]]) -> None:
        """Keep what there is: a run that goes on from here computes the same as this one."""
        behind.drain()
        if self._forgets is not None:
            # Who goes on has nothing of earlier windows either.
            self._forgets.forget()
        state = RunState(
            self._pipeline.state(),
            self._messages.state(),
            self._tally,
            self._reasons.remembered(),
            self._tape.read_crc,
            self._copied.count,
            threads_in_use() or 0,
        )
        self._bag.commit(state_bytes(state))
        self._committed = self._pipeline.windows

    def _put_rig(self, frame_ids: Mapping[str, str]) -> None:
        rig = self._rig_source.only_given(frame_ids)
        self._put(self._messages.of_rig(rig, frame_ids))

    def _tick(self) -> None:
        """Bring up to date what others publish; about once per second of the recording."""
        if not self._has_begun:
            # What moves is known before the first image that asks for it.
            self._has_begun = True
            self._tape.read_ahead(self._tape.now_ns + _FIRST_LOOK_NS)
        self._put(self._messages.of_tick())
        self._look()
        self._say_progress()

    def _put(self, messages: Iterator[Message]) -> None:
        # What the interrupted run had written is there.
        if self._behind is not None and not self._is_replay:
            self._behind.put(self._with_copied(messages))

    def _with_copied(self, messages: Iterator[Message]) -> Iterator[TimedMessage]:
        """Return what is copied up to the present log time, and messages of this run."""
        log_ns = self._tape.now_ns
        return chain(self._copied.due(), ((log_ns, message) for message in messages))

    def _put_copied(self, *, is_end: bool = False) -> None:
        if self._behind is not None and (due := self._copied.due(is_end=is_end)):
            self._behind.put(due)

    def _put_rest(self) -> None:
        """Put what is copied behind the last image, all being read."""
        self._put_copied(is_end=True)

    def _take_moving(self, message: RawMessage) -> None:
        kept = self._tf.take_message(message)
        if kept is not None and self._copied.has_moving:
            self._copied.take(kept)

    def _write(self, messages: Iterable[TimedMessage]) -> None:
        """Write messages with their log time; the thread behind."""
        for log_ns, (topic, msgtype, data) in messages:
            self._bag.add_topic(topic, msgtype, is_latched=self._copied.is_latched(topic))
            self._bag.write(topic, log_ns, data)

    # ---- what is said

    def _recall(self) -> None:
        """Take over what the interrupted run found, of windows that are not computed again."""
        if self._resumed is not None:
            self._reasons.recall(self._resumed.reasons)

    def _look(self) -> None:
        self._watch.look(self._feed.counts(), self._pipeline.sync_report())
        self._pipeline.doubt(self._watch.far_off)

    def _say_progress(self) -> None:
        tape = self._tape
        seconds = (tape.now_ns - tape.first_ns) / _NS_PER_S
        self._on_progress(Progress(tape.fraction, seconds, self._tally.sets, self._is_replay))

    def _result(self) -> RunResult:
        if not self._tally.sets:
            raise StreamError(f'not one set came out of the recording: {self._why_nothing()}')
        report, threads = self._pipeline.sync_report(), threads_in_use() or 0
        before = 0 if self._resumed is None else self._resumed.threads
        return RunResult(
            tally=self._tally,
            resumed_windows=self._left_out,
            received=self._feed.counts(),
            lost=report.dropped,
            complete_sets=report.sets,
            passed_over_sets=self._pipeline.passed_over_sets,
            unplaced=self._pipeline.unplaced_cameras,
            estimator_s=self._estimator.seconds,
            other_threads=before if before and before != threads else 0,
            notes=self._tf.notes,
            reasons=tuple(_counted(found) for found in self._reasons.found()),
        )

    def _why_nothing(self) -> str:
        found = self._reasons.found()
        if found:
            return found[0].text
        counts = self._feed.counts()
        return ', '.join(f'camera {name}: {c.received} images' for name, c in counts.items())


class TimedEstimator:
    """Measures how long an estimator takes.

    Args:
        estimator: does the work.
    """

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self.seconds = 0.0
        """Inside `estimate` so far."""

    def estimate(self, window: Window) -> WindowPrediction:
        """Return what the estimator says."""
        began = time.perf_counter()
        try:
            return self._estimator.estimate(window)
        finally:
            self.seconds += time.perf_counter() - began


def _has_reports(topics: Sequence[TopicInfo]) -> bool:
    return any(info.msgtype == WINDOW_REPORT and info.count for info in topics)


def _counted(found: Found) -> str:
    return found.text if found.count == 1 else f'{found.text} ({found.count} times)'


def _notes(estimator: Estimator) -> tuple[Note, ...]:
    """Return what every window report says of a network."""
    caution = estimator.caution if isinstance(estimator, NetworkEstimator) else None
    return () if caution is None else (Note('caution', caution.brief),)
