"""The world of the present, from its windows to its geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from da3_ros.options import NodeOptions
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import Estimator, RigCalibration, Window


@dataclass(frozen=True, slots=True, eq=False)
class PresentWorld:
    """What a new beginning replaces; used by the thread that steps only."""

    windower: SlidingWindow
    reconstructor: Reconstructor


@dataclass(frozen=True, slots=True, eq=False)
class WindowWork:
    """A window, and who reconstructs it."""

    window: Window
    reconstructor: Reconstructor
    generation: int
    """Of its world."""


def new_world(
    options: NodeOptions,
    estimator: Estimator,
    rig: RigCalibration,
    clock: Callable[[], float],
    quarter_turns: Mapping[str, int],
) -> PresentWorld:
    """Return a world without windows.

    Args:
        options: of the node.
        estimator: turns windows into geometry.
        rig: as far as it is known.
        clock: seconds.
        quarter_turns: see `Reconstructor`.
    """
    stream = options.stream
    # A frame that others connect to the robot: what is given in it has to agree with them.
    prior_frame = options.output.prior_frame.lstrip('/')
    is_theirs = bool(prior_frame) and prior_frame == options.output.odom_frame.lstrip('/')
    reconstructor = Reconstructor(
        estimator,
        rig,
        clock,
        stream.scale_source,
        in_odometry_frame=is_theirs,
        quarter_turns=quarter_turns,
    )
    return PresentWorld(SlidingWindow(stream.window, stream.stride), reconstructor)


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
