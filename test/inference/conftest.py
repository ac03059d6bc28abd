"""One model with synthetic weights for all tests of the inference package."""

from collections.abc import Iterator

import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.model.presets import PRESETS
from helpers.computing_threads import computing_threads
from tools.parity.synthetic_weights import synthetic_network


@pytest.fixture(scope='session')
def model() -> DepthAnything3:
    """Return da3-small with synthetic weights behind the public API."""
    return DepthAnything3(network=synthetic_network(PRESETS['da3-small']))


@pytest.fixture(scope='package', autouse=True)
def threads() -> Iterator[None]:
    """Compute with the same number of threads on every machine."""
    with computing_threads():
        yield
