"""The stream's estimator with networks that see sky, know metres, or predict no poses."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
import pytest
import torch

from da3_ros.errors import ModelError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.model.config import NetworkConfig, SingleViewConfig
from da3_ros.types import CameraFrame, FrameSet, Window
from helpers import tiny
from helpers.depths import depth_of
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

RES = 56
CALIBRATION = PinholeCamera.from_focal(60, 61, 31.2, 23.4, ImageSize(48, 64))
MONO = SingleViewConfig('tiny-mono', tiny.SINGLE_VIEW.backbone, tiny.SINGLE_VIEW.head)


def model_of(config: NetworkConfig) -> DepthAnything3:
    return DepthAnything3(network=synthetic_network(config))


def frame(camera: str, seed: int, calibration: PinholeCamera | None = CALIBRATION) -> CameraFrame:
    image: NDArray[np.uint8] = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
    return CameraFrame(camera, 100 + seed, f'{camera}_optical_frame', image, calibration)


def window(*frames: CameraFrame) -> Window:
    return Window(0, (FrameSet(100, frames),), 1)


@pytest.mark.parametrize('use_ray_pose', [False, True])
@pytest.mark.parametrize(('config', 'is_metric'), [(tiny.SINGLE_VIEW, True), (MONO, False)])
def test_one_calibrated_view_needs_no_poses(
    config: SingleViewConfig, is_metric: bool, use_ray_pose: bool
) -> None:
    model = model_of(config)
    estimator = Da3Estimator(model, process_res=RES, use_ray_pose=use_ray_pose)
    one = frame('front', 1)
    got = estimator.estimate(window(one))
    [view] = got.views
    assert (got.is_metric, got.conditioning) == (is_metric, 'none')
    np.testing.assert_array_equal(view.window_from_camera, np.eye(4))
    assert view.calibrated_camera is not None
    np.testing.assert_allclose(view.camera.K, view.calibrated_camera.K, rtol=1e-6)
    expected = model.inference(
        [one.image],
        intrinsics=CALIBRATION.to_corner_origin()[None],
        process_res=RES,
        to_metric=is_metric,
    )
    assert_equal_to_rounding(view.depth, expected.depth[0], DEEP)
    assert view.confidence is None
    assert view.sky is not None


def test_views_without_poses_cannot_share_a_window() -> None:
    estimator = Da3Estimator(model_of(tiny.SINGLE_VIEW), process_res=RES)
    with pytest.raises(
        ModelError, match=r'tiny-metric predicts no poses .* got 2; use one camera'
    ):
        estimator.estimate(window(frame('left', 1), frame('right', 2)))
    with pytest.raises(ModelError, match=r'camera front: .* no calibration; provide its Cam'):
        estimator.estimate(window(frame('front', 1, None)))


def test_the_nested_network_answers_in_metres_with_sky() -> None:
    model = model_of(tiny.NESTED)
    frames = [frame('left', 1), frame('right', 2)]
    got = Da3Estimator(model, process_res=RES).estimate(window(*frames))
    expected = model.inference([one.image for one in frames], process_res=RES)
    assert got.is_metric
    for index, view in enumerate(got.views):
        assert_equal_to_rounding(view.depth, expected.depth[index], DEEP)
        assert view.sky is not None
        # Every pixel that was filled in is marked: they share one depth.
        assert len(np.unique(depth_of(view)[view.sky])) <= 1
        assert view.confidence is not None
        assert (view.confidence[view.sky] == 1).all()
    assert any(view.sky is not None and view.sky.any() for view in got.views)


def test_a_window_of_sky_alone_is_not_metric() -> None:
    network = synthetic_network(tiny.NESTED)
    with torch.no_grad():
        network.get_parameter('da3_metric.head.scratch.sky_output_conv2.2.bias').fill_(50.0)
    estimator = Da3Estimator(DepthAnything3(network=network), process_res=RES)
    got = estimator.estimate(replace(window(frame('front', 1)), index=7))
    assert not got.is_metric
    assert 'no_metric_scale' in [note.code for note in got.notes]
