"""Networks shared by the tests of the model, one per session."""

import pytest

from da3_ros.model.config import PRESETS
from da3_ros.model.network import AnyViewNetwork
from helpers.weights import synthetic_network


@pytest.fixture(scope='session')
def small() -> AnyViewNetwork:
    """Return da3-small with synthetic weights."""
    return synthetic_network(PRESETS['da3-small'])


@pytest.fixture(scope='session')
def base() -> AnyViewNetwork:
    """Return da3-base with synthetic weights."""
    return synthetic_network(PRESETS['da3-base'])
