"""Every subscription that a consumer makes by default, against the publishers of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from helpers.consumer_rules import ns
from helpers.taken_messages import ASKED

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros


def check(taken: Taken, consumer: str) -> None:
    """Check that every subscription of a consumer is served and has what was sent last."""
    keys = [key for key in ASKED if key.split()[0] == consumer]
    assert keys
    for key in keys:
        assert taken.mismatched[key] == (), key
        messages = [m for k, m in taken.arrived if k == key]
        assert messages, key
        if ASKED[key].reliability != 'best_effort':
            assert ns(messages[-1].header.stamp) == taken.stamps[-1], key


def test_rtabmap_receives_what_it_subscribes_to(metres: Taken) -> None:
    check(metres, 'rtabmap')


def test_nvblox_receives_what_it_subscribes_to(millimetres: Taken) -> None:
    check(millimetres, 'nvblox')


def test_depth_image_proc_receives_what_it_subscribes_to(metres: Taken) -> None:
    check(metres, 'depth_image_proc')


def test_nav2_receives_what_it_subscribes_to(metres: Taken) -> None:
    check(metres, 'nav2')


def test_octomap_server_receives_what_it_subscribes_to(metres: Taken) -> None:
    check(metres, 'octomap_server')


def test_robot_localization_receives_what_it_subscribes_to(metres: Taken) -> None:
    check(metres, 'robot_localization')


def test_rviz_receives_what_it_subscribes_to(metres: Taken) -> None:
    check(metres, 'rviz')
