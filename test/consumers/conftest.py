"""What a node sent, taken once for all tests of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.ros_process import reserved_domain_id

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

INSTANTS = 5
# So that pixels nearer and farther than what goes out are in every image; points are then those
# of the depth image, pixel by pixel.
LIMITS = ('min_depth_m:=1.5', 'max_depth_m:=3.0', 'edge_filter:=0.0')


def _taken(encoding: str) -> Taken:
    # Loads rclpy, which is not everywhere.
    from helpers.taken_messages import take

    with reserved_domain_id() as domain_id:
        return take(domain_id, INSTANTS, f'depth_encoding:={encoding}', *LIMITS)


@pytest.fixture(scope='session')
def metres() -> Taken:
    """Give what a node with depth as float sent."""
    return _taken('32FC1')


@pytest.fixture(scope='session')
def millimetres() -> Taken:
    """Give what a node with depth as uint16 sent."""
    return _taken('16UC1')
