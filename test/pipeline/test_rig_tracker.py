"""Who is asked for the rig, how often, and what is said about cameras that nobody knows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from da3_ros.pipeline.rig import FrameIds, RigChange, RigTracker
from da3_ros.types import FrameSet, PosePrior, RigCalibration

NAMES: FrameIds = {'front': 'front_optical', 'left': 'left_optical'}


@dataclass
class Source:
    """Knows some cameras, and counts questions."""

    known: tuple[str, ...]
    questions: int = 0

    def rig(self, frame_ids: FrameIds) -> RigCalibration:
        del frame_ids
        self.questions += 1
        return RigCalibration({camera: np.eye(4) for camera in self.known})

    def wait_for_rig(self, frame_ids: FrameIds, timeout_s: float) -> RigCalibration:
        assert timeout_s > 0
        return self.rig(frame_ids)

    def prior(self, frame_set: FrameSet) -> PosePrior | None:
        del frame_set
        return None


@dataclass
class Log:
    """Remembers warnings."""

    warnings: list[str] = field(default_factory=list)

    def info(self, message: str, /) -> None:
        del message

    def warning(self, message: str, /) -> None:
        self.warnings.append(message)


def tracker(source: Source, log: Log) -> RigTracker:
    return RigTracker(source, log, is_ignored=False)


def test_a_rig_that_is_known_in_full_is_not_asked_for_again() -> None:
    source = Source(('front', 'left'))
    rig = tracker(source, Log())
    changes = [rig.update(names) for names in (NAMES, NAMES, {'left': 'left_optical'})]
    assert changes == [RigChange.BEGINS, RigChange.NONE, RigChange.NONE]
    assert source.questions == 1
    # A camera that is not known is asked for each time, until it is.
    rig.update({**NAMES, 'right': 'right_optical'})
    rig.update({**NAMES, 'right': 'right_optical'})
    assert source.questions == 3


@pytest.mark.parametrize(
    ('known', 'missing'),
    [(('front', 'left'), ''), (('front',), 'left'), (('left',), 'front'), ((), 'front, left')],
)
def test_cameras_whose_place_nobody_knows_are_named(known: tuple[str, ...], missing: str) -> None:
    rig = tracker(Source(known), Log())
    assert rig.unplaced == ()
    rig.update(NAMES)
    assert ', '.join(rig.unplaced) == missing
