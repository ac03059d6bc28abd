"""Depth errors against the textbook's formulas, written down once more here."""

import numpy as np
import pytest

from da3_ros.errors import GeometryError
from da3_ros.metrics.baselines import row_medians
from da3_ros.metrics.depth import DepthFigures, depth_error


def textbook(estimate: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the figures of Eigen et al. 2014, section 3.2, pixel by pixel."""
    pairs = [(float(e), float(t)) for e, t in zip(estimate.ravel(), truth.ravel(), strict=True)]
    pairs = [(e, t) for e, t in pairs if 0 < e < np.inf and 0 < t < np.inf]
    ratios = [max(e / t, t / e) for e, t in pairs]
    return {
        'abs_rel': float(np.mean([abs(e - t) / t for e, t in pairs])),
        'sq_rel': float(np.mean([(e - t) ** 2 / t for e, t in pairs])),
        'rmse': float(np.sqrt(np.mean([(e - t) ** 2 for e, t in pairs]))),
        'rmse_log': float(np.sqrt(np.mean([(np.log(e) - np.log(t)) ** 2 for e, t in pairs]))),
        'log10': float(np.mean([abs(np.log10(e) - np.log10(t)) for e, t in pairs])),
        **{f'delta{k}': float(np.mean([r < 1.25**k for r in ratios])) for k in (1, 2, 3)},
        'pixels': len(pairs),
    }


def assert_figures(found: DepthFigures, wanted: dict[str, float]) -> None:
    for name, value in wanted.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name


def test_the_figures_are_those_of_the_textbook() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(0.5, 20, (12, 17)).astype(np.float32)
    estimate = (truth * np.exp(rng.normal(0, 0.4, truth.shape))).astype(np.float32)
    truth[2, :4] = (0, np.nan, np.inf, -1)
    estimate[3, :4] = (0, np.nan, np.inf, -1)
    assert_figures(
        depth_error(estimate, truth, align_scale=False).figures, textbook(estimate, truth)
    )
    aligned = depth_error(estimate, truth, align_scale=True)
    known = np.isfinite(estimate) & np.isfinite(truth) & (estimate > 0) & (truth > 0)
    scale = np.median(truth[known].astype(float) / estimate[known].astype(float))
    assert aligned.scale == pytest.approx(scale, rel=1e-12)
    assert_figures(aligned.figures, textbook(estimate.astype(float) * scale, truth))


def test_two_pixels_by_hand() -> None:
    error = depth_error(np.array([3.0, 4.0]), np.array([2.0, 4.0]), align_scale=False).figures
    assert (error.abs_rel, error.sq_rel) == (0.25, 0.25)
    assert error.rmse == pytest.approx(np.sqrt(0.5))
    assert error.rmse_log == pytest.approx(np.log(1.5) / np.sqrt(2))
    assert error.log10 == pytest.approx(np.log10(1.5) / 2)
    assert (error.delta1, error.delta2, error.delta3) == (0.5, 1, 1)
    assert error.pixels == 2


def test_depth_is_compared_where_both_are_known_and_positive() -> None:
    truth = np.array([1.0, 1.0, 1.0, 1.0, 0.0, -1.0, np.nan, np.inf, 4.0], np.float32)
    estimate = np.array([0.0, -1.0, np.nan, np.inf, 1.0, 1.0, 1.0, 1.0, 5.0], np.float32)
    error = depth_error(estimate, truth, align_scale=False)
    assert error.figures.pixels == 1
    assert error.figures.abs_rel == pytest.approx(0.25)
    assert error.scale == 1
    with pytest.raises(GeometryError, match='sizes differ'):
        depth_error(estimate[:3], truth, align_scale=False)
    with pytest.raises(GeometryError, match='no pixel'):
        depth_error(truth * np.nan, truth, align_scale=True)


def test_deltas_count_ratios_below_their_bound_in_both_directions() -> None:
    truth = np.ones(6, np.float32) * 3
    ratios = np.array([1.24, 1.26, 1 / 1.24, 1 / 1.26, 1.0, 2.0], np.float32)
    error = depth_error(truth * ratios, truth, align_scale=False).figures
    assert (error.delta1, error.delta2, error.delta3) == pytest.approx((3 / 6, 5 / 6, 5 / 6))
    # The bound itself does not count.
    assert depth_error(np.array([5.0]), np.array([4.0]), align_scale=False).figures.delta1 == 0


def test_a_scaled_truth_has_no_error_after_its_scale() -> None:
    truth = np.array([[1, 2], [4, np.nan]], np.float32)
    error = depth_error(truth / 3, truth, align_scale=True)
    assert error.figures.abs_rel == pytest.approx(0, abs=1e-6)
    assert error.scale == pytest.approx(3, rel=1e-6)


def test_row_medians_are_those_of_numpy_without_what_is_unknown() -> None:
    truth = np.random.default_rng(0).uniform(1, 9, (3, 5, 8))
    truth[:, 1, ::2] = np.nan
    truth[:, 3] = np.nan
    truth[0, 4, :3] = np.nan
    with np.errstate(all='ignore'):
        wanted = [np.nan if row == 3 else np.nanmedian(truth[:, row]) for row in range(5)]
    np.testing.assert_allclose(row_medians(truth), wanted)
