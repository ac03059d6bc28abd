"""With exact windows in random gauge and scale, the world comes out exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.se3 import invert, transform_points
from da3_ros.geometry.unproject import unproject
from da3_ros.notes import joined
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.synthetic import START_NS, TruthEstimator, make_world
from da3_ros.types import FrameSet, RigCalibration, WindowResult
from helpers.stream_builders import (
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    drive,
    rig_of,
    sets_of,
    stand,
    turn_on_the_spot,
    windows_of,
)

NO_RIG = RigCalibration()
POSE_BOUND = 1e-6
POINT_BOUND_M = 1e-3
Motion = Callable[[int], FloatArray]


def reconstruct(
    world: BoxWorld, cameras: Sequence[str], window: int, stride: int, count: int = 60
) -> tuple[list[WindowResult], BoxEstimator]:
    estimator = BoxEstimator(world, seed=window * 10 + stride)
    reconstructor = Reconstructor(estimator, world.rig, clock=lambda: 0.0)
    sets = sets_of(cameras, count)
    return [reconstructor.process(w) for w in windows_of(sets, window, stride)], estimator


def check_poses(results: Sequence[WindowResult], world: BoxWorld, count: int) -> None:
    """Poses and points in odom against the truth expressed in the first base frame."""
    first_from_world = invert(world.world_from_base(0))
    new = [item for result in results for item in result.new_sets]
    assert [item.stamp_ns for item in new] == [i * PERIOD_NS for i in range(count)]
    for item in new:
        base = first_from_world @ world.world_from_base(item.stamp_ns)
        np.testing.assert_allclose(item.world_from_base, base, atol=POSE_BOUND)
        for view in item.views:
            truth = world.world_from_camera(view.id.camera, item.stamp_ns)
            pose = first_from_world @ truth
            np.testing.assert_allclose(view.world_from_camera, pose, atol=POSE_BOUND)
            points = transform_points(view.world_from_camera, unproject(view.depth, view.camera))
            exact = world.camera.rays() * world.depth(truth)[..., None]
            error = np.linalg.norm(points - transform_points(pose, exact), axis=-1)
            assert error.max() < POINT_BOUND_M


@pytest.mark.parametrize(
    ('window', 'stride'), [(1, 1), (2, 1), (3, 1), (3, 2), (5, 3), (8, 4), (2, 2)]
)
def test_rig_of_three_cameras(window: int, stride: int) -> None:
    world = BoxWorld(THREE_CAMERAS)
    results, _ = reconstruct(world, list(THREE_CAMERAS.base_from_camera), window, stride)
    if stride < window:
        check_poses(results, world, 60)
        assert [r.alignment.method for r in results[1:]] == ['shared_views'] * (len(results) - 1)
    assert {r.alignment.scale_source for r in results} == {'rig'}
    assert all(r.alignment.is_metric for r in results)


def test_windows_of_nine_views_report_the_scale_of_the_window() -> None:
    world = BoxWorld(THREE_CAMERAS)
    results, estimator = reconstruct(world, list(THREE_CAMERAS.base_from_camera), 3, 1)
    assert len(results[-1].new_sets) == 1
    for result in results:
        assert result.sets * 3 <= 9
        scale = result.alignment.scale * estimator.scales[result.window_index]
        assert scale == pytest.approx(1.0, abs=1e-6)
        if result.window_index:
            assert result.alignment.rotation_residual_rad < 1e-6
            assert result.alignment.translation_residual < 1e-6
            assert result.alignment.depth_residual < 1e-6


def test_windows_of_two_views_by_two_cameras() -> None:
    pair = rig_of(left=(5.0, 0.1, 0.06, 0.4), right=(-5.0, 0.1, -0.06, 0.4))
    world = BoxWorld(pair)
    results, estimator = reconstruct(world, ['left', 'right'], 1, 1)
    # Nothing is shared between windows of one set: the rig gives the scale, the pose stands.
    for result in results[1:]:
        assert result.alignment.method == 'dead_reckoning'
        assert joined(result.alignment.notes)
        assert result.alignment.scale * estimator.scales[result.window_index] == pytest.approx(1)
        np.testing.assert_allclose(result.new_sets[0].world_from_base, np.eye(4), atol=1e-6)
    results, _ = reconstruct(world, ['left', 'right'], 2, 1)
    check_poses(results, world, 60)


@pytest.mark.parametrize('motion', [drive, stand, turn_on_the_spot])
@pytest.mark.parametrize('cameras', [('front',), tuple(THREE_CAMERAS.base_from_camera)])
def test_standing_still_and_pure_rotation(motion: Motion, cameras: tuple[str, ...]) -> None:
    known = {name: THREE_CAMERAS.base_from_camera[name] for name in cameras}
    world = BoxWorld(RigCalibration(known), motion)
    if len(cameras) > 1:
        results, _ = reconstruct(world, cameras, 3, 1)
        check_poses(results, world, 60)
        return
    check_single(world, motion, 3, 1)


@pytest.mark.parametrize(('window', 'stride'), [(2, 1), (3, 2), (9, 4)])
def test_one_camera_without_rig(window: int, stride: int) -> None:
    check_single(BoxWorld(THREE_CAMERAS), drive, window, stride)


def check_single(world: BoxWorld, motion: Motion, window: int, stride: int) -> None:
    """One camera, no rig: the same after the one global scale, which is the first window's."""
    estimator = BoxEstimator(world, seed=3)
    reconstructor = Reconstructor(estimator, NO_RIG, clock=lambda: 0.0)
    count = 60
    results = [
        reconstructor.process(w) for w in windows_of(sets_of(['front'], count), window, stride)
    ]
    unit = estimator.scales[0]
    start = motion(0) @ world.rig.base_from_camera['front'] @ invert(BODY_FROM_OPTICAL)
    assert results[0].alignment.scale_source == 'none'
    assert 'metric' in joined(results[0].alignment.notes)
    assert not any(r.alignment.is_metric for r in results)
    for result in results:
        for item in result.new_sets:
            truth = world.world_from_camera('front', item.stamp_ns)
            pose = invert(start) @ truth
            pose[:3, 3] *= unit
            (view,) = item.views
            np.testing.assert_allclose(view.world_from_camera, pose, atol=POSE_BOUND * unit)
            base = pose @ invert(BODY_FROM_OPTICAL)
            np.testing.assert_allclose(item.world_from_base, base, atol=POSE_BOUND * unit)
            error = np.abs(view.depth / unit - world.depth(truth))
            assert error.max() < POINT_BOUND_M


def test_a_metric_network_needs_no_rig() -> None:
    world = BoxWorld(THREE_CAMERAS)
    estimator = BoxEstimator(world, is_metric=True)
    reconstructor = Reconstructor(estimator, NO_RIG, clock=lambda: 0.0)
    results = [reconstructor.process(w) for w in windows_of(sets_of(['front'], 20), 3, 1)]
    assert {r.alignment.scale_source for r in results} == {'estimator'}
    assert all(r.alignment.is_metric for r in results)
    np.testing.assert_allclose([r.alignment.scale for r in results], 1.0, atol=1e-7)


def test_a_base_without_calibration_follows_whatever_camera_is_there() -> None:
    world = BoxWorld(THREE_CAMERAS)
    cameras = ['front', 'left', 'right']
    estimator = BoxEstimator(world)
    reconstructor = Reconstructor(estimator, NO_RIG, clock=lambda: 0.0)
    sets: list[FrameSet] = []
    for i, full in enumerate(sets_of(cameras, 40)):
        gone = 'front' if 10 <= i < 20 else None
        kept = tuple(f for f in full.frames if f.camera != gone)
        sets.append(FrameSet(full.stamp_ns, kept, (gone,) if gone else ()))
    results = [reconstructor.process(w) for w in windows_of(sets, 3, 1)]
    unit = estimator.scales[0]
    body = THREE_CAMERAS.base_from_camera['front'] @ invert(BODY_FROM_OPTICAL)
    for item in [s for r in results for s in r.new_sets]:
        base = invert(drive(0) @ body) @ drive(item.stamp_ns) @ body
        base[:3, 3] *= unit
        np.testing.assert_allclose(item.world_from_base, base, atol=2e-6 * unit)


def test_cameras_beside_a_partial_rig_stand_where_the_network_has_them() -> None:
    partial = RigCalibration({'front': THREE_CAMERAS.base_from_camera['front']})
    estimator = BoxEstimator(BoxWorld(THREE_CAMERAS), is_metric=True)
    reconstructor = Reconstructor(estimator, partial, clock=lambda: 0.0)
    windows = windows_of(sets_of(['front', 'left'], 20), 2, 1)
    check_poses([reconstructor.process(w) for w in windows], BoxWorld(THREE_CAMERAS), 20)


def test_the_furnished_synthetic_world() -> None:
    size = ImageSize(24, 32)
    world = make_world(seed=4, size=size)
    cameras = list(world.rig.cameras)
    stamps = [START_NS + i * 100_000_000 for i in range(60)]
    blank = {c: world.frame(c, START_NS) for c in cameras}
    sets = [
        FrameSet(
            t, tuple(type(f)(c, t, f.frame_id, f.image, f.calibration) for c, f in blank.items())
        )
        for t in stamps
    ]
    estimator = TruthEstimator(world, size=size, seed=5)
    reconstructor = Reconstructor(estimator, world.rig.calibration, clock=lambda: 0.0)
    results = [reconstructor.process(w) for w in windows_of(sets, 3, 2)]
    first_from_world = invert(world.world_from_base(START_NS))
    for item in [s for r in results for s in r.new_sets]:
        truth = first_from_world @ world.world_from_base(item.stamp_ns)
        np.testing.assert_allclose(item.world_from_base, truth, atol=POSE_BOUND)
        for view in item.views:
            assert view.is_calibrated
            exact = world.depth(view.id.camera, item.stamp_ns, size)
            assert np.nanmax(np.abs(view.depth - exact)) < POINT_BOUND_M
    assert all(r.alignment.scale_source == 'rig' for r in results)


def test_equal_input_gives_equal_bytes_twice() -> None:
    world = BoxWorld(THREE_CAMERAS)
    runs = [reconstruct(world, ['front', 'left'], 3, 1, count=8)[0] for _ in range(2)]
    for one, two in zip(*runs, strict=True):
        assert one.alignment == two.alignment or np.isnan(one.alignment.depth_residual)
        for a, b in zip(one.new_sets, two.new_sets, strict=True):
            assert a.world_from_base.tobytes() == b.world_from_base.tobytes()
            for p, q in zip(a.views, b.views, strict=True):
                assert p.depth.tobytes() == q.depth.tobytes()
                assert rotation_angle_rad(p.world_from_camera[:3, :3]) <= np.pi
