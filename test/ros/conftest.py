"""Rules for the tests that run rclpy in the test's own process."""

import pytest

from helpers.one_process_dds import hand_over_as_between_processes


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process for ROS before any module is loaded or participant made."""
    hand_over_as_between_processes()
    # The parser generator of rosidl imports a module that Python 3.11 deprecated.
    for module in ('sre_parse', 'sre_constants'):
        config.addinivalue_line(
            'filterwarnings', f"ignore:module '{module}' is deprecated:DeprecationWarning"
        )
