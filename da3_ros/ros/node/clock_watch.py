"""Says when the node's own time stands still, jumps, or is not that of the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import time

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

from da3_ros.geometry.stamps import CLOCK_RESET_NS
from da3_ros.reasons import Reason
from da3_ros.ros.apart_reasons import (
    AHEAD_LIMIT_S,
    BEHIND_LIMIT_S,
    OFF_TIMES,
    guess_of_clocks,
)
from da3_ros.ros.node.inputs import InputStatus
from da3_ros.ros.reason_board import ReasonBoard

STANDS_AFTER_S = 3.0
_OWNER = '(clock)'
_AHEAD_LIMIT_SIM_S = 2.0
_FORWARD_NS = 10_000_000_000
_FRESH_S = 1.5
_DAY_S = 86400.0


class ClockWatch:
    """Judges the clock of the node, and the stamps by it; about once per second.

    Args:
        node: has the clock.
        board: takes the reasons.
        on_jump_back: called with seconds when /clock jumps back.
        steady: monotonic seconds.
    """

    def __init__(
        self,
        node: Node,
        board: ReasonBoard,
        on_jump_back: Callable[[float], None],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = node.get_clock()
        self._board = board
        self._on_jump_back = on_jump_back
        self._steady = steady
        self._last_ns: int | None = None
        self._moved_s = steady()
        self._off: dict[str, int] = {}
        threshold = JumpThreshold(
            min_forward=Duration(nanoseconds=_FORWARD_NS),
            min_backward=Duration(nanoseconds=-CLOCK_RESET_NS),
            on_clock_change=False,
        )
        self._handle = self._clock.create_jump_callback(threshold, post_callback=self._jumped)

    @property
    def far_off(self) -> tuple[str, ...]:
        """Cameras whose stamps are far from the clock of the node."""
        return tuple(camera for camera, times in self._off.items() if times >= OFF_TIMES)

    def close(self) -> None:
        """Hear of no jumps any more."""
        self._handle.unregister()

    def look(self, inputs: Sequence[InputStatus]) -> None:
        """Begin and end the reasons.

        Args:
            inputs: what came of the cameras that are subscribed to.
        """
        now_ns, now_s = int(self._clock.now().nanoseconds), self._steady()
        is_simulated = bool(self._clock.ros_time_is_active)
        if now_ns != self._last_ns or not is_simulated:
            self._moved_s = now_s
        self._last_ns = now_ns
        silent_s = now_s - self._moved_s
        stands = is_simulated and silent_s > STANDS_AFTER_S
        self._board.set(
            Reason.NO_CLOCK,
            _OWNER,
            stands,
            silent_s=silent_s,
            limit_s=STANDS_AFTER_S,
            now_s=now_ns / 1e9,
        )
        for status in inputs:
            is_known = not (is_simulated and (stands or now_ns == 0))
            self._compare(status, now_ns, is_known=is_known, is_simulated=is_simulated)

    def _compare(
        self, status: InputStatus, now_ns: int, *, is_known: bool, is_simulated: bool
    ) -> None:
        """Compare the newest stamp of a camera with the clock at its arrival."""
        camera, stamp_ns = status.camera, status.newest_stamp_ns
        if stamp_ns is None or not is_known:
            self._end(camera)
            return
        # Of the image with this stamp, not of those that came later and were refused.
        age_s = max(status.silent_s, status.unused_s)
        if age_s > _FRESH_S:
            return
        # The clock of a simulation has a speed of its own.
        since_s = 0.0 if is_simulated else age_s
        offset_s = (stamp_ns - now_ns) / 1e9 + since_s
        ahead_s = _AHEAD_LIMIT_SIM_S if is_simulated else AHEAD_LIMIT_S
        if -BEHIND_LIMIT_S <= offset_s <= ahead_s:
            self._end(camera)
            return
        self._off[camera] = self._off.get(camera, 0) + 1
        if self._off[camera] < OFF_TIMES:
            return
        guess = guess_of_clocks(offset_s, stamp_ns, now_ns)
        if not guess and not is_simulated and offset_s < -_DAY_S:
            guess = ' (a bag that is played without /clock and use_sim_time, as it seems)'
        self._board.hold(
            Reason.CLOCK_FAR_OFF,
            camera,
            offset_s=abs(offset_s),
            direction='behind' if offset_s < 0 else 'ahead of',
            limit_s=BEHIND_LIMIT_S if offset_s < 0 else ahead_s,
            guess=guess,
        )

    def _end(self, camera: str) -> None:
        self._off.pop(camera, None)
        self._board.end(Reason.CLOCK_FAR_OFF, camera)

    def _jumped(self, jump: TimeJump) -> None:
        offset_s = jump.delta.nanoseconds / 1e9
        if offset_s < 0:
            self._on_jump_back(-offset_s)
        elif self._last_ns:
            # The first message after none is no jump.
            self._board.happened(
                Reason.CLOCK_JUMPED,
                '/clock',
                whose='/clock',
                direction='forward',
                offset_s=offset_s,
                where='',
            )
