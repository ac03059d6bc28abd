"""A drive of the synthetic robot through the pipeline that the node runs, without ROS or a clock.

The same parts, joined by the same module; frames come from the world instead of topics, so that a
run gives the same figures every time.
"""

from dataclasses import dataclass

import numpy as np

from da3_ros.geometry.se3 import invert
from da3_ros.geometry.umeyama import spread
from da3_ros.metrics.depth import depth_error
from da3_ros.metrics.trajectory import trajectory_error
from da3_ros.options import from_flat
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import GivenRig
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.wheels import odom_from_base
from da3_ros.synthetic.world import SyntheticWorld
from da3_ros.types import Estimator, PosedSet, PosePrior


@dataclass(frozen=True, slots=True)
class DriveFigures:
    """What a drive came to."""

    sets: int
    """Frame sets that were placed."""
    is_metric: bool
    """Whether the last window was in metres."""
    absrel: float
    """Of all depth as published, in metres; means little when not metric."""
    absrel_scaled: float
    """After one scale for the whole drive."""
    delta1_scaled: float
    ate_m: float
    """Of the base after the best similarity, RMS."""
    rotation_deg: float
    """Of the base against its first pose, RMS: what has been lost on the way."""
    ate_still_m: float
    """Of a base that is said to stand, after the best translation."""
    way_m: float
    """Length of the true way."""


def drive(
    world: SyntheticWorld,
    estimator: Estimator,
    *,
    seconds: float,
    rate_hz: float = 2.5,
    window: int = 3,
    has_odometry: bool,
) -> DriveFigures:
    """Drive through a world and compare everything that is published with the truth.

    Args:
        world: what is seen.
        estimator: what looks at it.
        seconds: length of the drive.
        rate_hz: frame sets per second.
        window: sets per window.
        has_odometry: whether wheel odometry is there, for conditioning and scale.
    """
    options = from_flat({'cameras': tuple(world.rig.cameras), 'window': window})
    rig = GivenRig(
        world.rig.calibration,
        lambda frames: _prior(world, frames.stamp_ns) if has_odometry else None,
    )
    pipeline = Pipeline(options, estimator, rig)
    placed: list[PosedSet] = []
    is_metric = False
    for index in range(int(seconds * rate_hz)):
        stamp_ns = START_NS + round(index * 1e9 / rate_hz)
        for camera in world.rig.cameras:
            pipeline.push(world.frame(camera, stamp_ns))
        result = pipeline.step()
        if result is not None:
            placed += result.new_sets
            is_metric = result.alignment.is_metric
    return _compared(world, placed, is_metric=is_metric)


def _prior(world: SyntheticWorld, stamp_ns: int) -> PosePrior:
    base = odom_from_base(world, stamp_ns)
    rig = world.rig.calibration.base_from_camera
    return PosePrior(rig, {camera: base @ pose for camera, pose in rig.items()})


def _compared(world: SyntheticWorld, placed: list[PosedSet], *, is_metric: bool) -> DriveFigures:
    guesses, truths = [], []
    for posed in placed:
        for view in posed.views:
            guesses.append(view.depth.ravel())
            truth = world.depth(view.id.camera, posed.stamp_ns, view.camera.size)
            truths.append(truth.ravel())
    depth, true_depth = np.concatenate(guesses), np.concatenate(truths)
    said = depth_error(depth, true_depth, align_scale=False).figures
    scaled = depth_error(depth, true_depth, align_scale=True).figures
    poses = np.stack([posed.world_from_base for posed in placed])
    true_poses = np.stack([world.world_from_base(posed.stamp_ns) for posed in placed])
    path = trajectory_error(poses, true_poses, 'sim3')
    # Two ways that bend to different sides can be laid over one another, upside down.
    started = trajectory_error(poses, poses[0] @ invert(true_poses[0]) @ true_poses, 'none')
    return DriveFigures(
        sets=len(placed),
        is_metric=is_metric,
        absrel=said.abs_rel,
        absrel_scaled=scaled.abs_rel,
        delta1_scaled=scaled.delta1,
        ate_m=path.rmse,
        rotation_deg=float(np.degrees(started.rotation_rmse_rad)),
        ate_still_m=spread(true_poses[:, :3, 3]),
        way_m=float(np.linalg.norm(np.diff(true_poses[:, :3, 3], axis=0), axis=1).sum()),
    )
