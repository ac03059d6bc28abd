"""The truth with known poses: in their frame and unit, and the rest unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import rigid
from da3_ros.synthetic import START_NS, TruthEstimator, make_world
from da3_ros.types import FrameSet, PosePrior, Window
from helpers.depths import depth_of
from helpers.rounding import assert_equal_to_rounding

WORLD = make_world(size=ImageSize(48, 64))
ODOM_FROM_WORLD = rigid(Rotation.from_euler('z', 2.0).as_matrix(), [30.0, -8.0, 1.0])
ESTIMATOR = TruthEstimator(WORLD, conditioning=True)


def told(camera: str, stamp_ns: int, scale: float) -> FloatArray:
    pose = ODOM_FROM_WORLD @ WORLD.world_from_camera(camera, stamp_ns)
    return rigid(pose[:3, :3], scale * pose[:3, 3])


def window(
    scale: float = 1.0, cameras: tuple[str, ...] = ('front',), step_ns: int = 10**8
) -> Window:
    sets = []
    for i in range(3):
        stamp_ns = START_NS + i * step_ns
        frames = tuple(WORLD.frame(camera, stamp_ns) for camera in cameras)
        prior = PosePrior(
            odometry_from_camera={f.camera: told(f.camera, f.stamp_ns, scale) for f in frames}
        )
        sets.append(FrameSet(stamp_ns, frames, prior=prior))
    return Window(4, tuple(sets), 1)


@pytest.mark.parametrize('scale', [0.2, 1.0, 5.0])
@pytest.mark.parametrize('cameras', [('front',), ('front', 'left')])
def test_poses_and_depth_are_in_the_frame_and_unit_that_were_told(
    scale: float, cameras: tuple[str, ...]
) -> None:
    task = window(scale, cameras)
    got = ESTIMATOR.estimate(task)
    assert got.conditioning == 'pose'
    for frame, view in zip(task.views, got.views, strict=True):
        wanted = told(frame.camera, frame.stamp_ns, scale)
        np.testing.assert_allclose(view.window_from_camera, wanted, atol=1e-7)
        depth = WORLD.depth(frame.camera, frame.stamp_ns, ImageSize(*depth_of(view).shape))
        np.testing.assert_allclose(depth_of(view), scale * depth, rtol=1e-6)


def test_standing_still_the_unit_is_anything_but_finite() -> None:
    still = window(step_ns=0)
    got = ESTIMATOR.estimate(still)
    assert got.conditioning == 'pose'
    scale = ESTIMATOR.window_from_world(4).scale
    depth = WORLD.depth('front', START_NS, ImageSize(24, 32))
    np.testing.assert_allclose(depth_of(got.views[0]), scale * depth, rtol=1e-5)


def test_unknown_poses_are_answered_as_without() -> None:
    task = window()
    bare = Window(4, tuple(FrameSet(s.stamp_ns, s.frames) for s in task.sets), 1)
    plain = TruthEstimator(WORLD).estimate(task)
    for got in (ESTIMATOR.estimate(bare), plain):
        assert got.conditioning == 'none'
        assert_equal_to_rounding(
            got.views[1].window_from_camera, plain.views[1].window_from_camera
        )
