"""The node's own entry point around an estimator that does what a file says.

Usage: moody_node.py FILE --ros-args ...

The file holds one word: `well` (the truth, in metres), `unit` (the truth in a unit of its own),
`nonsense` (poses that are none), `burning` (an error), `poseless` (no poses for several views),
`doubtful` and `changed` (a note of its kind), `hanging` (no answer until the word changes).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys
import time

import numpy as np

from da3_ros.errors import ModelError, NoPosesError
from da3_ros.notes import Note
from da3_ros.ros.node.main import main
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.types import Window, WindowPrediction

_NOTES = {
    'doubtful': Note('views_in_chunks', 'the views went through the network one by one'),
    'changed': Note('scale_followed', 'the scale followed a new source'),
}


class Moody:
    """The truth, or what the file says instead."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._truth = TruthEstimator(make_family_world(), random_gauge=False)

    def estimate(self, window: Window) -> WindowPrediction:
        """Return the truth about a window, spoilt as the file says."""
        mood = self._mood()
        while mood == 'hanging':
            time.sleep(0.05)
            mood = self._mood()
        if mood == 'burning':
            raise ModelError('the network is on fire')
        if mood == 'poseless':
            raise NoPosesError('this network predicts no poses, and no odometry gives them')
        found = replace(self._truth.estimate(window), is_metric=mood != 'unit')
        if mood == 'nonsense':
            bad = replace(found.views[0], window_from_camera=np.full((4, 4), np.nan))
            return replace(found, views=(bad, *found.views[1:]))
        note = _NOTES.get(mood)
        return found if note is None else replace(found, notes=(note,))

    def _mood(self) -> str:
        return self._file.read_text(encoding='utf-8').strip()


if __name__ == '__main__':
    raise SystemExit(main(sys.argv, Moody(Path(sys.argv[1]))))
