"""Fixtures and rules for the whole test suite."""

from collections.abc import Iterator
import importlib
import importlib.util
import os

import numpy as np
import pytest

from helpers.ros_process import reserved_domain_id
from helpers.same_kernel import SAME_KERNEL

# It looks at the environment once, when it is loaded: not while a test has set HF_HUB_OFFLINE.
importlib.import_module('huggingface_hub.constants')

# Without it every checkpoint of a test would have engines built, in the user's own cache.
os.environ.setdefault('DA3_RUNTIME', 'torch')

_SEED = os.environ.get('DA3_LAST_BIT')
"""Set by whoever wants this processor to be another one; see `helpers.last_bit`."""

if _SEED is not None:
    from helpers.last_bit import wrap_numpy

    wrap_numpy()  # before any test module loads the package


_ROS_INSTALL = 'comes with a ROS 2 installation and is not on PyPI: see docs/dependencies.md'


def _ros_is_missing() -> str | None:
    """Say what of ROS 2 is missing here, or None."""
    for module in ('rclpy', 'tf2_msgs', 'da3_ros.msg'):
        if importlib.util.find_spec(module) is None:
            return f'{module} is not importable: run `make test`, or source a ROS 2 workspace'
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, saying so."""
    reason = _ros_is_missing()
    for item in items:
        if reason and item.get_closest_marker('ros'):
            item.add_marker(pytest.mark.skip(reason=reason))
        for marker in item.iter_markers('ros_install'):
            (module,) = marker.args
            if importlib.util.find_spec(module) is None:
                item.add_marker(pytest.mark.skip(reason=f'{module} {_ROS_INSTALL}'))
        same = SAME_KERNEL.get(item.nodeid.partition('[')[0])
        if same and _SEED is not None:
            item.add_marker(pytest.mark.skip(reason=f'claims the same kernel: {same}'))


@pytest.fixture(autouse=True)
def last_bit() -> Iterator[None]:
    """Change last bits while a test runs, where `DA3_LAST_BIT` asks for it."""
    if _SEED is None:
        yield
        return
    from helpers.last_bit import last_bits  # loads torch, which few other tests need

    with last_bits(int(_SEED)):
        yield


@pytest.fixture
def ros_domain_id() -> Iterator[int]:
    """Give a ROS_DOMAIN_ID that no other running test uses."""
    with reserved_domain_id() as domain_id:
        yield domain_id


@pytest.fixture
def rng() -> np.random.Generator:
    """Give a random generator with a fixed seed."""
    return np.random.default_rng(20240229)
