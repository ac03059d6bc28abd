"""Rules for the tests that run rclpy in the test's own process."""

from collections.abc import Iterator
import os

import pytest

from helpers.one_process_dds import hand_over_as_between_processes
from helpers.ros_process import shared_memory_locks


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process for ROS before any module is loaded or participant made."""
    hand_over_as_between_processes()
    # The parser generator of rosidl imports a module that Python 3.11 deprecated.
    for module in ('sre_parse', 'sre_constants'):
        config.addinivalue_line(
            'filterwarnings', f"ignore:module '{module}' is deprecated:DeprecationWarning"
        )


@pytest.fixture(autouse=True, scope='module')
def no_participant_stays() -> Iterator[None]:
    """Tell of a node or robot that was closed and is still in the graph.

    The garbage collector would take it away within another test, which then loses what it made at
    that moment.
    """
    yield
    assert shared_memory_locks(os.getpid()) == []
