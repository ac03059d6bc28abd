"""What the images of one camera give reason to say: refused ones, unused or clipped bits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import math

from da3_ros.reasons import Reason
from da3_ros.ros.reason_board import ReasonBoard

Clock = Callable[[], float]

_LAST_IMAGES = 100
# With no image that could be used for so long, or among so many, the camera as a whole is lost.
_ALL_AFTER_S = 2.0
_ALL_AFTER_IMAGES = 3
_BITS_PERIOD_S = 1.5
# A quarter of the range: what is darker is hardly seen once it has 8 bits.
_DARK_BITS = 2
_SENSOR_BITS = (8, 10, 12, 14, 16)


class Refusals:
    """Tells images that are refused now and then from a camera all of whose images are.

    Args:
        camera: its name.
        reasons: takes IMAGES_REFUSED and IMAGES_DROPPED.
        clock: monotonic seconds.
    """

    def __init__(self, camera: str, reasons: ReasonBoard, clock: Clock) -> None:
        self._camera = camera
        self._reasons = reasons
        self._clock = clock
        self._were_used: deque[bool] = deque(maxlen=_LAST_IMAGES)
        self._last_used_s = -math.inf
        self._run = 0
        self._run_began_s = 0.0
        self._pending: tuple[str, str] | None = None
        self._is_lost = False
        self.total = 0
        """Images refused since the start."""

    def used(self) -> None:
        """Take note of an image that could be used."""
        self._last_used_s = self._clock()
        self._were_used.append(True)
        if not self._run:
            return
        self._run = 0
        if self._is_lost:
            self._is_lost = False
            self._reasons.end(Reason.IMAGES_REFUSED, self._camera)
        elif self._pending is not None:
            self._dropped(*self._pending)
        self._pending = None

    def refused(self, field: str, problem: str) -> None:
        """Take note of an image that could not be used.

        Args:
            field: of the message.
            problem: camera, topic, field, what was expected and what came.
        """
        if not self._run:
            self._run_began_s = self._clock()
        self.total += 1
        self._run += 1
        self._were_used.append(False)
        self._pending = (field, problem)
        self.look()

    def look(self) -> None:
        """Judge what has come so far; about once per second, and with every refused image."""
        if self._pending is None:
            return
        now = self._clock()
        is_long = self._run >= _ALL_AFTER_IMAGES or now - self._run_began_s >= _ALL_AFTER_S
        if is_long and now - self._last_used_s >= _ALL_AFTER_S:
            self._lost(*self._pending)
        elif math.isfinite(self._last_used_s):
            self._dropped(*self._pending)
        else:
            return  # the first ones: what comes next says which it is
        self._pending = None

    def finish(self) -> None:
        """Say what has not been said of refused images: none come any more."""
        if self._pending is None:
            return
        if math.isfinite(self._last_used_s):
            self._dropped(*self._pending)
        else:
            self._lost(*self._pending)
        self._pending = None

    def _lost(self, field: str, problem: str) -> None:
        self._is_lost = True
        self._reasons.end(Reason.IMAGES_DROPPED, self._camera)
        self._reasons.happened(
            Reason.IMAGES_REFUSED, self._camera, field, problem=problem, images=self._run
        )

    def _dropped(self, field: str, problem: str) -> None:
        self._reasons.happened(
            Reason.IMAGES_DROPPED,
            self._camera,
            field,
            problem=problem,
            refused=self._were_used.count(False),
            images=len(self._were_used),
        )


class BitUse:
    """Says when 16-bit images use few of the bits they are taken to have, or more.

    Args:
        camera: its name.
        bits: the parameter mono16_bits.
        reasons: takes IMAGE_DARK and IMAGE_BRIGHT.
        clock: monotonic seconds.
    """

    def __init__(self, camera: str, bits: int, reasons: ReasonBoard, clock: Clock) -> None:
        self._camera = camera
        self._bits = bits
        self._reasons = reasons
        self._clock = clock
        self._largest = 0
        self._began_s: float | None = None

    def see(self, largest: int | None, encoding: str) -> None:
        """Take the largest value of an image; None for one of 8 bits, which ends all of this."""
        if largest is None:
            if self._began_s is not None:
                self._began_s = None
                self._reasons.end(Reason.IMAGE_DARK, self._camera)
                self._reasons.end(Reason.IMAGE_BRIGHT, self._camera)
            return
        now = self._clock()
        if self._began_s is None:
            self._began_s, self._largest = now, 0
        self._largest = max(self._largest, largest)
        # A single image may be dark, and hold a single bright pixel the next time.
        if now - self._began_s >= _BITS_PERIOD_S:
            self._judge(encoding)
            self._began_s, self._largest = now, 0

    def _judge(self, encoding: str) -> None:
        used = self._largest.bit_length()
        values = {
            'encoding': encoding,
            'bits': next(n for n in _SENSOR_BITS if n >= used),
            'limit': self._bits,
            'limit_value': 2**self._bits - 1,
            'largest': self._largest,
        }
        # With 8 of 8 there is nothing left to set, and black images say nothing of a sensor.
        is_dark = self._bits > 8 and 0 < used <= self._bits - _DARK_BITS
        self._reasons.set(Reason.IMAGE_DARK, self._camera, is_dark, **values)
        is_bright = used > self._bits
        self._reasons.set(Reason.IMAGE_BRIGHT, self._camera, is_bright, **values)
