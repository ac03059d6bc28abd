"""The world of the present: its windows, its geometry and its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from da3_ros.errors import StreamError
from da3_ros.options import NodeOptions
from da3_ros.pipeline.saved_state import SavedState, state_bytes, state_of
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import Estimator, FrameSet, RigCalibration, Window


@dataclass(frozen=True, slots=True, eq=False)
class WindowWork:
    """A window, and who reconstructs it."""

    window: Window
    reconstructor: Reconstructor
    generation: int
    """Of its world."""


class PresentWorld:
    """Where sets become windows, and what a new beginning replaces. One thread at a time.

    Args:
        options: of the node.
        estimator: turns windows into geometry.
        clock: seconds.
        quarter_turns: see `Reconstructor`.
    """

    def __init__(
        self,
        options: NodeOptions,
        estimator: Estimator,
        clock: Callable[[], float],
        quarter_turns: Mapping[str, int],
    ) -> None:
        self._options = options
        self._estimator: Estimator | None = estimator
        self._clock = clock
        self._quarter_turns = quarter_turns
        self.generation = 0
        """Larger with every world and every unit."""
        self.windows = 0
        """Made since the start, of all worlds."""
        self._newest_ns = 0
        self.renew(RigCalibration())

    def renew(self, rig: RigCalibration) -> None:
        """Put a world without windows in the place of one that has had none."""
        self._windower = SlidingWindow(self._options.stream.window, self._options.stream.stride)
        self._reconstructor = None if self._estimator is None else self._new(self._estimator, rig)

    def begin(self, rig: RigCalibration) -> None:
        """Begin another world.

        Args:
            rig: as far as it is known.
        """
        self.generation += 1
        self.renew(rig)

    def extend_rig(self, rig: RigCalibration) -> None:
        """Let cameras join that no window has had."""
        if self._reconstructor is not None:
            self._reconstructor.extend_rig(rig)

    def close(self) -> None:
        """Let go of the estimator; no more windows come."""
        self._estimator = None
        self.begin(RigCalibration())

    @property
    def has_rest(self) -> bool:
        """Whether there are sets that no window has yet."""
        return self._reconstructor is not None and self._windower.waiting > 0

    def rest(self) -> WindowWork | None:
        """Return a window of the sets that no window has yet; None where there are none."""
        return self._work(self._windower.flush())

    def window(self, generation: int, frame_set: FrameSet) -> WindowWork | None:
        """Let a set into the world, if that is still its own; return the window it completes."""
        if generation != self.generation or self._reconstructor is None:
            return None
        return self._work(self._windower.push(frame_set))

    def state(self) -> bytes:
        """Return all that outlives a window and that the same frames do not bring back.

        Raises:
            StreamError: it is closed.
        """
        if self._reconstructor is None:
            raise StreamError('state: expected a pipeline that is in use, got a closed one')
        world = self._reconstructor.world
        return state_bytes(SavedState(self.windows, self._newest_ns, self.generation, world))

    def restore(self, state: bytes) -> None:
        """Go on as that would whose `state` this is.

        Raises:
            StreamError: it is no state, or of other windows than came up to now.
        """
        saved = state_of(state)
        here = self.windows, self._newest_ns
        if self._reconstructor is None or (saved.windows, saved.newest_ns) != here:
            raise StreamError(
                f'restore: expected {saved.windows} windows up to the stamp {saved.newest_ns}, '
                f'got {here[0]} up to {here[1]}: the input is another one'
            )
        self.generation = saved.generation
        self._reconstructor.resume(saved.world)

    def _work(self, window: Window | None) -> WindowWork | None:
        if window is None or self._reconstructor is None:
            return None
        self.windows += 1
        self._newest_ns = window.sets[-1].stamp_ns
        return WindowWork(window, self._reconstructor, self.generation)

    def _new(self, estimator: Estimator, rig: RigCalibration) -> Reconstructor:
        options = self._options
        # A frame that others connect to the robot: what is given in it has to agree with them.
        prior_frame = options.output.prior_frame.lstrip('/')
        is_theirs = bool(prior_frame) and prior_frame == options.output.odom_frame.lstrip('/')
        return Reconstructor(
            estimator,
            rig,
            self._clock,
            options.stream.scale_source,
            in_odometry_frame=is_theirs,
            quarter_turns=self._quarter_turns,
        )


def failure_text(window: Window | None, error: Exception) -> str:
    """Return what failed, and why.

    Args:
        window: that failed; None where a set did before it came into one.
        error: that was raised.
    """
    what = 'a frame set'
    if window is not None:
        cameras = dict.fromkeys(frame.camera for frame in window.views)
        what = f'window {window.index} (cameras {", ".join(cameras)})'
    return f'{what} failed and is left out: {type(error).__name__}: {error}'
