"""Networks shared by the tests of the model, one per session."""

from collections.abc import Iterator

import pytest

from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import PRESETS
from helpers.computing_threads import computing_threads
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
def threads() -> Iterator[None]:
    """Compute with the same number of threads on every machine."""
    with computing_threads():
        yield
