"""From the checked prediction of a window to posed sets: base poses, world depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.resample import PixelMap
from da3_ros.geometry.se3 import invert, nearest_rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.stream.alignment import Anchor, PlacedView, ViewKey, known_depth
from da3_ros.stream.rig import BasePose, Poses, base_pose
from da3_ros.stream.scale.samples import scaled_depth
from da3_ros.types import (
    CameraFrame,
    FloatImage,
    FrameSet,
    InputGeometry,
    PosedSet,
    PosedView,
    ViewPrediction,
    Window,
    WindowPrediction,
)

_Pixels = TypeVar('_Pixels', bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class WindowSet:
    """One set of a window with the views that were estimated for it."""

    frames: FrameSet
    views: tuple[PlacedView, ...]
    """In the order of the set's frames."""

    @property
    def window_from_camera(self) -> dict[str, FloatArray]:
        """Pose (4, 4) by camera name, in the window's unit."""
        return {view.key[0]: view.window_from_camera for view in self.views}


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where cameras sit in the base frame."""

    rig: Poses
    """Calibrated ones, metres."""
    seen: Poses
    """All, where they were seen last, world units; the one seen first comes first."""

    def at(self, frames: FrameSet) -> Layout:
        """Return the layout at the instant of a set, which knows better when it has a prior."""
        return self if frames.prior is None else Layout(frames.prior.base_from_camera, self.seen)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedSet:
    """A set in the world and what it teaches."""

    posed: PosedSet
    """With those views that have depth: all of a set that has no place yet."""
    anchors: Mapping[ViewKey, Anchor]
    layout: Layout
    """The layout before with what this set showed of its cameras."""
    base: BasePose
    """The base pose with the disagreement of the calibrated cameras."""
    calibrated: int
    """How many cameras of the set are calibrated."""


def window_sets(window: Window, prediction: WindowPrediction) -> tuple[WindowSet, ...]:
    """Return the sets of a window with their predictions."""
    predictions = iter(prediction.views)
    return tuple(
        WindowSet(
            frame_set,
            tuple(
                PlacedView.of((frame.camera, frame.stamp_ns), next(predictions))
                for frame in frame_set.frames
            ),
        )
        for frame_set in window.sets
    )


def base_of(poses: Poses, layout: Layout) -> BasePose:
    """Return the base pose of one set from its cameras' poses (frame_from_camera, rig's unit).

    Calibrated cameras decide together; without any, the camera that defined the base frame, or
    one that was seen beside it; without these, the body axes of the first camera.
    """
    calibrated = base_pose(poses, layout.rig)
    if calibrated is not None:
        return calibrated
    for camera, base_from_camera in layout.seen.items():
        if camera in poses:
            return BasePose(poses[camera] @ invert(base_from_camera), 0.0, 0.0)
    first = next(iter(poses.values()))
    return BasePose(first @ invert(BODY_FROM_OPTICAL), 0.0, 0.0)


def scaled_base(window_set: WindowSet, scale: float, layout: Layout) -> FloatArray:
    """Return the pose (4, 4) of a set's base in the window's frame, in world units."""
    stretch = Sim3(scale, np.eye(3), np.zeros(3))
    poses = {
        camera: stretch.apply_to_pose(pose)
        for camera, pose in window_set.window_from_camera.items()
    }
    return base_of(poses, layout.at(window_set.frames)).frame_from_base


def odometry_base(window_set: WindowSet, layout: Layout) -> FloatArray | None:
    """Return the pose (4, 4) of a set's base in the odometry's frame; metric worlds only."""
    prior = window_set.frames.prior
    known = prior.odometry_from_camera if prior else {}
    poses = {view.key[0]: known[view.key[0]] for view in window_set.views if view.key[0] in known}
    return base_of(poses, layout.at(window_set.frames)).frame_from_base if poses else None


def moved_set(posed: PosedSet, new_from_world: FloatArray) -> PosedSet:
    """Return a set in another world of the same unit."""
    return replace(
        posed,
        views=tuple(
            replace(view, world_from_camera=new_from_world @ view.world_from_camera)
            for view in posed.views
        ),
        world_from_base=new_from_world @ posed.world_from_base,
    )


def place_set(window_set: WindowSet, world_from_window: Sim3, layout: Layout) -> PlacedSet:
    """Return one set in the world, calibrated cameras where the rig has them."""
    raw = {
        camera: world_from_window.apply_to_pose(pose)
        for camera, pose in window_set.window_from_camera.items()
    }
    rig = layout.at(window_set.frames).rig
    base = base_of(raw, Layout(rig, layout.seen))
    world_from_base = base.frame_from_base
    poses = {
        camera: world_from_base @ rig[camera] if camera in rig else pose
        for camera, pose in raw.items()
    }
    views: list[PosedView] = []
    anchors: dict[ViewKey, Anchor] = {}
    for frame, view in zip(window_set.frames.frames, window_set.views, strict=True):
        pose, known, sample = poses[frame.camera], known_depth(view.prediction), view.sample
        if known is None or sample is None:
            anchors[view.key] = Anchor(pose, None)
            continue
        anchors[view.key] = Anchor(pose, sample.scaled(world_from_window.scale))
        depth = scaled_depth(known, world_from_window.scale)
        views.append(_posed_view(frame, view.prediction, pose, depth))
    base_from_world = invert(world_from_base)
    exact = nearest_rigid(base_from_world @ np.array(list(poses.values())))
    seen = dict(zip(poses, exact, strict=True))
    return PlacedSet(
        posed=PosedSet(window_set.frames.stamp_ns, tuple(views), world_from_base),
        anchors=anchors,
        layout=Layout(layout.rig, {**layout.seen, **seen}),
        base=base,
        calibrated=sum(camera in rig for camera in raw),
    )


def pixel_map_of(frame: CameraFrame, view: ViewPrediction) -> PixelMap:
    """Return where the pixels of a frame's image lie in the view that was estimated of it."""
    if view.pixel_map is not None:
        return view.pixel_map
    if frame.calibration is not None and view.calibrated_camera is not None:
        # An estimator that crops says so by the calibration that it carries through.
        return PixelMap.between(frame.calibration, view.calibrated_camera)
    return PixelMap.whole(frame.size, view.camera.size)


def _posed_view(
    frame: CameraFrame, said: ViewPrediction, world_from_camera: FloatArray, depth: FloatImage
) -> PosedView:
    return PosedView(
        id=frame.id,
        depth=depth,
        image=_own(said.image),
        camera=said.calibrated_camera or said.camera,
        is_calibrated=said.calibrated_camera is not None,
        world_from_camera=world_from_camera,
        confidence=None if said.confidence is None else _own(said.confidence),
        sky=None if said.sky is None else _own(said.sky),
        input=InputGeometry(frame.size, frame.calibration, pixel_map_of(frame, said)),
    )


def _own(pixels: NDArray[_Pixels]) -> NDArray[_Pixels]:
    """Return pixels that keep no other view's in memory, as slices of a window's array do."""
    return pixels if pixels.base is None else pixels.copy()
