"""What measures the scale of a window, each alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.stream.scale.measurements import (
    LogScale,
    fuse,
    scale_from_centres,
    scale_from_depths,
    scale_from_rig,
)
from da3_ros.stream.scale.world import METRIC_SIGMA, Metric, WorldScale, next_scale
from da3_ros.types import FloatImage
from helpers.stream_builders import THREE_CAMERAS, sampled_pair

METRIC_WORLD = WorldScale(0.0, 0.01**2, is_metric=True, source='rig')


def depth_image(seed: int = 0) -> FloatImage:
    return np.random.default_rng(seed).uniform(1, 8, (30, 40)).astype(np.float32)


def test_centres_give_no_bias_when_both_sides_are_noisy() -> None:
    # A regression would shrink the scale by noise^2 / spread^2 = 4 % here, at every window.
    rng = np.random.default_rng(0)
    values = []
    for _ in range(1500):
        exact = rng.normal(size=(3, 3))
        exact *= math.sqrt(9) / np.linalg.norm(exact - exact.mean(axis=0))
        world = exact + 0.2 * rng.normal(size=exact.shape)
        window = exact + 0.2 * rng.normal(size=exact.shape)
        part = scale_from_centres(world, window, np.eye(3), 0.0)
        assert part is not None
        values.append(part.value)
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(len(values))
    assert np.std(values) / math.sqrt(len(values)) < 0.005


@pytest.mark.parametrize('count', [0, 1, 5])
def test_centres_without_spread_say_nothing(count: int) -> None:
    world = np.tile([3.0, 1.0, 2.0], (count, 1))
    assert scale_from_centres(world, 2 * world, np.eye(3), 0.01) is None


def test_one_wild_centre_among_many_does_not_count() -> None:
    window = np.random.default_rng(1).normal(size=(8, 3))
    world = 2.0 * window
    world[3] += 5.0
    part = scale_from_centres(world, window, np.eye(3), 1e-3)
    assert part is not None
    assert part.value == pytest.approx(math.log(2.0), abs=1e-9)


def test_depth_of_the_more_confident_half_decides() -> None:
    depth = depth_image()
    world = 3 * depth
    confidence = np.full(depth.shape, 5.0, np.float32)
    confidence[:, :19] = 1.1
    world[:, :19] *= 1.7
    part = scale_from_depths([sampled_pair(world, depth, confidence)])
    assert part is not None
    assert part.measured.value == pytest.approx(math.log(3), abs=1e-6)
    assert part.spread < 1e-6


def test_too_few_known_pixels_or_other_sizes_say_nothing() -> None:
    depth = depth_image()
    sparse = np.full_like(depth, np.nan)
    sparse[0, :20] = 2.0
    assert scale_from_depths([sampled_pair(depth, sparse)]) is None
    assert scale_from_depths([sampled_pair(depth, depth[:-1])]) is None
    assert scale_from_depths([]) is None


def rig_poses(scale: float, noise: float = 0.0, seed: int = 0) -> dict[str, FloatArray]:
    rng = np.random.default_rng(seed)
    return {
        name: rigid(pose[:3, :3], scale * (pose[:3, 3] + noise * rng.normal(size=3)))
        for name, pose in THREE_CAMERAS.base_from_camera.items()
    }


def test_the_rig_measures_metres_and_short_baselines_measure_badly() -> None:
    rig = THREE_CAMERAS.base_from_camera
    near = scale_from_rig([(rig_poses(4.0), rig)], position_noise=0.02)
    far = scale_from_rig([(rig_poses(4.0), rig)], position_noise=0.08)
    assert near is not None
    assert far is not None
    assert near.value == pytest.approx(-math.log(4.0), abs=1e-9)
    assert far.sigma == pytest.approx(4 * near.sigma)
    assert scale_from_rig([(rig_poses(4.0), rig)], position_noise=5.0) is None
    assert scale_from_rig([({'front': np.eye(4)}, rig)], 0.01) is None
    assert scale_from_rig([], 0.01) is None


def test_the_rig_outvotes_one_bad_set() -> None:
    sets = [rig_poses(2.0, 0.001, seed) for seed in range(6)] + [rig_poses(9.0)]
    part = scale_from_rig([(poses, THREE_CAMERAS.base_from_camera) for poses in sets], 0.001)
    assert part is not None
    assert abs(part.value + math.log(2.0)) < 5 * part.sigma < 0.1


def test_cameras_that_do_not_stand_like_the_rig_say_nothing() -> None:
    """By how much they must agree: three cameras, whose residuals leave a tenth at most."""
    rig = THREE_CAMERAS.base_from_camera
    centres = np.array([pose[:3, 3] for pose in rig.values()])
    spread = float(np.linalg.norm(centres - centres.mean(axis=0)))
    told = [
        scale_from_rig([(rig_poses(3.0, share * spread, seed), rig)], 1e-4) is not None
        for share in (0.02, 0.4)
        for seed in range(40)
    ]
    assert all(told[:40])
    assert sum(told[40:]) <= 2


def test_a_mirrored_or_collapsed_rig_says_nothing() -> None:
    rig = THREE_CAMERAS.base_from_camera
    assert scale_from_rig([(rig_poses(-1.0), rig)], 0.001) is None
    assert scale_from_rig([(rig_poses(0.0), rig)], 0.001) is None


def test_fusion_weighs_by_inverse_variance_and_admits_disagreement() -> None:
    both = fuse([LogScale(0.0, 0.1), None, LogScale(0.1, 0.2)])
    assert both is not None
    assert both.value == pytest.approx(0.02)
    assert both.sigma == pytest.approx(math.sqrt(1 / 125))
    apart = fuse([LogScale(0.0, 0.01), LogScale(1.0, 0.01)])
    assert apart is not None
    assert apart.sigma == pytest.approx(0.5)
    assert fuse([None, None]) is None


def test_a_measurement_beyond_the_gate_pulls_less_and_is_named() -> None:
    chain, rig = LogScale(0.0, 1e-3), LogScale(1.0, 0.02)
    free = next_scale(METRIC_WORLD, chain, Metric('rig', LogScale(0.01, 0.02)))
    gated = next_scale(METRIC_WORLD, chain, Metric('rig', rig))
    assert free.note is None
    # Without the gate it would be pulled as far as the gain of the free one says: by 0.2.
    assert 0 < gated.log_scale < 0.2 * free.log_scale / 0.01
    assert gated.log_scale < 0.01
    assert gated.note is not None
    assert gated.note.code == 'scale_off'
    assert 'by the known distances between the cameras everything is 171.8 % larger' in (
        gated.note.text
    )


def test_the_filter_is_the_weighted_mean_of_chain_and_rig() -> None:
    after = next_scale(METRIC_WORLD, LogScale(0.02, 0.03), Metric('rig', LogScale(0.05, 0.04)))
    prior, measured = 0.01**2 + 0.03**2, 0.04**2
    assert after.log_scale == pytest.approx((0.02 * measured + 0.05 * prior) / (prior + measured))
    assert after.variance == pytest.approx(prior * measured / (prior + measured))
    assert after.source == 'rig'


def test_a_first_metric_window_has_scale_one_unless_a_rig_is_known() -> None:
    metric = next_scale(None, None, Metric('estimator', LogScale(0.0, METRIC_SIGMA)))
    assert (metric.scale, metric.source, metric.is_metric) == (1.0, 'estimator', True)
    assert metric.log_sigma == METRIC_SIGMA
    rig = next_scale(None, None, Metric('rig', LogScale(0.3, 0.01)))
    assert (rig.log_scale, rig.source) == (0.3, 'rig')
    none = next_scale(None, None, None)
    assert (none.scale, none.source, none.is_metric) == (1.0, 'none', False)
    assert math.isnan(none.log_sigma)
