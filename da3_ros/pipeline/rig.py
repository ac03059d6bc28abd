"""What is known of where the cameras sit, and what becomes of the world when more is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from da3_ros.types import FrameSet, PosePrior, RigCalibration, usable_poses

# How long the first set waits for /tf_static, which is latched and so usually there already.
_RIG_WAIT_S = 1.0

FrameIds = Mapping[str, str]
"""Camera name to the id of its optical frame."""


class Log(Protocol):
    """Where a line for people goes."""

    def info(self, message: str, /) -> object:
        """Take what is good to know."""
        ...

    def warning(self, message: str, /) -> object:
        """Take what somebody should look at."""
        ...


class RigSource(Protocol):
    """Who knows where cameras are: parameters, TF, a file."""

    def rig(self, frame_ids: FrameIds) -> RigCalibration:
        """Return where these cameras sit, as far as it is known now."""
        ...

    def wait_for_rig(self, frame_ids: FrameIds, timeout_s: float) -> RigCalibration:
        """Return the same, after waiting for it as long as somebody may yet tell."""
        ...

    def prior(self, frame_set: FrameSet) -> PosePrior | None:
        """Return what is known of the poses of a set's cameras, None when nothing ever is."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GivenRig:
    """A source that knows everything from the start."""

    calibration: RigCalibration
    prior_of: Callable[[FrameSet], PosePrior | None] = lambda frame_set: None

    def rig(self, frame_ids: FrameIds) -> RigCalibration:
        """Return the calibration."""
        del frame_ids
        return self.calibration

    def wait_for_rig(self, frame_ids: FrameIds, timeout_s: float) -> RigCalibration:
        """Return the calibration, at once."""
        del timeout_s
        return self.rig(frame_ids)

    def prior(self, frame_set: FrameSet) -> PosePrior | None:
        """Return what `prior_of` says."""
        return self.prior_of(frame_set)


class RigChange(Enum):
    """What a rig that became better known means for the world."""

    NONE = 'nothing'
    BEGINS = 'it is known for the first time, as far as it is: no window went before'
    JOINED = 'cameras whose first images have just come are known: the world goes on'
    ANEW = 'cameras that have been in the world get their place: it starts anew'


class RigTracker:
    """The rig in use. One thread updates it; any thread may read `rig`.

    Args:
        source: who knows.
        log: gets lines about what happens.
        is_ignored: whether no rig is used at all.
    """

    def __init__(
        self,
        source: RigSource,
        log: Log,
        *,
        is_ignored: bool,
    ) -> None:
        self._source = source
        self._log = log
        self._is_ignored = is_ignored
        self._rig: RigCalibration | None = None
        self._seen: frozenset[str] = frozenset()
        self._problems: set[str] = set()

    @property
    def rig(self) -> RigCalibration:
        """What is known now; empty before the first update."""
        return self._rig or RigCalibration()

    @property
    def unplaced(self) -> tuple[str, ...]:
        """Cameras that send, and whose place on the robot is not known though it is asked for."""
        rig = self._rig
        if rig is None:
            return ()
        return tuple(sorted(self._seen - set(rig.base_from_camera)))

    def update(self, frame_ids: FrameIds) -> RigChange:
        """Ask the source again, the first time with patience.

        Args:
            frame_ids: the cameras whose images came, with their frames.
        """
        before, self._seen = self._seen, frozenset(frame_ids)
        if self._is_ignored:
            return RigChange.NONE
        known = self._rig
        if known is None:
            self._rig = self._usable(self._source.wait_for_rig(frame_ids, _RIG_WAIT_S))
            change = RigChange.BEGINS
        elif set(frame_ids) <= set(known.base_from_camera):
            return RigChange.NONE
        else:
            rig = self._usable(self._source.rig(frame_ids))
            new = sorted(set(rig.base_from_camera) - set(known.base_from_camera))
            if not new:
                return RigChange.NONE
            self._rig = rig
            if known.base_from_camera and not before & set(new):
                self._log.info(f'{", ".join(new)} joined the rig')
                change = RigChange.JOINED
            else:
                self._log.warning(
                    f'/tf_static now connects {", ".join(new)} to the base frame: '
                    'the world starts anew with the rig'
                )
                change = RigChange.ANEW
        return change

    def with_prior(self, frame_set: FrameSet) -> FrameSet:
        """Return the set with what the source knows of its cameras' poses; may wait for it."""
        prior = self._source.prior(frame_set)
        if prior is not None and self._is_ignored:
            prior = replace(prior, base_from_camera={})
        return replace(frame_set, prior=prior)

    def _usable(self, rig: RigCalibration) -> RigCalibration:
        """Return the rig without places that are none; each is named once."""
        poses, problems = usable_poses('base_from_camera', rig.base_from_camera)
        for problem in problems:
            if problem not in self._problems:
                self._log.warning(
                    f'{problem}: the camera counts as one whose place is not known. Mend '
                    'rig.<camera>.base_from_camera or what publishes it on /tf_static.'
                )
        self._problems = set(problems)
        return RigCalibration(poses)
