"""Every frame once: a whole input through a pipeline, as fast as its windows are estimated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from da3_ros.errors import PipelineError, StreamError
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.saved_state import windows_of
from da3_ros.types import CameraFrame, WindowResult


def every_result(
    pipeline: Pipeline,
    frames: Iterable[CameraFrame],
    on_failed: Callable[[PipelineError], object],
    resumed: bytes | None = None,
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

    Raises:
        StreamError: `resumed` is no state, or the input is not the one that it was of.
    """
    left_out = 0 if resumed is None else windows_of(resumed)
    for has_work in _fed(pipeline, frames):
        while has_work:
            if resumed is not None:
                pipeline.step(is_wanted=_nobody)
                if pipeline.windows == left_out:
                    pipeline.restore(resumed)
                    resumed = None
            elif (result := _estimated(pipeline, on_failed)) is not None:
                yield result
            has_work = pipeline.has_work
    if resumed is not None:
        raise StreamError(
            f'resume: expected an input of more than {left_out} windows, as that of the '
            f'interrupted run, got {pipeline.windows}: it is another one; begin anew'
        )


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
