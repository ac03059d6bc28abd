"""The filter of the world's unit against the textbook, and places against a fit by hand."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.stream.alignment import SharedViews, align, align_pose
from da3_ros.stream.placing import Layout, base_of, window_sets
from da3_ros.stream.rig import base_pose
from da3_ros.stream.scale.measurements import FUSED_FLOOR, LogScale
from da3_ros.stream.scale.odometry import ODOMETRY_SIGMA
from da3_ros.stream.scale.sources import OdometryState, metric_candidates
from da3_ros.stream.scale.world import Metric, WorldScale, next_scale
from da3_ros.stream.stats import StreamStats
from da3_ros.stream.world import World
from da3_ros.types import Window
from helpers.stream_builders import (
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    sets_of,
    with_odometry,
)

WORLD = WorldScale(0.3, 0.04**2, is_metric=True, source='rig', anchor='rig')
TURN = Rotation.from_rotvec([0.4, -0.3, 1.2]).as_matrix()


def measured(value: float, sigma: float, common: float = 0.0) -> Metric:
    return Metric('rig', LogScale(value, sigma, common))


def test_a_measurement_within_the_gate_is_kalmans() -> None:
    chain = LogScale(0.5, 0.03)
    found = next_scale(WORLD, chain, measured(0.55, 0.12))
    prior = 0.04**2 + 0.03**2
    gain = prior / (prior + 0.12**2)
    assert found.log_scale == pytest.approx(0.5 + gain * 0.05)
    assert found.variance == pytest.approx((1 - gain) * prior)
    assert found.note is None
    assert found.disputed == 0
    assert found.is_metric
    assert (found.source, found.anchor) == ('rig', 'rig')
    assert found.log_sigma == pytest.approx(math.sqrt(found.variance))
    assert found.scale == pytest.approx(math.exp(found.log_scale))


@pytest.mark.parametrize(('sigmas', 'is_noted'), [(2.9, False), (3.1, True)])
@pytest.mark.parametrize('sign', [-1, 1])
def test_beyond_three_deviations_it_pulls_as_if_it_were_there(
    sigmas: float, is_noted: bool, sign: int
) -> None:
    expected = math.hypot(0.04, 0.12)
    found = next_scale(WORLD, LogScale(0.5, 0.0), measured(0.5 + sign * sigmas * expected, 0.12))
    assert (found.note is not None) == is_noted
    assert found.disputed == (sign if is_noted else 0)
    sigma = 0.12 * max(sigmas / 3, 1)
    gain = 0.04**2 / (0.04**2 + sigma**2)
    assert found.log_scale == pytest.approx(0.5 + gain * sign * sigmas * expected)
    assert found.variance == pytest.approx(gain * sigma**2)


def test_the_fifth_window_that_disagrees_to_one_side_is_followed() -> None:
    world = WORLD
    for window in range(1, 6):
        world = next_scale(world, LogScale(0.5, 0.0), measured(2.5, 0.01))
        assert world.note is not None
        assert world.has_jumped == (window == 5)
        if window < 5:
            assert world.disputed == window
            assert world.log_scale < 2.5
    assert world.log_scale == 2.5
    assert world.variance == pytest.approx(0.01**2)
    assert world.is_new_unit
    assert world.disputed == 0
    # The other side, or agreement, begins the count anew.
    other = next_scale(replace(WORLD, disputed=4), LogScale(0.5, 0.0), measured(-2.5, 0.01))
    assert other.disputed == -1
    other = next_scale(replace(WORLD, disputed=-4), LogScale(0.5, 0.0), measured(-2.5, 0.01))
    assert other.has_jumped
    agreed = next_scale(replace(WORLD, disputed=4), LogScale(0.5, 0.0), measured(0.5, 0.01))
    assert agreed.disputed == 0


def test_no_number_of_windows_makes_it_better_than_what_they_share() -> None:
    world = WORLD
    for _ in range(200):
        world = next_scale(world, LogScale(world.log_scale, 0.0), measured(0.3, 0.05, 0.02))
    assert world.log_sigma == pytest.approx(0.02)
    world = WORLD
    for _ in range(2000):
        world = next_scale(world, LogScale(world.log_scale, 0.0), measured(0.3, 0.01))
    assert world.log_sigma == pytest.approx(FUSED_FLOOR)


def test_what_is_carried_on_adds_its_variance_and_without_shared_views_the_metre_is_lost() -> None:
    found = next_scale(replace(WORLD, disputed=2), LogScale(0.7, 0.03), None)
    assert found.log_scale == 0.7
    assert found.variance == pytest.approx(0.04**2 + 0.03**2)
    assert (found.is_metric, found.source, found.anchor) == (True, 'chain', 'rig')
    assert found.disputed == 2
    waiting = next_scale(WORLD, LogScale(0.7, 0.03), None, gathering='rig')
    assert waiting.source == 'rig'
    assert next_scale(WORLD, LogScale(0.7, 0.03), None, gathering='odometry').source == 'chain'
    lost = next_scale(WORLD, None, None)
    assert not lost.is_metric
    assert lost.log_scale == WORLD.log_scale
    assert lost.log_sigma > 0.5
    assert lost.note is not None


def test_a_world_becomes_metric_by_the_factor_between_chain_and_metre() -> None:
    unknown = WorldScale(0.2, 0.01, is_metric=False, source='chain')
    found = next_scale(unknown, LogScale(0.5, 0.1), measured(1.7, 0.05))
    assert found.factor == pytest.approx(math.exp(1.7 - 0.5))
    assert found.is_metric
    assert found.is_new_unit
    assert found.has_jumped
    assert found.log_scale == 1.7
    alone = next_scale(unknown, None, measured(1.7, 0.05))
    assert alone.factor == pytest.approx(math.exp(1.7 - 0.2))
    first = next_scale(None, None, measured(1.7, 0.05))
    assert (first.has_jumped, first.is_new_unit, first.factor) == (False, False, 1.0)
    nothing = next_scale(None, None, None)
    assert (nothing.scale, nothing.variance, nothing.is_metric) == (1.0, 0.0, False)
    assert math.isnan(nothing.log_sigma)


def poses(count: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    return rigid(
        Rotation.from_rotvec(rng.normal(size=(count, 3))).as_matrix(), rng.normal(size=(count, 3))
    )


def shared(world: FloatArray, window: FloatArray) -> SharedViews:
    return SharedViews(TURN, None, math.nan, world, window, 0)


def test_a_window_stands_where_its_shared_views_do_and_residuals_are_root_mean_squares() -> None:
    window = poses(4)
    scale = 2.5
    world = rigid(TURN @ window[:, :3, :3], scale * window[:, :3, 3] @ TURN.T + [5.0, 6.0, 7.0])
    exact = align(shared(world, window), scale)
    np.testing.assert_allclose(exact.world_from_window.translation, [5, 6, 7])
    assert exact.rotation_residual_rad == pytest.approx(0, abs=1e-7)
    assert exact.translation_residual == pytest.approx(0, abs=1e-12)
    # Two are off to opposite sides, two are tilted.
    world[0, 0, 3] += 0.2
    world[1, 0, 3] -= 0.2
    world[2, 1, 3] += 0.2
    world[3, 1, 3] -= 0.2
    tilt = Rotation.from_rotvec([0.0, 0.1, 0.0]).as_matrix()
    world[:2, :3, :3] = world[:2, :3, :3] @ tilt
    off = align(shared(world, window), scale)
    np.testing.assert_allclose(off.world_from_window.translation, [5, 6, 7], atol=1e-9)
    assert off.translation_residual == pytest.approx(0.2)
    assert off.rotation_residual_rad == pytest.approx(0.1 / math.sqrt(2))


def test_one_pose_decides_the_place_of_a_window() -> None:
    wanted, body = poses(1, 3)[0], poses(1, 4)[0]
    found = align_pose(wanted, body, 2.0)
    assert found.scale == 2
    np.testing.assert_allclose(found.rotation @ body[:3, :3], wanted[:3, :3], atol=1e-12)
    placed = found.rotation @ body[:3, 3] + found.translation
    np.testing.assert_allclose(placed, wanted[:3, 3], atol=1e-12)


def test_the_base_is_where_its_cameras_agree_that_it_is() -> None:
    rig = {f'c{i}': pose for i, pose in enumerate(poses(4, 8))}
    base = poses(1, 9)[0]
    cameras = {name: base @ pose for name, pose in rig.items()}
    exact = base_pose(cameras | {'unknown': np.eye(4)}, rig)
    assert exact is not None
    np.testing.assert_allclose(exact.frame_from_base, base, atol=1e-12)
    assert exact.rotation_residual_rad == pytest.approx(0, abs=1e-7)
    for index, name in enumerate(rig):
        shift = np.eye(4)
        shift[0, 3] = 0.3 if index % 2 else -0.3
        cameras[name] = shift @ cameras[name]
    off = base_pose(cameras, rig)
    assert off is not None
    np.testing.assert_allclose(off.frame_from_base, base, atol=1e-9)
    assert off.translation_residual == pytest.approx(0.3)
    assert base_pose({'unknown': np.eye(4)}, rig) is None


def test_a_world_in_another_unit_keeps_the_first_place_of_its_first_camera() -> None:
    start = np.array([1.0, 2.0, 3.0])
    world = World(layout=None, start=start)  # type: ignore[arg-type]
    pose = rigid(TURN, start + np.array([1.0, 0.0, -1.0]))
    stretched = world.stretched(pose, 3.0)
    np.testing.assert_allclose(stretched[:3, 3], start + np.array([3.0, 0.0, -3.0]))
    np.testing.assert_allclose(stretched[:3, :3], TURN)
    np.testing.assert_allclose(world.stretched(rigid(TURN, start), 3.0)[:3, 3], start)
    nowhere = World(layout=None)  # type: ignore[arg-type]
    np.testing.assert_allclose(nowhere.stretched(pose, 3.0)[:3, 3], 3 * pose[:3, 3])


# Statistics


def rate(times: list[float], now: float) -> float:
    stats = StreamStats()
    for time in times:
        stats.event('x', time)
    return stats.snapshot(now).rates_hz['x']


def test_a_rate_is_intervals_by_their_span_until_a_silence_of_two() -> None:
    assert rate([0.0, 0.5, 1.0], 1.0) == pytest.approx(2.0)
    assert rate([0.0, 0.5, 1.0], 1.9) == pytest.approx(2.0)
    assert rate([0.0, 0.5, 1.0], 2.1) == pytest.approx(2 / 2.1)
    assert rate([0.0, 0.5, 1.0], 21.0) == pytest.approx(2 / 21)
    assert rate([5.0, 5.0], 5.0) == 0
    assert rate([5.0], 5.0) == 0
    assert rate([3.0, 4.0], 4.0) == pytest.approx(1.0)


def test_statistics_are_of_the_newest_and_counters_of_all() -> None:
    stats = StreamStats(2)
    for time in (0.0, 10.0, 11.0):
        stats.event('x', time)
        stats.latency('y', time)
    stats.count('z')
    stats.count('z', 4)
    now = stats.snapshot(11.0)
    assert now.counters == {'x': 3, 'z': 5}
    assert now.rates_hz == {'x': 1.0}
    summary = now.latencies['y']
    assert (summary.count, summary.mean_s, summary.max_s) == (2, 10.5, 11.0)
    assert summary.p50_s == pytest.approx(10.5)
    assert summary.p95_s == pytest.approx(10.95)
    stats.clear()
    assert stats.snapshot(11.0).counters == {}
    with pytest.raises(StreamError, match='capacity'):
        StreamStats(1)


def test_the_next_window_hangs_on_lengths_in_the_new_unit() -> None:
    """Calibrated places are metres and stay; what was only seen stretches."""
    start = np.array([1.0, 2.0, 3.0])
    rig, seen = {'a': poses(1, 1)[0]}, {'a': poses(1, 1)[0], 'b': poses(1, 2)[0]}
    base = poses(1, 3)[0]
    world = World(Layout(rig, seen), world_from_base=base, start=start)
    found = world.in_new_unit(3.0)
    np.testing.assert_array_equal(found.layout.seen['a'], seen['a'])
    np.testing.assert_allclose(found.layout.seen['b'][:3, 3], 3 * seen['b'][:3, 3])
    np.testing.assert_allclose(found.layout.seen['b'][:3, :3], seen['b'][:3, :3])
    assert found.world_from_base is not None
    np.testing.assert_allclose(found.world_from_base[:3, 3], start + 3 * (base[:3, 3] - start))
    assert world.in_new_unit(1.0) is world
    assert World(Layout(rig, seen)).in_new_unit(3.0).world_from_base is None


@pytest.mark.parametrize('new_sets', [1, 2, 4])
def test_a_drive_that_several_windows_measure_counts_once(new_sets: int) -> None:
    """With one of eight sets new, each piece of the path is measured by eight windows."""
    box = BoxWorld(THREE_CAMERAS)
    sets = tuple(with_odometry(sets_of(['front', 'left'], 8), box))

    def variance(new: int) -> float:
        window = Window(0, sets, new)
        prediction = BoxEstimator(box, is_metric=True).estimate(window)
        state = OdometryState(world=None, chain=None, gathered=None)
        candidates, _ = metric_candidates(
            window, window_sets(window, prediction), prediction, {}, 0.005, state
        )
        found = candidates['odometry'].measured
        assert found is not None
        assert found.value == pytest.approx(0, abs=1e-6)
        return found.sigma**2 - ODOMETRY_SIGMA**2

    assert variance(new_sets) / variance(8) == pytest.approx(8 / new_sets)


@pytest.mark.parametrize('seen', [(), ('b',), ('a', 'b')])
def test_a_base_that_one_camera_alone_tells_contradicts_nobody(seen: tuple[str, ...]) -> None:
    first, second = poses(2)
    places = dict(zip('ab', poses(2, 1), strict=True))
    layout = Layout({}, {camera: places[camera] for camera in seen})
    found = base_of({'a': first, 'b': second}, layout)
    assert found.rotation_residual_rad == found.translation_residual == 0
