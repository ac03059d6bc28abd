"""One model with synthetic weights for all tests of the inference package."""

from collections.abc import Iterator

import pytest
import torch

from da3_ros.inference.api import DepthAnything3
from da3_ros.model.presets import PRESETS
from tools.parity.synthetic_weights import synthetic_network


@pytest.fixture(scope='session')
def model() -> DepthAnything3:
    """Return da3-small with synthetic weights behind the public API."""
    return DepthAnything3(network=synthetic_network(PRESETS['da3-small']))


@pytest.fixture(scope='package', autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: many small operations only wait for one another with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
