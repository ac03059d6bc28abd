"""Counted quantiles are those of numpy to the width of a cell, and exact where numbers repeat."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from da3_ros.errors import GeometryError
from da3_ros.metrics.quantiles import COARSE_BITS, FINE_BITS, StreamedQuantiles


@pytest.mark.parametrize(('bits', 'tolerance'), [(FINE_BITS, 1.3e-4), (COARSE_BITS, 8e-3)])
def test_quantiles_of_parts_are_those_of_the_whole(bits: int, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    parts = [np.exp(rng.normal(scale, 1.5, 5001)).astype(np.float32) for scale in (0, -4, 6)]
    counts = StreamedQuantiles(bits=bits)
    for part in parts:
        counts.add(part)
    whole = np.concatenate(parts)
    for share in (0.0, 0.1, 0.5, 0.93, 1.0):
        assert counts.quantile(share) == pytest.approx(np.quantile(whole, share), rel=tolerance)
    assert counts.count == len(whole)


@given(st.lists(st.sampled_from([0.5, 1.0, 3.0, 7e-20, 1e30]), min_size=1, max_size=9))
def test_numbers_in_cells_of_their_own_are_exact(values: list[float]) -> None:
    counts = StreamedQuantiles(bits=COARSE_BITS)
    counts.add(np.array(values, np.float32))
    wanted = np.median(np.array(values, np.float32).astype(np.float64))
    assert counts.quantile(0.5) == pytest.approx(wanted, rel=1e-12)


def test_rows_have_medians_of_their_own() -> None:
    counts = StreamedQuantiles(3)
    counts.add(np.array([1, 2, 9], np.float32), np.array([0, 0, 2]))
    counts.add(np.array([100, 3], np.float32), np.array([2, 0]))
    np.testing.assert_allclose(counts.medians(), [2, np.nan, 54.5])
    with pytest.raises(GeometryError, match='at least one'):
        StreamedQuantiles().quantile(0.5)
