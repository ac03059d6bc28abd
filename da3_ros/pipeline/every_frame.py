"""Every frame once: a whole input through a pipeline, as fast as its windows are estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from da3_ros.errors import PipelineError, StreamError
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.saved_state import windows_of
from da3_ros.types import CameraFrame, WindowResult


def every_result(
    pipeline: Pipeline,
    frames: Iterable[CameraFrame],
    on_failed: Callable[[PipelineError], object],
    resumed: bytes | None = None,
    on_resumed: Callable[[], object] = lambda: None,
) -> Iterator[WindowResult]:
    """Yield the results of all windows of an input, in order.

    A frame is read when all windows of those before it are estimated and their results were
    taken: nothing piles up, and whoever takes a result finds `pipeline.state()` right behind it.

    Args:
        pipeline: that nothing was pushed into yet, made with `keeps_all`.
        frames: the input, in the order in which it came.
        on_failed: gets the error of each window that failed; the next one goes on.
        resumed: `pipeline.state()` of an interrupted run over the same input. Its windows are
            left out: what led to them is read again, and nothing of them is estimated.
        on_resumed: called when all of that was read, before anything else is done.

    Raises:
        StreamError: `resumed` is no state, or the input is not the one that it was of.
    """
    replay = None if resumed is None else _Replay(pipeline, resumed, on_resumed)
    for has_work in _fed(pipeline, frames):
        while has_work:
            if replay is not None and replay.step():
                pass
            elif (result := _estimated(pipeline, on_failed)) is not None:
                yield result
            has_work = pipeline.has_work
    if replay is not None:
        replay.require_end()


class FrameClock:
    """The time of a recording whose stamps are to be trusted, as the `clock` of a pipeline.

    It is that of the frame that is read, so that a gap in the stamps is no jump of a clock.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Return the time, seconds."""
        return self._now_s

    def following(self, frames: Iterable[CameraFrame]) -> Iterator[CameraFrame]:
        """Yield frames, and stand at the stamp of each."""
        for frame in frames:
            self._now_s = frame.stamp_ns / 1e9
            yield frame


class _Replay:
    """What led to a state, without its estimates.

    Args:
        pipeline: that nothing was pushed into yet.
        state: to come to.
        on_end: called when it is there.
    """

    def __init__(self, pipeline: Pipeline, state: bytes, on_end: Callable[[], object]) -> None:
        self._pipeline = pipeline
        self._on_end = on_end
        self._state: bytes | None = state
        self._windows = windows_of(state)
        self._restore()

    def step(self) -> bool:
        """Do a step without an estimate; return False when the state is there."""
        if self._state is None:
            return False
        with suppress(PipelineError):  # the interrupted run has told of it
            self._pipeline.step(is_wanted=_nobody)
        self._restore()
        return True

    def require_end(self) -> None:
        """Say so when the input was too short for the state."""
        if self._state is not None:
            raise StreamError(
                f'resume: expected an input of at least {self._windows} windows, as that of the '
                f'interrupted run, got {self._pipeline.windows}: it is another one; begin anew'
            )

    def _restore(self) -> None:
        if self._state is not None and self._pipeline.windows == self._windows:
            self._pipeline.restore(self._state)
            self._state = None
            self._on_end()


def _fed(pipeline: Pipeline, frames: Iterable[CameraFrame]) -> Iterator[bool]:
    """Push the frames and end the input; yield after each whether there is work."""
    for frame in frames:
        yield pipeline.push(frame)
    yield pipeline.finish()


def _estimated(
    pipeline: Pipeline, on_failed: Callable[[PipelineError], object]
) -> WindowResult | None:
    try:
        return pipeline.step()
    except PipelineError as error:
        on_failed(error)
        return None


def _nobody() -> bool:
    return False
