"""Rules for the tests that run rclpy in the test's own process."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let rosidl's parser generator import a module that Python 3.11 deprecated."""
    for module in ('sre_parse', 'sre_constants'):
        config.addinivalue_line(
            'filterwarnings', f"ignore:module '{module}' is deprecated:DeprecationWarning"
        )
