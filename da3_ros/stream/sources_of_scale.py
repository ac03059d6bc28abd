"""What each source of metres says about one window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.stream.odometry_scale import Ratio, ratio_to_odometry, remembered
from da3_ros.stream.placing import WindowSet
from da3_ros.stream.rig import Poses
from da3_ros.stream.scale import LogScale, scale_from_rig
from da3_ros.stream.world_scale import METRIC_SIGMA, MetricCandidate, MetricSource, WorldScale
from da3_ros.types import Window, WindowPrediction

_MIN_BASELINE_M = 1e-3


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
        'rig': _rig(sets, rig, position_noise),
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


def _rig(sets: Sequence[WindowSet], rig: Poses, position_noise: float) -> MetricCandidate:
    pairs: list[tuple[Poses, Poses]] = []
    for window_set in sets:
        prior = window_set.frames.prior
        pairs.append(
            (window_set.window_from_camera, rig if prior is None else prior.base_from_camera)
        )
    if not any(_has_baseline(calibrated) for _, calibrated in pairs):
        problem = 'no two cameras have known places on the robot that are apart'
        return MetricCandidate('rig', None, problem)
    return MetricCandidate('rig', scale_from_rig(pairs, position_noise))


def _has_baseline(rig: Poses) -> bool:
    if len(rig) < 2:
        return False
    centres = np.array([pose[:3, 3] for pose in rig.values()])
    return float(np.ptp(centres, axis=0).max()) > _MIN_BASELINE_M


def _network(source: MetricSource, is_metric: bool, problem: str) -> MetricCandidate:
    if not is_metric:
        return MetricCandidate(source, None, problem)
    return MetricCandidate(source, LogScale(0.0, METRIC_SIGMA))
