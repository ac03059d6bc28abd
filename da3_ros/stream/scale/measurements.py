"""What measures the scale of a window; how measurements become one is in `scale.world`.

Everything happens in log(scale), where errors of lengths add and variances may be compared.
Scale means world units per unit of the window. A measurement that cannot be made is None, never
an exception: standing robots, single views and empty depth are daily business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
import math

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.robust import MAD_TO_SIGMA, median, median_and_sigma
from da3_ros.stream.rig import Poses
from da3_ros.stream.robust_mean import mean_rotation, weighted_mean
from da3_ros.stream.scale.samples import DepthSample

BoolArray = NDArray[np.bool_]

COMMON_SHARE = 0.35
"""Of the spread of a unit by parallax: calibration, shutter and habits of a network stay the same
from window to window."""
POSITION_NOISE = 0.002
"""Assumed error of camera positions that residuals do not show, as a share of the depth."""
FUSED_FLOOR = 5e-4
"""No measurement and no estimate of log(scale) counts as better than this."""
KNOWN_SIGMA = 0.1
"""Lengths in metres count when they are known as well as this, relatively. Above, the logarithm is
biased, and networks that place cameras so poorly tend to place them too close to each other."""
_USELESS_SIGMA = 0.5
MAX_LOG = 25.0
"""No scale is larger in its logarithm, in any unit of any world: a factor of 7e10."""
_DEPTH_FLOOR = 1e-3
_OUTLIER_FLOOR = 3e-3
_MIN_PIXELS = 32
# Errors of neighbouring pixels go together: this many count as one independent measurement.
_PIXELS_PER_SAMPLE = 100
_MAX_INDEPENDENT = 50
_OUTLIER_SIGMAS = 3.0
MIN_BASELINE_M = 1e-3
"""Cameras nearer to one another tell no distance."""
_ROUNDING = 1e-9
# Lengths below have squares that are hardly numbers.
_TINY = 1e-100


@dataclass(frozen=True, slots=True)
class LogScale:
    """A measurement of log(scale)."""

    value: float
    sigma: float
    """Standard deviation; > 0."""
    common: float = 0.0
    """Part of it that later measurements of the same kind share: no number of them goes below."""

    def with_unit(self, unit_sigma: float, common_share: float = COMMON_SHARE) -> LogScale:
        """Return the measurement by a window whose own unit is known no better than this.

        Args:
            unit_sigma: of how far its cameras are apart relative to depth.
            common_share: how much of that is the same in later windows.
        """
        sigma = math.hypot(self.sigma, unit_sigma)
        return LogScale(self.value, sigma, max(self.common, common_share * unit_sigma))


@dataclass(frozen=True, slots=True)
class Fit:
    """How long a metre of known places is among predicted ones."""

    units_per_m: float
    weight: float
    """Sum of the squared distances of the template from its middle, m^2."""
    squares: float
    """Sum of the squared residuals, window units."""
    freedom: float
    """Degrees of freedom of the residuals."""


@dataclass(frozen=True, slots=True)
class DepthScale:
    """A measurement by depth ratios."""

    measured: LogScale
    spread: float
    """Robust standard deviation of the log ratios of all pixels."""


def typical_depth(samples: Sequence[DepthSample]) -> float:
    """Return the median of the known depths, NaN when there is none."""
    known = [sample.values for sample in samples]
    pooled = np.concatenate(known) if known else np.empty(0)
    return median(pooled) if len(pooled) else math.nan


def scale_from_depths(
    pairs: Sequence[tuple[DepthSample, DepthSample]],
) -> DepthScale | None:
    """Return the scale by the ratios of depth in views that the world knows already.

    One view suffices, and it may stand still. Per view the median of the log ratios counts, with
    far fewer independent samples than pixels; views are averaged without outliers.

    Args:
        pairs: the same view in the world and in the window.
    """
    ratios = [ratio for ratio in starmap(_log_ratios, pairs) if len(ratio) >= _MIN_PIXELS]
    if not ratios:
        return None
    parts = [median_and_sigma(ratio) for ratio in ratios]
    medians = np.array([middle for middle, _ in parts])
    independent = np.clip([len(r) / _PIXELS_PER_SAMPLE for r in ratios], 1, _MAX_INDEPENDENT)
    variances = np.array([sigma for _, sigma in parts]) ** 2 / independent + _DEPTH_FLOOR**2
    value, inliers = weighted_mean(medians, 1 / variances, _OUTLIER_FLOOR)
    count = int(inliers.sum())
    scatter = float(np.std(medians[inliers])) / math.sqrt(count)
    sigma = max(1 / math.sqrt(float((1 / variances[inliers]).sum())), scatter, FUSED_FLOOR)
    if not _is_usable(value, sigma):
        return None
    return DepthScale(LogScale(value, sigma), median_and_sigma(np.concatenate(ratios))[1])


def scale_from_centres(
    world: FloatArray, window: FloatArray, rotation: FloatArray, position_noise: float
) -> LogScale | None:
    """Return the scale by the spread of camera centres (N, 3) known in both frames.

    The ratio of the two spreads is used rather than a regression: both sides carry noise, and a
    regression on noisy values would shrink the scale from window to window.

    Args:
        world: centres in the world.
        window: the same in the window.
        rotation: (3, 3) world from window.
        position_noise: error of a centre that is assumed at least, window units.

    Returns:
        None when the centres do not spread far enough to say anything.
    """
    keep = agreeing(world, window @ rotation.T, position_noise)
    fit = _centre_fit(world[keep], window[keep], rotation)
    if fit is None:
        return None
    scale, residual, spread = fit
    if not _is_usable(math.log(scale), 0.0):
        return None
    freedom = max(3 * int(keep.sum()) - 4, 1)
    variance = float((residual**2).sum()) / freedom + (position_noise * scale) ** 2
    sigma = max(math.sqrt(variance) / spread, FUSED_FLOOR)
    value = math.log(scale)
    return LogScale(value, sigma) if _is_usable(value, sigma) else None


def scale_from_rig(
    sets: Sequence[tuple[Poses, Poses]], position_noise: float, known_sigma: float = KNOWN_SIGMA
) -> LogScale | None:
    """Return the scale (metres per unit of the window) by the known places of cameras.

    Per set the predicted centres are regressed on the rig's, which carry no noise; all sets
    count, with the square root of their number as the effective one, for they come from one
    forward pass.

    Args:
        sets: per set the predicted poses window_from_camera, and base_from_camera in metres.
        position_noise: error of a centre that is assumed at least, window units.
        known_sigma: how well the scale must be known by the residuals alone.

    Returns:
        None without a set that has two calibrated cameras apart from each other, and when the
        scale is known less well.
    """
    fits = [fit for poses, rig in sets if (fit := _rig_fit(poses, rig)) is not None]
    if not fits:
        return None
    units_per_m = np.array([fit.units_per_m for fit in fits])
    weight = np.array([fit.weight for fit in fits])
    floor = 1e-6 * float(np.abs(units_per_m).max())
    mean, inliers = weighted_mean(units_per_m, weight, floor)
    if not (np.isfinite(mean) and mean > 0):
        return None
    used = [fit for fit, is_used in zip(fits, inliers, strict=True) if is_used]
    variance = sum(fit.squares for fit in used) / sum(fit.freedom for fit in used)
    effective = float(weight[inliers].sum()) / math.sqrt(len(used))
    sigma = max(math.sqrt((variance + position_noise**2) / effective) / mean, FUSED_FLOOR)
    value = -math.log(mean)
    # What is only assumed may be more: a short baseline that fits is better than no metre.
    fits_well = math.sqrt(variance / effective) <= known_sigma * mean
    return LogScale(value, sigma) if fits_well and _is_usable(value, sigma) else None


def fuse(parts: Sequence[LogScale | None]) -> LogScale | None:
    """Return the mean weighted by inverse variance; its sigma grows when the parts disagree."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    values = np.array([part.value for part in known])
    weights = 1 / np.array([part.sigma for part in known]) ** 2
    mean = float((values * weights).sum() / weights.sum())
    disagreement = float((weights * (values - mean) ** 2).sum()) / max(len(known) - 1, 1)
    return LogScale(mean, math.sqrt(max(disagreement, 1.0) / float(weights.sum())))


def _is_usable(value: float, sigma: float) -> bool:
    return math.isfinite(value) and abs(value) < MAX_LOG and sigma < _USELESS_SIGMA


def _log_ratios(world: DepthSample, window: DepthSample) -> FloatArray:
    """Return log(world / window) of known pixels, the half of them that both are surest of."""
    if world.shape != window.shape:
        return np.empty(0)
    use = world.known & window.known
    if world.confidence is not None and window.confidence is not None and use.any():
        confidence = np.minimum(window.confidence, world.confidence)
        trusted = np.isfinite(confidence) & use
        if trusted.any():
            use = trusted & (confidence >= median(confidence[trusted]))
    pairs = np.array((world.depth[use], window.depth[use]), np.float64)
    logs = np.log(pairs, out=pairs)
    return np.asarray(logs[0] - logs[1])


def agreeing(world: FloatArray, rotated: FloatArray, position_noise: float) -> BoolArray:
    """Return which centres (N, 3) fit the similarity that most pairs of them agree on."""
    first, second = _pairs(len(world))
    distances = np.linalg.norm(rotated[first] - rotated[second], axis=1)
    apart = distances > _ROUNDING * (1.0 + float(np.abs(rotated).max(initial=0.0)))
    if len(world) < 4 or not apart.any():
        return np.ones(len(world), dtype=np.bool_)
    world_distances = np.linalg.norm(world[first] - world[second], axis=1)
    scale = float(np.median(world_distances[apart] / distances[apart]))
    offsets = world - scale * rotated
    error = np.linalg.norm(offsets - np.median(offsets, axis=0), axis=1)
    bound = _OUTLIER_SIGMAS * MAD_TO_SIGMA * float(np.median(error)) + position_noise * scale
    return np.asarray(error <= bound * (1 + _ROUNDING) + _ROUNDING)


@lru_cache(maxsize=8)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and the second of every two of so many things."""
    first, second = np.triu_indices(count, 1)
    return first, second


def _centre_fit(
    world: FloatArray, window: FloatArray, rotation: FloatArray
) -> tuple[float, FloatArray, float] | None:
    """Return scale, residuals (N, 3) and root of the sum of squares of centred positions."""
    if len(world) < 2:
        return None
    target = world - world.mean(axis=0)
    source = (window - window.mean(axis=0)) @ rotation.T
    world_spread, window_spread = float(np.linalg.norm(target)), float(np.linalg.norm(source))
    # Rounding of far-away positions is no spread.
    is_apart = world_spread > _ROUNDING * (1.0 + float(np.abs(world).max()))
    if not (is_apart and window_spread > max(_ROUNDING * float(np.abs(window).max()), _TINY)):
        return None
    scale = world_spread / window_spread
    return scale, target - scale * source, world_spread


def _rig_fit(poses: Poses, base_from_camera: Poses) -> Fit | None:
    names = [name for name in poses if name in base_from_camera]
    if len(names) < 2:
        return None
    window = np.array([poses[name] for name in names])
    base = np.array([base_from_camera[name] for name in names])
    rotation, _ = mean_rotation(window[:, :3, :3] @ np.swapaxes(base[:, :3, :3], 1, 2))
    return regression(window[:, :3, 3], base[:, :3, 3] @ rotation.T)


def regression(centres: FloatArray, template: FloatArray) -> Fit | None:
    """Return how long a metre of a template (N, 3) is among the centres (N, 3)."""
    target = template - template.mean(axis=0)
    source = centres - centres.mean(axis=0)
    weight = float((target**2).sum())
    if weight < MIN_BASELINE_M**2:
        return None
    units_per_m = float((target * source).sum()) / weight
    squares = float(((source - units_per_m * target) ** 2).sum())
    return Fit(units_per_m, weight, squares, 3.0 * (len(centres) - 1) - 1.0)
