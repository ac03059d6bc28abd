"""What each source of metres says about one window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import math

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.parallax import metres_between_cameras
from da3_ros.geometry.se3 import invert
from da3_ros.notes import Note
from da3_ros.stream.alignment import PlacedView
from da3_ros.stream.placing import WindowSet
from da3_ros.stream.rig import Poses
from da3_ros.stream.scale.measurements import (
    COMMON_SHARE,
    MAX_LOG,
    MIN_BASELINE_M,
    LogScale,
    scale_from_rig,
)
from da3_ros.stream.scale.odometry import Ratio, ratio_to_odometry, remembered
from da3_ros.stream.scale.world import METRIC_SIGMA, MetricCandidate, MetricSource, WorldScale
from da3_ros.types import FloatImage, ViewPrediction, Window, WindowPrediction

# Predicted places that fit the rig as well as this may refine what cameras see in common.
_CLOSE_SIGMA = 0.02
# How well distances between cameras are known relative to depth where nothing but the network says
# it: small ones are off by a third, the same for all distances.
_UNCONFIRMED = 0.3
# A world's unit that is known better is looked for near it only.
_KNOWN_WELL = 0.1
_AGREEING_SIGMAS = 3.0
GIVEN_ONLY = Note(
    'distances_given_only',
    'no metres: the known distances between the cameras went into the network, and the images do '
    'not confirm them: too little is seen by two cameras that are far enough apart',
)
ONE_DISTANCE = Note(
    'one_distance',
    'no metres: a single known distance between cameras fits scenes of any size, and the images '
    'do not confirm it',
)


@dataclass(frozen=True, slots=True)
class OdometryState:
    """What odometry can be compared with, before a window."""

    world: WorldScale | None
    chain: LogScale | None
    """Scale of the window against the world by shared views."""
    gathered: Ratio | None
    """What earlier windows measured, not well enough yet, in world units."""


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
        The candidates, and the new `OdometryState.gathered`.
    """
    views, poses = _with_odometry(sets)
    problem = _odometry_problem(window, len(poses))
    odometry, gathered = MetricCandidate('odometry', None, problem), state.gathered
    if not problem:
        odometry, gathered = _odometry(window, views, poses, prediction, position_noise, state)
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
    return {name: _believable(c) for name, c in candidates.items()}, gathered


def _believable(candidate: MetricCandidate) -> MetricCandidate:
    """Return a source without a measurement that no window has."""
    measured = candidate.measured
    if measured is None or abs(measured.value) < MAX_LOG:
        return candidate
    text = (
        f'no metres by {candidate.source}: expected {math.exp(-MAX_LOG):.0e} to '
        f'{math.exp(MAX_LOG):.0e} metres per unit, got {math.exp(measured.value):.0e}'
    )
    doubt = Note('scale_absurd', text, {'value': measured.value, 'limit': MAX_LOG})
    return MetricCandidate(candidate.source, None, 'what it says is absurd', doubt=doubt)


def _with_odometry(sets: Sequence[WindowSet]) -> tuple[list[PlacedView], list[FloatArray]]:
    """Return the views that odometry knows, and where it has them."""
    views: list[PlacedView] = []
    poses: list[FloatArray] = []
    for window_set in sets:
        prior = window_set.frames.prior
        odometry = prior.odometry_from_camera if prior else {}
        for view in window_set.views:
            if view.key[0] in odometry:
                views.append(view)
                poses.append(odometry[view.key[0]])
    return views, poses


def _odometry_problem(window: Window, count: int) -> str:
    """Return why odometry, which knows so many views, is not there; empty when it is."""
    views = len(window.views)
    if count > 1 or (count and views == 1):
        return ''
    notes = next((s.prior.notes for s in window.sets if s.prior and s.prior.notes), ())
    reason = ', '.join(note.text for note in notes) or (
        'no transform of it came' if count else 'is prior_frame set?'
    )
    return f'odometry knows {count} of {views} poses ({reason})'


def _odometry(
    window: Window,
    views: Sequence[PlacedView],
    poses: Sequence[FloatArray],
    prediction: WindowPrediction,
    position_noise: float,
    state: OdometryState,
) -> tuple[MetricCandidate, Ratio | None]:
    """Return what odometry measures, and what it adds to later windows."""
    unit_sigma, share, seen = prediction.unit_sigma, COMMON_SHARE, None
    if unit_sigma is None and prediction.conditioning != 'none':
        return MetricCandidate('odometry', None, doubt=GIVEN_ONLY), state.gathered
    predicted = np.array([view.window_from_camera for view in views])
    overlap = len(window.sets) / window.new_sets
    ratio = ratio_to_odometry(predicted, np.array(poses), position_noise, overlap)
    alone = None if ratio is None else ratio.log_scale()
    if unit_sigma is None:
        # A habit of the network is the same in all windows.
        unit_sigma, share = _UNCONFIRMED, 1.0
        seen = _parallax(views, poses, _searched_around(state))
    if seen is not None:
        return MetricCandidate(
            'odometry', seen if alone is None else _confirmed(alone, seen)
        ), None
    if ratio is None:
        return MetricCandidate('odometry', None), state.gathered
    if alone is not None:
        return MetricCandidate('odometry', alone.with_unit(unit_sigma, share)), None
    world, chain = state.world, state.chain
    if world is None:
        return MetricCandidate('odometry', None), ratio
    if chain is None:
        return MetricCandidate('odometry', None), None
    expected = Ratio(1.0, math.sqrt(world.variance)) if world.is_metric else None
    gathered = remembered(state.gathered, ratio.scaled(math.exp(chain.value)), expected)
    together = gathered.log_scale() if gathered else None
    if together is None:
        return MetricCandidate('odometry', None, is_gathering=gathered is not None), gathered
    measured = LogScale(together.value + chain.value, together.sigma).with_unit(unit_sigma, share)
    return MetricCandidate('odometry', measured), None


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
    if not any(_distances(calibrated.values()) for _, calibrated in pairs):
        problem = 'no two cameras have known places on the robot that are apart'
        return MetricCandidate('rig', None, problem)
    unit = prediction.unit_sigma
    if unit is not None or prediction.conditioning != 'none':
        # The estimator has compared the images already.
        placed = scale_from_rig(pairs, position_noise)
        if unit is None or placed is None:
            return MetricCandidate('rig', None, doubt=GIVEN_ONLY if unit is None else None)
        return MetricCandidate('rig', placed.with_unit(unit))
    close = scale_from_rig(pairs, position_noise, _CLOSE_SIGMA)
    newest, calibrated = sets[-1], pairs[-1][1]
    known = [view for view in newest.views if view.key[0] in calibrated]
    poses = [calibrated[view.key[0]] for view in known]
    seen = _parallax(known, poses, _searched_around(state))
    if seen is not None:
        return MetricCandidate('rig', seen if close is None else _confirmed(close, seen))
    if not any(_distances(_in_both(*pair)) > 1 for pair in pairs):
        return MetricCandidate('rig', None, doubt=ONE_DISTANCE)
    placed = scale_from_rig(pairs, position_noise)
    return MetricCandidate('rig', None if placed is None else placed.with_unit(_UNCONFIRMED, 1.0))


def _searched_around(state: OdometryState) -> LogScale | None:
    """Return what the unit is looked for around; None for widely, where it is not known well."""
    world = state.world
    if world is None or not world.is_metric or world.variance > _KNOWN_WELL**2:
        return None
    return state.chain


def _confirmed(placed: LogScale, seen: LogScale) -> LogScale:
    """Return what one distance says where the images agree with it, else what they say."""
    apart = abs(placed.value - seen.value)
    if apart > _AGREEING_SIGMAS * math.hypot(placed.sigma, seen.sigma):
        return seen
    # Known as well as both agree, but a single agreement may be luck.
    sigma = max(placed.sigma, min(seen.sigma, max(apart, seen.sigma / 2)))
    return LogScale(placed.value, sigma, COMMON_SHARE * sigma)


def _in_both(poses: Poses, calibrated: Poses) -> list[FloatArray]:
    """Return the calibration of the cameras that a set has."""
    return [calibrated[camera] for camera in poses if camera in calibrated]


def _distances(base_from_camera: Iterable[FloatArray]) -> int:
    """Return how many distances there are between cameras in different places."""
    places: list[FloatArray] = []
    for pose in base_from_camera:
        place = pose[:3, 3]
        if all(float(np.linalg.norm(place - other)) > MIN_BASELINE_M for other in places):
            places.append(place)
    return len(places) * (len(places) - 1) // 2


def _parallax(
    views: Sequence[PlacedView], poses: Sequence[FloatArray], expected: LogScale | None
) -> LogScale | None:
    """Return log(metres per unit) by what views see in common.

    Args:
        views: of a window.
        poses: where they are known to be, frame from camera, metres.
        expected: None to look widely around the distances that were predicted.
    """
    if len(views) < 2 or len({view.prediction.camera.size for view in views}) > 1:
        return None
    cameras = [view.prediction.calibrated_camera or view.prediction.camera for view in views]
    found = metres_between_cameras(
        np.stack([view.prediction.image for view in views]),
        np.stack([_depth_or_unknown(view.prediction) for view in views]),
        cameras,
        invert(np.array(poses)),
        np.array([view.window_from_camera[:3, 3] for view in views]),
        None if expected is None else expected.value,
    )
    if found is None:
        return None
    return LogScale(found.log_metres, found.sigma, COMMON_SHARE * found.sigma)


def _depth_or_unknown(view: ViewPrediction) -> FloatImage:
    if view.depth is not None:
        return view.depth
    return np.full((view.camera.size.height, view.camera.size.width), np.nan, np.float32)


def _network(source: MetricSource, is_metric: bool, problem: str) -> MetricCandidate:
    if not is_metric:
        return MetricCandidate(source, None, problem)
    return MetricCandidate(source, LogScale(0.0, METRIC_SIGMA))
