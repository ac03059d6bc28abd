"""The public API with a single-view network agrees with the upstream one."""

import numpy as np
import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.model.presets import PRESETS
from tools.parity.goldens import NOISE_FACTOR, load_golden, max_relative_error
from tools.parity.synthetic_weights import synthetic_network

BOUND = 1e-4


@pytest.mark.slow
def test_relative_depth_and_sky() -> None:
    """Slow for its weights alone; the network by itself is compared in every run."""
    golden = load_golden('da3mono-large__api_2')
    model = DepthAnything3(network=synthetic_network(PRESETS['da3mono-large']))
    images = [golden[f'image_{index}_u8'] for index in range(2)]
    got = model.inference(images, **golden.meta['api_kwargs'])
    error = max_relative_error(got.depth, golden['pred_depth'])
    assert error <= BOUND
    if golden.noise('depth') > 0:
        assert error <= NOISE_FACTOR * golden.noise('depth')
    assert got.sky is not None
    np.testing.assert_array_equal(got.sky, golden['pred_sky'])
    assert (got.conf, got.extrinsics, got.intrinsics, got.is_metric) == (None, None, None, False)
    assert got.processed_images is not None
    seen = got.processed_images.astype(int)
    # The reference truncates where ours is exact.
    assert set(np.unique(seen - golden['pred_processed_images'])) <= {0, 1}
