"""What no sane network says: changes of a prediction, by name, each a kind of its own.

Every change takes random numbers, so that one kind comes in many shapes, and changes a view or a
whole prediction. None knows what the stream checks. They overflow on purpose: numpy's warnings
are to be ignored around them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.types import ViewPrediction, WindowPrediction
from helpers.depths import depth_of

Rng = np.random.Generator
OfView = Callable[[ViewPrediction, Rng], ViewPrediction]
OfWindow = Callable[[WindowPrediction, Rng], WindowPrediction]

NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-30, 1e-12, 1e12, 1e30, 1e300)
DISTANCES = (1e3, 1e6, 1e9, 1e12, 1e30, 1e200)


def any_of(rng: Rng, values: tuple[float, ...]) -> float:
    return float(values[rng.integers(len(values))])


# ---- depth


def constant_depth(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    return replace(
        view, depth=np.full(depth_of(view).shape, any_of(rng, NUMBERS)).astype(np.float32)
    )


def speckled_depth(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    depth = np.array(view.depth, np.float64)
    depth[rng.random(depth.shape) < rng.random()] = any_of(rng, NUMBERS)
    return replace(view, depth=depth.astype(np.float32))


def scaled_depth(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    factor = 10.0 ** rng.uniform(-40, 40)
    return replace(view, depth=(depth_of(view).astype(np.float64) * factor).astype(np.float32))


def depth_of_another_type(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    kinds = (np.float64, np.float16, np.int32, np.uint8, np.bool_, np.complex128, np.object_)
    kind = kinds[rng.integers(len(kinds))]
    depth = depth_of(view).astype(np.float64)
    if kind is np.float64:
        depth = depth * 10.0 ** rng.uniform(-300, 300)
    return replace(view, depth=depth.astype(kind))


def strange_memory(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    depth: NDArray[np.float32] = np.asfortranarray(view.depth)
    if rng.random() < 0.5:
        depth = np.repeat(np.repeat(depth_of(view), 2, 0), 2, 1)[::2, ::2][::-1][::-1]
    depth.flags.writeable = False
    return replace(view, depth=depth)


def one_pixel(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    return of_size(view, ImageSize(1, 1), rng)


def of_another_size(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    sizes = [(1, 4000), (4000, 1), (2, 3), (7, 5), (48, 64), (1, 2)]
    return of_size(view, ImageSize(*sizes[rng.integers(len(sizes))]), rng)


def of_size(view: ViewPrediction, size: ImageSize, rng: Rng) -> ViewPrediction:
    shape = (size.height, size.width)
    return replace(
        view,
        depth=rng.uniform(1, 5, shape).astype(np.float32),
        image=rng.integers(0, 255, (*shape, 3)).astype(np.uint8),
        confidence=np.ones(shape, np.float32),
        sky=None,
        camera=view.camera.resized(size),
        calibrated_camera=None,
    )


def wrong_shapes(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    changes = (
        {'depth': depth_of(view)[:-1]},
        {'depth': depth_of(view)[:0]},
        {'depth': depth_of(view)[..., None]},
        {'depth': np.float32(2.0)},
        {'image': np.zeros((2, 2, 3), np.uint8)},
        {'image': view.image[..., :1]},
        {'image': view.image[..., 0]},
        {'image': view.image.astype(np.float32)},
        {'confidence': np.ones((2, 2), np.float32)},
        {'sky': np.zeros((2, 2), np.bool_)},
        {'camera': view.camera.resized(ImageSize(5, 5))},
        {'calibrated_camera': view.camera.resized(ImageSize(5, 5))},
        {'window_from_camera': view.window_from_camera[:3]},
    )
    return replace(view, **changes[rng.integers(len(changes))])


def missing_fields(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    names = ('depth', 'image', 'window_from_camera', 'camera')
    return replace(view, **{names[rng.integers(len(names))]: None})  # type: ignore[arg-type]


# ---- confidence and sky


def strange_confidence(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    confidence = np.ones(depth_of(view).shape, np.float64)
    confidence[rng.random(confidence.shape) < rng.random()] = any_of(rng, NUMBERS)
    kinds = (np.float32, np.float64, np.float16)
    return replace(view, confidence=confidence.astype(kinds[rng.integers(len(kinds))]))


def strange_sky(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    kinds = (np.bool_, np.bool_, np.uint8, np.float32)
    sky = (rng.random(depth_of(view).shape) < rng.choice([0.5, 1.0])).astype(
        kinds[rng.integers(4)]
    )
    return replace(view, sky=sky)


# ---- poses


def posed(view: ViewPrediction, pose: FloatArray) -> ViewPrediction:
    return replace(view, window_from_camera=pose)


def wild_matrix(pose: FloatArray, rng: Rng) -> FloatArray:
    """Return a pose that is none, or one that is far away."""
    wild = np.array(np.real(pose), np.float64)
    kind = rng.integers(9)
    if kind == 0:
        wild[rng.integers(4), rng.integers(4)] = any_of(rng, NUMBERS)
    elif kind == 1:
        wild[:3, 3] = rng.normal(size=3) * any_of(rng, DISTANCES)
    elif kind == 2:
        wild[:3, :3] = wild[:3, :3] @ np.diag([1.0, 1.0, -1.0])
    elif kind == 3:
        wild[:3, :3] = wild[:3, :3] * 10.0 ** rng.uniform(-200, 200)
    elif kind == 4:
        wild = np.full((4, 4), any_of(rng, NUMBERS))
    elif kind == 5:
        wild[:3, :3] += rng.normal(size=(3, 3)) * 3e-4
    elif kind == 6:
        wild[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    elif kind == 7:
        wild[:3, :3] = wild[:3, :3] @ np.diag(np.roll([1.0, -1.0, -1.0], rng.integers(3)))
    else:
        wild = np.eye(4)
    return wild


def wild_pose(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    return posed(view, wild_matrix(view.window_from_camera, rng))


def pose_of_another_type(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    kinds = (np.float32, np.float16, np.int64, np.object_, np.complex128, np.str_)
    return posed(view, view.window_from_camera.astype(kinds[rng.integers(len(kinds))]))


# ---- cameras


def strange_camera(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    size = view.camera.size
    fx, fy = 10.0 ** rng.uniform(-300, 300, 2)
    cx, cy = rng.normal(size=2) * any_of(rng, DISTANCES)
    camera = PinholeCamera.from_focal(fx, fy, cx, cy, size)
    if rng.random() < 0.3:
        camera = PinholeCamera(np.array([[20, rng.normal(), 10], [0, 20, 10], [0, 0, 1.0]]), size)
    field = 'calibrated_camera' if rng.random() < 0.5 else 'camera'
    return replace(view, **{field: camera})  # type: ignore[arg-type]


def impossible_camera(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    """Return what a camera refuses to be; it is the estimator that fails."""
    fx, fy = any_of(rng, (np.nan, 0.0, -1.0, np.inf)), 20.0
    return replace(view, camera=PinholeCamera.from_focal(fx, fy, 1.0, 1.0, view.camera.size))


def strange_pixel_map(view: ViewPrediction, rng: Rng) -> ViewPrediction:
    return replace(view, pixel_map=PixelMap(*(any_of(rng, (*NUMBERS, 1.0)) for _ in range(4))))


# ---- windows


def same_poses(prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    pose = prediction.views[rng.integers(len(prediction.views))].window_from_camera
    return replace(prediction, views=tuple(posed(view, pose) for view in prediction.views))


def opposite_poses(prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    """Return views that are rotated by half a turn against each other, in several directions."""
    half_turns = [np.diag(np.roll([1.0, -1.0, -1.0], axis)) for axis in range(3)]
    views = []
    for view in prediction.views:
        pose = view.window_from_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ ([*half_turns, np.eye(3)][rng.integers(4)])
        views.append(posed(view, pose))
    return replace(prediction, views=tuple(views))


def stretched_poses(prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    factor = 10.0 ** rng.uniform(-40, 40)
    views = []
    for view in prediction.views:
        pose = view.window_from_camera.copy()
        pose[:3, 3] *= factor
        views.append(posed(view, pose))
    return replace(prediction, views=tuple(views))


def no_depth_and_same_poses(prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    same = same_poses(prediction, rng)
    value = any_of(rng, (np.nan, 0.0, np.inf))
    views = [replace(v, depth=np.full_like(v.depth, value)) for v in same.views]
    return replace(same, views=tuple(views))


def unsure_unit(prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    return replace(prediction, unit_sigma=any_of(rng, (*NUMBERS, 1e200, 0.1)))


def another_number_of_views(prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    views = prediction.views[1:] if rng.random() < 0.5 else (*prediction.views, *prediction.views)
    return replace(prediction, views=views)


def failing(prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    raise RuntimeError('the network is on fire')


OF_VIEWS: Mapping[str, OfView] = {
    change.__name__: change
    for change in (
        constant_depth, speckled_depth, scaled_depth, depth_of_another_type, strange_memory,
        one_pixel, of_another_size, wrong_shapes, missing_fields, strange_confidence, strange_sky,
        wild_pose, pose_of_another_type, strange_camera, impossible_camera, strange_pixel_map,
    )
}  # fmt: skip
OF_WINDOWS: Mapping[str, OfWindow] = {
    change.__name__: change
    for change in (
        same_poses, opposite_poses, stretched_poses, no_depth_and_same_poses, unsure_unit,
        another_number_of_views, failing,
    )
}  # fmt: skip
KINDS = (*OF_VIEWS, *OF_WINDOWS)


def changed(kind: str, prediction: WindowPrediction, rng: Rng) -> WindowPrediction:
    """Return a prediction with one kind of absurdity, in one view, in some, or in all."""
    if kind in OF_WINDOWS:
        return OF_WINDOWS[kind](prediction, rng)
    count = len(prediction.views)
    hit = [np.arange(count) == rng.integers(count), rng.random(count) < 0.5, np.ones(count, bool)]
    chosen = hit[rng.integers(3)]
    views = [
        OF_VIEWS[kind](view, rng) if is_hit else view
        for view, is_hit in zip(prediction.views, chosen, strict=True)
    ]
    return replace(prediction, views=tuple(views))
