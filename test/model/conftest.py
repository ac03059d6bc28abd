"""Networks shared by the tests of the model, one per session."""

from collections.abc import Iterator

import pytest
import torch

from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import PRESETS
from tools.parity.synthetic_weights import synthetic_network


@pytest.fixture(scope='session')
def small() -> AnyViewNetwork:
    """Return da3-small with synthetic weights."""
    network = synthetic_network(PRESETS['da3-small'])
    assert isinstance(network, AnyViewNetwork)
    return network


@pytest.fixture(scope='session')
def base() -> AnyViewNetwork:
    """Return da3-base with synthetic weights."""
    network = synthetic_network(PRESETS['da3-base'])
    assert isinstance(network, AnyViewNetwork)
    return network


@pytest.fixture(scope='package', autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: many small operations only wait for one another with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
