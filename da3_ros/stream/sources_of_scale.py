"""What each source of metres says about one window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.parallax import metres_by_parallax
from da3_ros.geometry.se3 import invert
from da3_ros.geometry.umeyama import spread
from da3_ros.stream.odometry_scale import Ratio, ratio_to_odometry, remembered
from da3_ros.stream.placing import WindowSet
from da3_ros.stream.rig import Poses
from da3_ros.stream.scale import LogScale, scale_from_rig
from da3_ros.stream.world_scale import METRIC_SIGMA, MetricCandidate, MetricSource, WorldScale
from da3_ros.types import Window, WindowPrediction

_MIN_BASELINE_M = 1e-3
# Predicted places that fit the rig as well as this tell more than what cameras see in common.
_CLOSE_SIGMA = 0.02


@dataclass(frozen=True, slots=True)
class OdometryState:
    """What odometry can be compared with, before a window."""

    world: WorldScale | None
    chain: LogScale | None
    """Scale of the window against the world by shared views."""
    way: Ratio | None
    """What earlier windows said that was not enough yet, in world units."""


def metric_candidates(
    window: Window,
    sets: Sequence[WindowSet],
    prediction: WindowPrediction,
    rig: Poses,
    position_noise: float,
    state: OdometryState,
) -> tuple[Mapping[MetricSource, MetricCandidate], Ratio | None]:
    """Return every source with its measurement of log(metres per unit of the window).

    Args:
        window: the frames with their priors.
        sets: the same sets with what was predicted.
        prediction: tells whether it is metric, and why.
        rig: calibration of sets without a prior.
        position_noise: error of a centre that is assumed at least, window units.
        state: what the odometry of this window adds to.

    Returns:
        The candidates, and the new `OdometryState.way`.
    """
    odometry, way = _odometry(window, sets, position_noise, state)
    is_metric, by = prediction.is_metric, prediction.metric_by
    candidates: dict[MetricSource, MetricCandidate] = {
        'odometry': odometry,
        'rig': _rig(sets, prediction, rig, position_noise, state),
        'estimator': _network(
            'estimator', is_metric and by == 'model', 'the network does not answer in metres'
        ),
        'camera_info': _network(
            'camera_info',
            is_metric and by == 'camera_info',
            'the network is none that a known focal length makes metric (da3metric-large)',
        ),
    }
    return candidates, way


def _odometry(
    window: Window, sets: Sequence[WindowSet], position_noise: float, state: OdometryState
) -> tuple[MetricCandidate, Ratio | None]:
    predicted: list[FloatArray] = []
    told: list[FloatArray] = []
    for window_set in sets:
        prior = window_set.frames.prior
        odometry = prior.odometry_from_camera if prior else {}
        for camera, pose in window_set.window_from_camera.items():
            if camera in odometry:
                predicted.append(pose)
                told.append(odometry[camera])
    views = len(window.views)
    if not told or (len(told) == 1 and views > 1):
        note = next((s.prior.note for s in window.sets if s.prior and s.prior.note), '')
        reason = note or ('no transform of it came' if told else 'is prior_frame set?')
        problem = f'odometry tells {len(told)} of {views} poses ({reason})'
        return MetricCandidate('odometry', None, problem), state.way
    overlap = len(window.sets) / window.new_sets
    ratio = ratio_to_odometry(np.array(predicted), np.array(told), position_noise, overlap)
    if ratio is None:
        return MetricCandidate('odometry', None), state.way
    alone = ratio.log_scale()
    if alone is not None:
        return MetricCandidate('odometry', alone), None
    world, chain = state.world, state.chain
    if world is None:
        return MetricCandidate('odometry', None), ratio
    if chain is None:
        return MetricCandidate('odometry', None), None
    expected = Ratio(1.0, math.sqrt(world.variance)) if world.is_metric else None
    way = remembered(state.way, ratio.scaled(math.exp(chain.value)), expected)
    together = way.log_scale() if way else None
    if together is None:
        return MetricCandidate('odometry', None, is_gathering=way is not None), way
    value = together.value + chain.value
    return MetricCandidate('odometry', LogScale(value, together.sigma)), None


def _rig(
    sets: Sequence[WindowSet],
    prediction: WindowPrediction,
    rig: Poses,
    position_noise: float,
    state: OdometryState,
) -> MetricCandidate:
    pairs = [
        (s.window_from_camera, rig if s.frames.prior is None else s.frames.prior.base_from_camera)
        for s in sets
    ]
    if not any(_has_baseline(calibrated) for _, calibrated in pairs):
        problem = 'no two cameras have known places on the robot that are apart'
        return MetricCandidate('rig', None, problem)
    measured = scale_from_rig(pairs, position_noise, _CLOSE_SIGMA)
    # An estimator that was told poses has compared the images already.
    if measured is None and prediction.conditioning == 'none':
        chain = state.chain if state.world is not None and state.world.is_metric else None
        measured = _parallax_of_rig(sets[-1], pairs[-1][1], chain)
    return MetricCandidate('rig', measured or scale_from_rig(pairs, position_noise))


def _parallax_of_rig(newest: WindowSet, rig: Poses, expected: LogScale | None) -> LogScale | None:
    """Return log(metres per unit) by what the cameras of a set see in common.

    Args:
        newest: the set.
        rig: base_from_camera, metres.
        expected: None to look around the distances that were predicted.
    """
    views = [view for view in newest.views if view.key[0] in rig]
    shapes = {view.prediction.depth.shape for view in views}
    if len(views) < 2 or len(shapes) > 1:
        return None
    poses = np.array([rig[view.key[0]] for view in views])
    seen = np.array([view.window_from_camera for view in views])
    apart, apart_m = spread(seen[:, :3, 3]), spread(poses[:, :3, 3])
    if min(apart, apart_m) <= 0:
        return None
    cameras = [view.prediction.calibrated_camera or view.prediction.camera for view in views]
    found = metres_by_parallax(
        np.stack([view.prediction.image for view in views]),
        np.stack([view.prediction.depth for view in views]),
        np.stack([camera.to_corner_origin() for camera in cameras]),
        invert(poses),
        math.log(apart_m / apart) if expected is None else expected.value,
        is_vague=expected is None,
    )
    return None if found is None else LogScale(found.log_metres, found.sigma)


def _has_baseline(rig: Poses) -> bool:
    if len(rig) < 2:
        return False
    centres = np.array([pose[:3, 3] for pose in rig.values()])
    return float(np.ptp(centres, axis=0).max()) > _MIN_BASELINE_M


def _network(source: MetricSource, is_metric: bool, problem: str) -> MetricCandidate:
    if not is_metric:
        return MetricCandidate(source, None, problem)
    return MetricCandidate(source, LogScale(0.0, METRIC_SIGMA))
