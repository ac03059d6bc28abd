"""Cameras that move on the robot: every set has its own rig."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.notes import Note
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import PosePrior, RigCalibration, WindowResult
from helpers.stream_builders import (
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    drive,
    sets_of,
    windows_of,
)

WORLD = BoxWorld(THREE_CAMERAS)
CAMERAS = tuple(THREE_CAMERAS.base_from_camera)
GAP = Note('transform_missing', 'a gap')
COUNT = 30


def base_from_head(stamp_ns: int) -> FloatArray:
    """Return a head that carries all cameras and nods."""
    turn = Rotation.from_euler('zy', [np.sin(stamp_ns / PERIOD_NS / 5), 0.1])
    return rigid(turn.as_matrix(), [0.1, 0.02, 0.3])


def world_from_base(stamp_ns: int) -> FloatArray:
    """Return the body below the head; the head is where the world has the base of its rig."""
    return np.asarray(drive(stamp_ns) @ invert(base_from_head(stamp_ns)))


def run(hidden: range, adopted: int = 0) -> list[WindowResult]:
    """Reconstruct with the head's place at every stamp but those of the hidden sets."""
    sets = []
    for item in sets_of(CAMERAS, COUNT):
        is_hidden = item.stamp_ns // PERIOD_NS in hidden
        head = base_from_head(item.stamp_ns)
        rig = {name: head @ pose for name, pose in THREE_CAMERAS.base_from_camera.items()}
        prior = PosePrior({} if is_hidden else rig, notes=(GAP,) if is_hidden else ())
        sets.append(replace(item, prior=prior))
    first = sets[adopted].prior
    assert first is not None
    reconstructor = Reconstructor(
        BoxEstimator(WORLD), RigCalibration(first.base_from_camera), lambda: 0.0
    )
    return [reconstructor.process(w) for w in windows_of(sets, 3, 1)]


def test_body_and_cameras_stand_where_the_head_says() -> None:
    start = world_from_base(0)
    for result in run(range(0)):
        assert result.alignment.is_metric
        assert result.alignment.scale_source == 'rig'
        assert result.alignment.rig_translation_residual < 1e-6
        assert result.alignment.rig_rotation_residual_rad < 1e-6
        for item in result.new_sets:
            body = invert(start) @ world_from_base(item.stamp_ns)
            np.testing.assert_allclose(item.world_from_base, body, atol=1e-6)
            for view in item.views:
                truth = WORLD.world_from_camera(view.id.camera, item.stamp_ns)
                np.testing.assert_allclose(
                    view.world_from_camera, invert(start) @ truth, atol=1e-6
                )


def test_while_the_head_is_unknown_cameras_stand_by_what_they_see() -> None:
    start = world_from_base(0)
    for result in run(range(10, 15)):
        for item in result.new_sets:
            for view in item.views:
                truth = WORLD.world_from_camera(view.id.camera, item.stamp_ns)
                np.testing.assert_allclose(
                    view.world_from_camera, invert(start) @ truth, atol=1e-6
                )
            number = item.stamp_ns // PERIOD_NS
            body = invert(start) @ world_from_base(item.stamp_ns)
            if number not in range(10, 15):
                np.testing.assert_allclose(item.world_from_base, body, atol=1e-6)
            else:
                # The body is guessed by the head's last known place: wrong, but not wild.
                assert np.linalg.norm((item.world_from_base - body)[:3, 3]) < 0.5
