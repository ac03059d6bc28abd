"""Schedules of windows with absurd predictions, odometry and rigs, each drawn from one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args
import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid
from da3_ros.options.choices import ScaleChoice
from da3_ros.types import (
    CameraFrame,
    FrameSet,
    PosePrior,
    RigCalibration,
    Window,
    WindowPrediction,
)
from helpers.absurd_predictions import KINDS, Rng, any_of, changed, wild_matrix
from helpers.stream_builders import (
    ODOM_FROM_WORLD,
    PERIOD_NS,
    BoxEstimator,
    BoxWorld,
    drive,
    rig_of,
    stand,
    turn_on_the_spot,
    windows_of,
)

FOUR_CAMERAS = rig_of(
    front=(0.0, 0.2, 0.0, 0.5),
    left=(70.0, 0.0, 0.18, 0.5),
    right=(-70.0, 0.0, -0.18, 0.55),
    back=(180.0, -0.2, 0.0, 0.5),
)
CAMERAS = tuple(FOUR_CAMERAS.base_from_camera)
SIZE = ImageSize(24, 32)
PRIORS = ('none', 'odometry', 'moving_rig', 'both')


class NetworkFailedError(Exception):
    """Raised where the network itself fails, be it by what it does with its own numbers."""


@dataclass(eq=False)
class Schedule:
    """What a reconstructor is given, all of it drawn from the seed; the same seed, the same."""

    seed: int
    rig: RigCalibration
    later_rig: RigCalibration | None
    """Joins before the window in the middle."""
    scale_source: ScaleChoice
    in_odometry_frame: bool
    quarter_turns: Mapping[str, int]
    windows: list[Window]
    estimator: AbsurdEstimator

    @property
    def middle(self) -> int:
        """Position of the window before which the rig is extended."""
        return len(self.windows) // 2


@dataclass(eq=False)
class AbsurdEstimator:
    """A sane network that says something absurd about some windows.

    What it says about a window depends on the window's index only.
    """

    sane: BoxEstimator
    seed: int
    share: float
    """Of the windows that are absurd."""
    extras: Mapping[str, object] = field(default_factory=dict)
    """Fields of every prediction."""
    kinds: tuple[str, ...] = KINDS
    done: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Window index to the kinds of its absurdity."""

    def estimate(self, window: Window) -> WindowPrediction:
        rng = np.random.default_rng((self.seed, 1, window.index))
        whole = self.sane.estimate(replace(window, depth_of=None))
        said = replace(whole, **self.extras)  # type: ignore[arg-type]
        self.done[window.index] = ()
        if rng.random() < self.share:
            chosen = rng.choice(self.kinds, size=rng.integers(1, 3), replace=False)
            for kind in chosen:
                self.done[window.index] += (str(kind),)
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter('ignore')  # of what the change itself does
                        said = changed(str(kind), said, rng)
                except (GeometryError, RuntimeError) as error:
                    raise NetworkFailedError(str(error)) from error
                except (AttributeError, IndexError, TypeError, ValueError):
                    break  # the first kind has left nothing that the second one could change
        return said


def schedule(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    rng = np.random.default_rng((seed, 0))
    motions = (drive, drive, stand, turn_on_the_spot)
    world = BoxWorld(FOUR_CAMERAS, motions[rng.integers(len(motions))])
    used = CAMERAS[: rng.integers(1, 5)]
    count = int(rng.integers(4, 11))
    prior = PRIORS[rng.integers(len(PRIORS))]
    absurd_odometry = float(rng.choice([0.0, 0.2, 0.6]))
    sets = [drawn_set(rng, world, used, i, prior, absurd_odometry) for i in range(count)]
    length = int(rng.integers(1, 5))
    rig = {} if rng.random() < 0.3 else {c: _place(rng, c) for c in CAMERAS if rng.random() < 0.8}
    later = {c: FOUR_CAMERAS.base_from_camera[c] for c in CAMERAS if c not in rig}
    sane = BoxEstimator(world, seed, is_metric=bool(rng.random() < 0.2))
    return Schedule(
        seed,
        RigCalibration(rig),
        RigCalibration({**rig, **later}) if rng.random() < 0.3 else None,
        get_args(ScaleChoice)[rng.integers(len(get_args(ScaleChoice)))],
        bool(rng.random() < 0.3),
        {c: int(rng.integers(4)) for c in used} if rng.random() < 0.3 else {},
        windows_of(sets, length, int(rng.integers(1, length + 1))),
        AbsurdEstimator(sane, seed, float(rng.choice([0.0, 0.3, 0.7])), _extras(rng)),
    )


def _extras(rng: Rng) -> dict[str, object]:
    units = (None, None, 0.0, 0.05)
    return {
        'unit_sigma': units[rng.integers(len(units))],
        'conditioning': 'pose' if rng.random() < 0.3 else 'none',
        'metric_by': 'camera_info' if rng.random() < 0.3 else 'model',
    }


def _place(rng: Rng, camera: str) -> FloatArray:
    pose = FOUR_CAMERAS.base_from_camera[camera]
    return wild_matrix(pose, rng) if rng.random() < 0.04 else pose


def drawn_set(
    rng: Rng, world: BoxWorld, used: tuple[str, ...], number: int, prior: str, absurd: float
) -> FrameSet:
    """Return a set with a prior of this kind, absurd in a share of all cases."""
    present = [c for c in used if rng.random() < 0.9] or list(used[:1])
    stamp_ns = number * PERIOD_NS
    if rng.random() < 0.03:
        stamp_ns = max(stamp_ns - PERIOD_NS, 0)
    frames = tuple(_frame(rng, camera, stamp_ns) for camera in present)
    if prior == 'none' or rng.random() < 0.1:
        return FrameSet(stamp_ns, frames)
    is_wild = rng.random() < absurd
    offset = np.eye(4)
    if is_wild and rng.random() < 0.5:  # a teleport of all of it
        turn = Rotation.random(random_state=rng).as_matrix()
        offset = rigid(turn, rng.normal(size=3) * any_of(rng, (1.0, 1e3, 1e6, 1e9, 1e12)))
    odometry, rig = {}, {}
    for camera in present:
        pose = offset @ ODOM_FROM_WORLD @ world.world_from_camera(camera, stamp_ns)
        odometry[camera] = wild_matrix(pose, rng) if is_wild and rng.random() < 0.5 else pose
        place = FOUR_CAMERAS.base_from_camera[camera]
        rig[camera] = wild_matrix(place, rng) if is_wild and rng.random() < 0.3 else place
    return FrameSet(
        stamp_ns,
        frames,
        prior=PosePrior(
            rig if prior != 'odometry' else {}, odometry if prior != 'moving_rig' else {}
        ),
    )


def _frame(rng: Rng, camera: str, stamp_ns: int) -> CameraFrame:
    image = rng.integers(0, 255, (SIZE.height, SIZE.width, 3)).astype(np.uint8)
    calibration = None
    if rng.random() < 0.3:
        calibration = PinholeCamera.from_focal(22, 22, 15.5, 11.5, SIZE)
    if rng.random() < 0.02:
        fx, fy = 10.0 ** rng.uniform(-300, 300, 2)
        calibration = PinholeCamera.from_focal(fx, fy, 1.0, 1e9, SIZE)
    elif rng.random() < 0.02:
        calibration = PinholeCamera(np.array([[20, 0.5, 10], [0, 20, 10], [0, 0, 1.0]]), SIZE)
    valid = rng.random(image.shape[:2]) < 0.7 if rng.random() < 0.2 else None
    return CameraFrame(camera, stamp_ns, f'{camera}_optical_frame', image, calibration, valid)
