"""One model with synthetic weights for all tests of the inference package."""

import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.model.config import PRESETS
from helpers.weights import synthetic_network


@pytest.fixture(scope='session')
def model() -> DepthAnything3:
    """Return da3-small with synthetic weights behind the public API."""
    return DepthAnything3(network=synthetic_network(PRESETS['da3-small']))
