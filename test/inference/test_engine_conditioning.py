"""Known poses in the network: they count, and they never make a window fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import ModelError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import (
    CameraFrame,
    FrameSet,
    PosePrior,
    RigCalibration,
    Window,
    WindowPrediction,
)
from helpers.depths import depth_of
from helpers.rounding import DEEP, assert_equal_to_rounding
from helpers.tiny import ANY_VIEW, NESTED, SINGLE_VIEW

RES = 56
SIZE = ImageSize(48, 64)
CALIBRATION = PinholeCamera.from_focal(60, 61, 31.2, 23.4, SIZE)


@pytest.fixture(name='model', scope='module')
def model_fixture() -> DepthAnything3:
    return DepthAnything3(network=random_network(ANY_VIEW, seed=3))


@pytest.fixture(name='estimator')
def estimator_fixture(model: DepthAnything3) -> Da3Estimator:
    return Da3Estimator(model, process_res=RES, conditioning=True)


def pose(x: float, y: float = 0.0, yaw_deg: float = 0.0) -> FloatArray:
    return rigid(Rotation.from_euler('y', yaw_deg, degrees=True).as_matrix(), [x, y, 0.0])


RING = [pose(0.0), pose(0.5, 0.1, 10), pose(0.3, -0.6, 20), pose(-0.4, 0.2, -15)]


def frame(index: int, calibrated: bool = True) -> CameraFrame:
    rng = np.random.default_rng(index)
    image: NDArray[np.uint8] = rng.integers(0, 256, (SIZE.height, SIZE.width, 3), np.uint8)
    return CameraFrame(
        'eye', 100 + index, 'eye_optical_frame', image, CALIBRATION if calibrated else None
    )


def window(poses: Sequence[FloatArray | None], calibrated: bool = True) -> Window:
    """Return one camera at several instants, with odometry where it is known."""
    sets = []
    for index, known in enumerate(poses):
        prior = PosePrior(odometry_from_camera={} if known is None else {'eye': known})
        sets.append(FrameSet(100 + index, (frame(index, calibrated),), prior=prior))
    return Window(0, tuple(sets), 1)


def assert_same(a: WindowPrediction, b: WindowPrediction) -> None:
    for left, right in zip(a.views, b.views, strict=True):
        assert_equal_to_rounding(left.depth, right.depth, DEEP)
        assert_equal_to_rounding(left.window_from_camera, right.window_from_camera, DEEP)


def differs(a: WindowPrediction, b: WindowPrediction) -> bool:
    pairs = zip(a.views, b.views, strict=True)
    return any(np.abs(depth_of(left) - depth_of(right)).max() > 1e-3 for left, right in pairs)


def test_known_poses_change_the_answer_and_are_reported(estimator: Da3Estimator) -> None:
    free = estimator.estimate(window([None] * 4))
    known = estimator.estimate(window(RING))
    assert (free.conditioning, known.conditioning) == ('none', 'pose')
    assert free.notes == known.notes == ()
    assert differs(free, known)
    other = [*RING[:3], pose(2.0, 0.0, 40)]
    assert differs(known, estimator.estimate(window(other)))


def test_the_network_gets_what_the_public_api_gives_it(
    model: DepthAnything3, estimator: Da3Estimator
) -> None:
    """Where the API's cameras come out aligned, ours stay in the network's own gauge."""
    task = window(RING)
    got = estimator.estimate(task)
    intrinsics = np.tile(CALIBRATION.to_corner_origin(), (4, 1, 1))
    expected = model.inference(
        [f.image for f in task.views],
        invert(np.array(RING)),
        intrinsics,
        align_to_input_ext_scale=False,
        process_res=RES,
    )
    for view, depth in zip(got.views, expected.depth, strict=True):
        np.testing.assert_allclose(depth_of(view), depth, rtol=1e-5)
    assert expected.alignment is not None
    predicted = np.array([invert(view.window_from_camera)[:3] for view in got.views])
    np.testing.assert_allclose(predicted, expected.alignment.predicted_extrinsics, atol=1e-5)


@pytest.mark.parametrize(
    'poses',
    [
        [pose(0.0)],
        [pose(0.0), pose(0.12)],
        [pose(0.0), pose(3.0)],
        [pose(0.0), pose(0.0)],
        [pose(0.0), pose(0.5), pose(1.0)],
        [pose(1.0, 2.0)] * 5,
        [pose(1e-4 * i, 1e-5 * i * i) for i in range(4)],
        [pose(500.0 * i, 300.0 * (i % 2)) for i in range(4)],
    ],
    ids=['one', 'stereo', 'far pair', 'pair', 'line', 'standing', 'tiny', 'huge'],
)
def test_degenerate_poses_give_an_answer(estimator: Da3Estimator, poses: list[FloatArray]) -> None:
    got = estimator.estimate(window(poses))
    assert got.conditioning == 'pose'
    assert len(got.views) == len(poses)
    for view in got.views:
        assert np.isfinite(depth_of(view)).all()
        assert np.isfinite(view.window_from_camera).all()


@pytest.mark.parametrize('bad', [None, np.full((4, 4), np.nan), np.zeros((4, 4)), 2 * np.eye(4)])
def test_a_window_with_an_unknown_pose_is_answered_as_without(
    estimator: Da3Estimator, bad: FloatArray | None
) -> None:
    got = estimator.estimate(window([RING[0], bad, RING[2]]))
    assert got.conditioning == 'none'
    assert_same(got, estimator.estimate(window([None] * 3)))


def test_where_the_odometry_began_does_not_matter(estimator: Da3Estimator) -> None:
    far = pose(4.2e5, -5.3e6, 70)
    near = estimator.estimate(window(RING))
    moved = estimator.estimate(window([far @ known for known in RING]))
    for left, right in zip(near.views, moved.views, strict=True):
        # Centres around five thousand kilometres are known to a nanometre in float64.
        np.testing.assert_allclose(depth_of(right), depth_of(left), rtol=1e-4)


@pytest.mark.parametrize('poses', [RING, RING[:2]])
def test_the_unit_of_the_odometry_does_not_matter(
    estimator: Da3Estimator, poses: list[FloatArray]
) -> None:
    scaled = [rigid(known[:3, :3], 3.0 * known[:3, 3]) for known in poses]
    ones = estimator.estimate(window(poses))
    threes = estimator.estimate(window(scaled))
    for left, right in zip(ones.views, threes.views, strict=True):
        np.testing.assert_allclose(depth_of(right), depth_of(left), rtol=1e-4)


def test_the_rig_alone_conditions_windows_of_one_instant(estimator: Da3Estimator) -> None:
    left, right = frame(0), frame(1)
    right = CameraFrame('right', right.stamp_ns, 'right', right.image, CALIBRATION)
    prior = PosePrior({'eye': pose(0.0), 'right': pose(0.12)})
    instant = FrameSet(100, (left, right), prior=prior)
    assert estimator.estimate(Window(0, (instant,), 1)).conditioning == 'pose'
    bare = replace(instant, prior=None)
    assert estimator.estimate(Window(0, (bare,), 1)).conditioning == 'none'


def test_without_calibration_the_network_makes_its_own_and_says_so(
    estimator: Da3Estimator,
) -> None:
    got = estimator.estimate(window(RING, calibrated=False))
    assert got.conditioning == 'pose'
    assert 'intrinsics_predicted' in [note.code for note in got.notes]


def test_switched_off_or_unable_it_is_as_without(model: DepthAnything3) -> None:
    off = Da3Estimator(model, process_res=RES)
    assert off.estimate(window(RING)).conditioning == 'none'
    assert_same(off.estimate(window(RING)), off.estimate(window([None] * 4)))
    single = Da3Estimator(
        DepthAnything3(network=random_network(SINGLE_VIEW, seed=0)),
        process_res=RES,
        conditioning=True,
    )
    got = single.estimate(window(RING[:1]))
    assert (got.conditioning, got.is_metric, got.metric_by) == ('none', True, 'camera_info')


def test_the_nested_network_takes_poses_and_stays_metric() -> None:
    nested = DepthAnything3(network=random_network(NESTED, seed=0))
    got = Da3Estimator(nested, process_res=RES, conditioning=True).estimate(window(RING))
    assert (got.conditioning, got.is_metric, got.metric_by) == ('pose', True, 'model')


def test_poses_that_break_the_network_are_left_out_and_said(
    model: DepthAnything3, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = Da3Estimator(model, process_res=RES, conditioning=True)
    free = estimator.estimate(window([None] * 4))
    run = TorchWindowNetwork.run

    def broken(self: TorchWindowNetwork, request: WindowRequest) -> WindowMaps:
        if request.cameras is not None:
            raise ModelError('camera eye: the network predicted no finite pose')
        return run(self, request)

    monkeypatch.setattr(TorchWindowNetwork, 'run', broken)
    got = estimator.estimate(window(RING))
    assert got.conditioning == 'none'
    assert 'known poses the network gave nothing usable' in got.notes[0].text
    assert_same(got, free)


def test_a_metric_network_without_poses_stands_where_the_odometry_says() -> None:
    metric = DepthAnything3(network=random_network(SINGLE_VIEW, seed=0))
    estimator = Da3Estimator(metric, process_res=RES, conditioning=True)
    got = estimator.estimate(window(RING))
    assert (got.conditioning, got.is_metric, got.metric_by) == ('pose', True, 'camera_info')
    alone = [
        estimator.estimate(Window(0, (FrameSet(100, (frame(index),)),), 1)) for index in range(4)
    ]
    for view, known, single in zip(got.views, RING, alone, strict=True):
        np.testing.assert_allclose(view.window_from_camera, invert(RING[0]) @ known, atol=1e-6)
        assert view.calibrated_camera is not None
        np.testing.assert_allclose(view.camera.K, view.calibrated_camera.K, rtol=1e-6)
        # Depth of sky is filled in by that of all views together.
        assert view.sky is not None
        ground = ~view.sky
        assert ground.any()
        np.testing.assert_allclose(
            depth_of(view)[ground], depth_of(single.views[0])[ground], rtol=1e-5
        )
    with pytest.raises(ModelError, match='let odometry tell the poses of all views'):
        estimator.estimate(window([RING[0], None]))
    with pytest.raises(ModelError, match='windows of one view only, got 4'):
        Da3Estimator(metric, process_res=RES).estimate(window(RING))


@pytest.mark.parametrize('speed', [0.0, 1e-3, 0.1])
def test_a_network_of_nonsense_on_wheels_gives_windows_without_an_error(
    estimator: Da3Estimator, speed: float
) -> None:
    """Whatever it predicts, standing or driving, with holes and nonsense in the odometry."""
    reconstructor = Reconstructor(estimator, RigCalibration(), lambda: 0.0, 'odometry')
    sliding = SlidingWindow(3, 1)
    poses: list[FloatArray | None] = [pose(speed * i) for i in range(8)]
    poses[3], poses[5] = None, np.full((4, 4), np.nan)
    conditioned = []
    for item in window(poses).sets:
        task = sliding.push(item)
        assert task is not None
        result = reconstructor.process(task)
        assert len(result.new_sets) == 1
        assert np.isfinite(result.new_sets[0].world_from_base).all()
        assert np.isfinite(result.alignment.scale)
        conditioned.append(result.alignment.conditioning)
    assert conditioned == ['pose'] * 3 + ['none'] * 5
