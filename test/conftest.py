"""Fixtures and rules for the whole test suite."""

from collections.abc import Iterator
import importlib.util

import numpy as np
import pytest

from helpers.ros_process import reserved_domain_id


def _ros_is_missing() -> str | None:
    """Say what of ROS 2 is missing here, or None."""
    for module in ('rclpy', 'tf2_msgs', 'da3_ros.msg'):
        if importlib.util.find_spec(module) is None:
            return f'{module} is not importable: run `make test`, or source a ROS 2 workspace'
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need ROS 2 where it is absent, saying so."""
    reason = _ros_is_missing()
    for item in items:
        if reason and item.get_closest_marker('ros'):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def ros_domain_id() -> Iterator[int]:
    """Give a ROS_DOMAIN_ID that no other running test uses."""
    with reserved_domain_id() as domain_id:
        yield domain_id


@pytest.fixture
def rng() -> np.random.Generator:
    """Give a random generator with a fixed seed."""
    return np.random.default_rng(20240229)
