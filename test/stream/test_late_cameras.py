"""Cameras that join a world which others began."""

from __future__ import annotations

import numpy as np
import pytest

from da3_ros.geometry.se3 import invert
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import RigCalibration, WindowResult
from helpers.stream_builders import (
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    frame_set,
    windows_of,
)

WORLD = BoxWorld(THREE_CAMERAS)
POSES = THREE_CAMERAS.base_from_camera
JOINS_AT = 6
COUNT = 14


def run(first: tuple[str, ...]) -> list[WindowResult]:
    """Reconstruct with some cameras, then with all, which the rig knows from then on."""
    sets = [
        frame_set(first if number < JOINS_AT else tuple(POSES), number * PERIOD_NS)
        for number in range(COUNT)
    ]
    rig = RigCalibration({camera: POSES[camera] for camera in first})
    reconstructor = Reconstructor(BoxEstimator(WORLD), rig, lambda: 0.0)
    results = []
    for window in windows_of(sets, 3, 1):
        if window.sets[-1].stamp_ns == JOINS_AT * PERIOD_NS:
            reconstructor.extend_rig(THREE_CAMERAS)
        results.append(reconstructor.process(window))
    return results


def test_the_world_goes_on_and_the_new_camera_stands_where_it_is() -> None:
    results = run(('front', 'left'))
    assert [r.alignment.method for r in results].count('first') == 1
    assert not any(r.alignment.is_new_unit for r in results)
    start = WORLD.world_from_base(0)
    seen = set()
    for item in (item for result in results for item in result.new_sets):
        truth = invert(start) @ WORLD.world_from_base(item.stamp_ns)
        np.testing.assert_allclose(item.world_from_base, truth, atol=1e-6)
        for view in item.views:
            seen.add(view.id.camera)
            pose = invert(start) @ WORLD.world_from_camera(view.id.camera, item.stamp_ns)
            np.testing.assert_allclose(view.world_from_camera, pose, atol=1e-6)
    assert seen == set(POSES)


def test_a_second_camera_brings_the_metre() -> None:
    results = run(('front',))
    assert [r.alignment.method for r in results].count('first') == 1
    before = [r.alignment.is_metric for r in results]
    assert not before[0]
    assert before[-1]
    assert results[-1].alignment.scale_source == 'rig'
    # Lengths are metres from then on, and the report says when.
    assert [r.alignment.is_new_unit for r in results].count(True) == 1
    last, other = results[-1].new_sets[0], results[-2].new_sets[0]
    moved = np.linalg.norm(last.world_from_base[:3, 3] - other.world_from_base[:3, 3])
    truth = [WORLD.world_from_base(item.stamp_ns)[:3, 3] for item in (last, other)]
    assert moved == pytest.approx(np.linalg.norm(truth[0] - truth[1]), rel=1e-5)
