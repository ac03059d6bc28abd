"""The end of a `da3 bag` in the middle of its work."""

from __future__ import annotations

import pytest

from da3_ros.ros.offline import run
from da3_ros.types import Window, WindowPrediction


class PowerCut:
    """Ends the program within the estimate of a window, counted in each process from its start."""

    def __init__(self) -> None:
        self.after: int | None = None
        self._estimate = run.TimedEstimator.estimate

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(run.TimedEstimator, 'estimate', lambda it, window: self._cut(it, window))

    def _cut(self, it: run.TimedEstimator, window: Window) -> WindowPrediction:
        if self.after is not None:
            if self.after == 0:
                raise KeyboardInterrupt
            self.after -= 1
        return self._estimate(it, window)
