"""Windows in, geometry in one world out: what joins estimator, scale, alignment and rig."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
import math

import numpy as np

from da3_ros.geometry.se3 import invert
from da3_ros.geometry.sim3 import Sim3
from da3_ros.notes import Note
from da3_ros.options.choices import ScaleChoice
from da3_ros.options.stream import STREAM
from da3_ros.stream.alignment import (
    Anchor,
    PlacedView,
    SharedViews,
    ViewKey,
    align,
    align_pose,
    compare_shared,
    depth_samples,
)
from da3_ros.stream.checked import Refusal, checked_prediction
from da3_ros.stream.input_views import InputViews
from da3_ros.stream.needed_depth import needed_depth
from da3_ros.stream.placing import (
    Layout,
    PlacedSet,
    WindowSet,
    moved_set,
    odometry_base,
    place_set,
    scaled_base,
    window_sets,
)
from da3_ros.stream.rig import checked_rig
from da3_ros.stream.robust_mean import rms
from da3_ros.stream.scale.measurements import POSITION_NOISE, typical_depth
from da3_ros.stream.scale.odometry import Ratio
from da3_ros.stream.scale.sources import OdometryState, metric_candidates
from da3_ros.stream.scale.world import (
    MetricSource,
    WorldScale,
    choose_metric,
    next_scale,
)
from da3_ros.stream.window_report import (
    BY_ODOMETRY,
    NOTHING_SHARED,
    changed_depth,
    left_out,
    refused,
    views_contradict,
    with_rig_residuals,
)
from da3_ros.stream.world import World
from da3_ros.types import (
    AlignmentMethod,
    AlignmentReport,
    Estimator,
    KnownPoses,
    PosedSet,
    RigCalibration,
    Window,
    WindowPrediction,
    WindowResult,
)

# Stands for the depth's share where no depth is known: a share of the spread of the cameras.
_SPREAD_NOISE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What a window says before it is placed."""

    sets: tuple[WindowSet, ...]
    shared: SharedViews | None
    scale: WorldScale
    prediction: WindowPrediction
    known: KnownPoses
    notes: tuple[Note, ...]
    """Of the estimator and of the choice of the scale's source."""
    gathered: Ratio | None
    """What odometry has measured up to now, not well enough yet."""
    typical: float
    """Median depth, world units; NaN when none is known."""


class Reconstructor:
    """Runs the estimator on windows and places every new frame set into the world.

    The first window defines the world: the base frame at its first set, or the body axes of that
    set's first camera when none of its cameras is calibrated. Later windows are placed by the
    views they share with what is placed already; a placed view keeps its pose. Cameras that the
    rig calibration knows stand in the world exactly as the calibration says, so that clouds
    agree with a TF tree whose cameras hang below the base; what the network says about them goes
    into the pose of the base. A base frame without any calibrated camera follows the cameras
    rigidly from where they were seen last.

    A set with a prior has its own rig: that of its instant, as for cameras on a moving head. Its
    odometry measures the scale and nothing else: poses are those that the images show.

    Sets of a window that failed are placed by the next window that contains them.
    One thread at a time may use an instance.

    Args:
        estimator: the network, or the truth.
        rig: where cameras sit, metres; may be empty or partial.
        clock: returns seconds; only differences count, only for the report.
        scale_source: what tells the metre, see `scale.world.choose_metric`.
        in_odometry_frame: give sets in the odometry's frame, each base where the odometry has it:
            for a world frame that others connect to the base. A set without odometry keeps its
            distance to the one before.
        quarter_turns: camera name to clockwise quarters that make its images upright, which is
            how the estimator sees them; the others are upright.

    Raises:
        StreamError: the rig calibration is not rigid.
    """

    def __init__(
        self,
        estimator: Estimator,
        rig: RigCalibration,
        clock: Callable[[], float],
        scale_source: ScaleChoice = STREAM.scale_source,
        *,
        in_odometry_frame: bool = False,
        quarter_turns: Mapping[str, int] | None = None,
    ) -> None:
        self._in_odometry_frame = in_odometry_frame
        self._views = InputViews(quarter_turns or {})
        self._estimator = estimator
        self._scale_source = scale_source
        self._rig = checked_rig(rig)
        self._clock = clock
        self._world = World(Layout(self._rig, {}))

    def reset(self) -> None:
        """Forget the world; the next window defines a new one."""
        self._world = World(Layout(self._rig, {}))

    @property
    def world(self) -> World:
        """All that outlives a window."""
        return self._world

    def resume(self, world: World) -> None:
        """Go on from the world that another instance has come to with the same windows."""
        self._world = world

    def extend_rig(self, rig: RigCalibration) -> None:
        """Let cameras join that no window has had; the world goes on.

        Args:
            rig: the present one, with further cameras.

        Raises:
            StreamError: the calibration is not rigid.
        """
        self._rig = checked_rig(rig)
        layout = Layout(self._rig, self._world.layout.seen)
        self._world = replace(self._world, layout=layout)

    def process(self, window: Window) -> WindowResult:
        """Estimate a window and place the sets that have no place yet.

        Whatever the estimator raises goes through, and the state is as before. A prediction that
        cannot be used (a pose that is not finite, an image of the wrong size) gives a result
        without sets whose report says why; the state is as before then, too.

        Raises:
            StreamError: the estimator returned another number of views than the window has, or
                something else than views.
        """
        asked = replace(window, depth_of=needed_depth(window, self._world.anchors))
        upright = self._views.upright(asked)
        start_s = self._clock()
        said = self._estimator.estimate(upright)
        estimate_s = self._clock() - start_s
        checked = checked_prediction(upright, said, self._views.sideways)
        if isinstance(checked, Refusal):
            report = refused(self._world.scale, checked.text, checked.numbers)
            return WindowResult(window.index, len(window.sets), (), report, estimate_s)
        prediction = self._views.as_taken(window, checked)
        measured = self._measure(window, window_sets(window, prediction), prediction)
        self._world, new_sets, report = self._place(measured)
        wanted = {view.id for posed in new_sets for view in posed.views}
        images = {frame.id: frame.image for frame in window.views if frame.id in wanted}
        return WindowResult(
            window.index, len(window.sets), new_sets, report, estimate_s, images=images
        )

    def _measure(
        self, window: Window, sets: tuple[WindowSet, ...], prediction: WindowPrediction
    ) -> _Measured:
        before = self._world
        views = [view for window_set in sets for view in window_set.views]
        noise = _position_noise(views)
        shared = compare_shared(views, before.anchors, noise)
        chain = shared.chain if shared else None
        is_followed = before.scale is not None and before.scale.is_metric and chain is not None
        state = OdometryState(before.scale, chain, before.gathered)
        candidates, gathered = metric_candidates(window, sets, prediction, self._rig, noise, state)
        metric, chosen = choose_metric(self._scale_source, candidates, is_metric=is_followed)
        gathering: MetricSource | None = (
            'odometry' if candidates['odometry'].is_gathering else None
        )
        scale = next_scale(before.scale, chain, metric, gathering)
        known = window.known_poses()
        notes = tuple(
            dict.fromkeys(
                (
                    *prediction.notes,
                    *self._views.notes(window),
                    *left_out(window, candidates),
                    *(chosen or known.notes),
                )
            )
        )
        if scale.has_jumped or (gathered and before.scale is None):
            # The world's unit is another one than that in which the ratio was measured.
            gathered = gathered.scaled(scale.scale) if gathered and not scale.has_jumped else None
        depth = typical_depth(depth_samples(sets[-1].views))
        typical = depth * scale.scale
        if shared is None and scale.is_metric and before.scale and before.scale.is_metric:
            notes = (*notes, *changed_depth(before.typical, typical))
        return _Measured(sets, shared, scale, prediction, known, notes, gathered, typical)

    def _place(self, m: _Measured) -> tuple[World, tuple[PosedSet, ...], AlignmentReport]:
        before = self._world.in_new_unit(m.scale.factor)
        if m.shared is not None:
            poses = self._world.stretched(m.shared.world_poses, m.scale.factor)
            m = replace(m, shared=replace(m.shared, world_poses=poses))
        world_from_window, report = _align(m, before)
        layout = before.layout
        anchors: dict[ViewKey, Anchor] = {}
        placed_sets: list[PlacedSet] = []
        new_sets: list[PosedSet] = []
        newest, odometry = before.world_from_base, before.odometry_from_base
        given_from_world = before.given_from_world
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
            newest = placed.posed.world_from_base
            odometry = odometry_base(window_set, layout)
            if self._in_odometry_frame and odometry is not None:
                given_from_world = odometry @ invert(newest)
            if not is_known:
                is_moved = self._in_odometry_frame
                posed = placed.posed
                new_sets.append(moved_set(posed, given_from_world) if is_moved else posed)
        report = replace(report, notes=(*report.notes, *m.notes))
        report = with_rig_residuals(report, placed_sets)
        start = before.start
        if start is None and placed_sets:
            start = placed_sets[0].posed.views[0].world_from_camera[:3, 3]
        world = World(
            layout,
            anchors,
            m.scale,
            newest,
            odometry,
            given_from_world,
            start,
            m.gathered,
            m.typical,
        )
        return world, tuple(new_sets), report


def _align(m: _Measured, before: World) -> tuple[Sim3, AlignmentReport]:
    """Return the window's place and the report about it."""
    of_scale = () if m.scale.note is None else (m.scale.note,)
    report = AlignmentReport(
        method='first',
        shared_views=0,
        scale=m.scale.scale,
        scale_source=m.scale.source,
        scale_log_sigma=m.scale.log_sigma,
        is_metric=m.scale.is_metric,
        notes=of_scale,
        is_new_unit=m.scale.is_new_unit,
        conditioning=m.prediction.conditioning,
        views=len(m.prediction.views),
        odometry_views=m.known.odometry_views,
    )
    if m.shared is not None:
        alignment = align(m.shared, m.scale.scale)
        outliers = m.shared.outliers
        report = replace(
            report,
            method='shared_views',
            shared_views=len(m.shared.world_poses) + outliers,
            rotation_residual_rad=alignment.rotation_residual_rad,
            translation_residual=alignment.translation_residual,
            depth_residual=m.shared.depth_spread,
            notes=(*of_scale, views_contradict(outliers)) if outliers else of_scale,
        )
        return alignment.world_from_window, report
    window_from_base = scaled_base(m.sets[0], m.scale.scale, before.layout)
    world_from_base = before.world_from_base
    if world_from_base is None:
        return align_pose(np.eye(4), window_from_base, m.scale.scale), report
    note = NOTHING_SHARED
    method: AlignmentMethod = 'dead_reckoning'
    odometry = odometry_base(m.sets[0], before.layout)
    if odometry is not None and before.odometry_from_base is not None and m.scale.is_metric:
        note, method = BY_ODOMETRY, 'odometry'
        world_from_base = world_from_base @ invert(before.odometry_from_base) @ odometry
    report = replace(report, method=method, notes=(note, *of_scale))
    return align_pose(world_from_base, window_from_base, m.scale.scale), report


def _position_noise(views: Sequence[PlacedView]) -> float:
    """Return the error of a camera centre that is assumed at least, window units."""
    depth = typical_depth(depth_samples(views))
    if math.isfinite(depth):
        return POSITION_NOISE * depth
    centres = np.array([view.window_from_camera[:3, 3] for view in views])
    return _SPREAD_NOISE * rms(np.linalg.norm(centres - centres.mean(axis=0), axis=1))
