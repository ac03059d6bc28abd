"""Windows in, geometry in one world out: what joins estimator, scale, alignment and rig."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
import math

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.sim3 import Sim3
from da3_ros.stream.alignment import (
    Anchor,
    SharedViews,
    ViewKey,
    align,
    align_pose,
    compare_shared,
    known_depth,
)
from da3_ros.stream.placing import (
    Layout,
    PlacedSet,
    WindowSet,
    place_set,
    refusal,
    scaled_base,
    window_sets,
)
from da3_ros.stream.rig import checked_rig
from da3_ros.stream.robust_mean import rms
from da3_ros.stream.scale import (
    POSITION_NOISE,
    WorldScale,
    next_scale,
    scale_from_rig,
    typical_depth,
)
from da3_ros.types import (
    AlignmentReport,
    Estimator,
    PosedSet,
    RigCalibration,
    Window,
    WindowPrediction,
    WindowResult,
)

# Cameras that disagree about the base by more than this are worth a note.
_RIG_NOTE_RAD = math.radians(2.0)
_RIG_NOTE_M = 0.05
# Stands for the depth's share where no depth is known: a share of the spread of the cameras.
_SPREAD_NOISE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """All that outlives a window; replaced as a whole, so that a failure changes nothing."""

    layout: Layout
    anchors: Mapping[ViewKey, Anchor] = field(default_factory=dict)
    scale: WorldScale | None = None
    """None before the first window."""
    world_from_base: FloatArray | None = None
    """Of the newest set; None before the first window."""


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What a window says before it is placed."""

    sets: tuple[WindowSet, ...]
    shared: SharedViews | None
    scale: WorldScale


class Reconstructor:
    """Runs the estimator on windows and places every new frame set into the world.

    The first window defines the world: the base frame at its first set, or the body axes of that
    set's first camera when none of its cameras is calibrated. Later windows are placed by the
    views they share with what is placed already; a placed view keeps its pose. Cameras that the
    rig calibration knows stand in the world exactly as the calibration says, so that clouds
    agree with a TF tree whose cameras hang below the base; what the network says about them goes
    into the pose of the base. A base frame without any calibrated camera follows the cameras
    rigidly from where they were seen last.

    Sets of a window that failed are placed by the next window that contains them.
    One thread at a time may use an instance.

    Args:
        estimator: the network, or the truth.
        rig: where cameras sit, metres; may be empty or partial.
        clock: returns seconds; only differences count, only for the report.

    Raises:
        StreamError: the rig calibration is not rigid.
    """

    def __init__(
        self, estimator: Estimator, rig: RigCalibration, clock: Callable[[], float]
    ) -> None:
        self._estimator = estimator
        self._rig = checked_rig(rig)
        self._clock = clock
        self._world = _World(Layout(self._rig, {}))

    def reset(self) -> None:
        """Forget the world; the next window defines a new one."""
        self._world = _World(Layout(self._rig, {}))

    def process(self, window: Window) -> WindowResult:
        """Estimate a window and place the sets that have no place yet.

        Whatever the estimator raises goes through, and the state is as before. A prediction that
        cannot be used (a pose that is not finite, an image of the wrong size) gives a result
        without sets whose report says why.

        Raises:
            StreamError: the estimator returned another number of views than the window has.
        """
        start_s = self._clock()
        prediction = self._estimator.estimate(window)
        estimate_s = self._clock() - start_s
        reason = refusal(window, prediction)
        if reason:
            report = _refused(self._world.scale, reason)
            return WindowResult(window.index, len(window.sets), (), report, estimate_s)
        measured = self._measure(window_sets(window, prediction), prediction)
        self._world, new_sets, report = self._place(measured)
        return WindowResult(window.index, len(window.sets), new_sets, report, estimate_s)

    def _measure(self, sets: tuple[WindowSet, ...], prediction: WindowPrediction) -> _Measured:
        before = self._world
        views = [view for window_set in sets for view in window_set.views]
        noise = _position_noise(prediction)
        shared = compare_shared(views, before.anchors, noise)
        rig = scale_from_rig([s.window_from_camera for s in sets], self._rig, noise)
        chain = shared.chain if shared else None
        scale = next_scale(before.scale, chain, rig, is_metric=prediction.is_metric)
        return _Measured(sets, shared, scale)

    def _place(self, m: _Measured) -> tuple[_World, tuple[PosedSet, ...], AlignmentReport]:
        before = self._world
        world_from_window, report = _align(m, before)
        layout = before.layout
        anchors: dict[ViewKey, Anchor] = {}
        placed_sets: list[PlacedSet] = []
        new_sets: list[PosedSet] = []
        for window_set in m.sets:
            keys = [view.key for view in window_set.views]
            is_known = all(key in before.anchors for key in keys)
            if is_known and not m.scale.has_jumped:
                anchors.update((key, before.anchors[key]) for key in keys)
                continue
            placed = place_set(window_set, world_from_window, layout)
            layout = placed.layout
            anchors.update(placed.anchors)
            placed_sets.append(placed)
            if not is_known:
                new_sets.append(placed.posed)
        newest = placed_sets[-1].posed.world_from_base if placed_sets else before.world_from_base
        notes = [report.note, _rig_note(placed_sets)]
        report = replace(report, note='; '.join(filter(None, notes)))
        return _World(layout, anchors, m.scale, newest), tuple(new_sets), report


def _align(m: _Measured, before: _World) -> tuple[Sim3, AlignmentReport]:
    """Return the window's place and the report about it."""
    report = AlignmentReport(
        method='first',
        shared_views=0,
        scale=m.scale.scale,
        scale_source=m.scale.source,
        scale_log_sigma=m.scale.log_sigma,
        is_metric=m.scale.is_metric,
        rotation_residual_rad=math.nan,
        translation_residual=math.nan,
        depth_residual=math.nan,
        note=m.scale.note,
    )
    if m.shared is not None:
        alignment = align(m.shared, m.scale.scale)
        outliers = m.shared.outliers
        note = f'{outliers} shared views have contradicting poses and were left out'
        report = replace(
            report,
            method='shared_views',
            shared_views=len(m.shared.world_poses) + outliers,
            rotation_residual_rad=alignment.rotation_residual_rad,
            translation_residual=alignment.translation_residual,
            depth_residual=m.shared.depth_spread,
            note='; '.join(filter(None, [m.scale.note, note if outliers else ''])),
        )
        return alignment.world_from_window, report
    window_from_base = scaled_base(m.sets[0], m.scale.scale, before.layout)
    world_from_base = before.world_from_base
    if world_from_base is None:
        return align_pose(np.eye(4), window_from_base, m.scale.scale), report
    notes = ['no view is shared with earlier windows: the rig is placed where it was last']
    note = '; '.join([*notes, *filter(None, [m.scale.note])])
    report = replace(report, method='dead_reckoning', note=note)
    return align_pose(world_from_base, window_from_base, m.scale.scale), report


def _refused(scale: WorldScale | None, reason: str) -> AlignmentReport:
    return AlignmentReport(
        method='first' if scale is None else 'dead_reckoning',
        shared_views=0,
        scale=1.0 if scale is None else scale.scale,
        scale_source='none' if scale is None else 'chain',
        scale_log_sigma=math.nan,
        is_metric=scale is not None and scale.is_metric,
        rotation_residual_rad=math.nan,
        translation_residual=math.nan,
        depth_residual=math.nan,
        note=f'window refused, its sets are left to the next one: {reason}',
    )


def _position_noise(prediction: WindowPrediction) -> float:
    """Return the error of a camera centre that is assumed at least, window units."""
    depth = typical_depth([known_depth(view) for view in prediction.views])
    if math.isfinite(depth):
        return POSITION_NOISE * depth
    centres = np.array([view.window_from_camera[:3, 3] for view in prediction.views])
    return _SPREAD_NOISE * rms(np.linalg.norm(centres - centres.mean(axis=0), axis=1))


def _rig_note(placed_sets: list[PlacedSet]) -> str:
    angle = max((placed.base.rotation_residual_rad for placed in placed_sets), default=0.0)
    distance = max((placed.base.translation_residual for placed in placed_sets), default=0.0)
    if angle <= _RIG_NOTE_RAD and distance <= _RIG_NOTE_M:
        return ''
    return (
        'network and rig calibration disagree about the base by up to '
        f'{distance:.3g} (RMS, world units) and {math.degrees(angle):.2g} deg'
    )
