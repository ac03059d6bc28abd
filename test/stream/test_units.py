"""A window's unit, origin and axes are its own: no doubt about a result hangs on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.sim3 import Sim3
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import RigCalibration, Window, WindowPrediction
from helpers.stream_builders import (
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    sets_of,
    windows_of,
    with_odometry,
)

WORLD = BoxWorld(THREE_CAMERAS)


def sigmas(factor: float, shift: list[float], has_depth: bool, has_rig: bool) -> FloatArray:
    """Return how well the metre is known, window by window."""
    axes = np.eye(3) if factor == 1 else Rotation.from_rotvec([0.7, 1.1, -0.4]).as_matrix()
    gauge = Sim3(factor, axes, np.array(shift))

    def spoil(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        del window
        views = tuple(
            replace(
                view,
                depth=view.depth * np.float32(factor if has_depth else np.nan),
                window_from_camera=gauge.apply_to_pose(view.window_from_camera),
            )
            for view in prediction.views
        )
        return replace(prediction, views=views)

    estimator = BoxEstimator(WORLD, position_noise_m=0.01, spoil=spoil)
    sets = sets_of(['front', 'left', 'right'], 8)
    rig = THREE_CAMERAS if has_rig else RigCalibration()
    reconstructor = Reconstructor(estimator, rig, lambda: 0.0)
    results = [
        reconstructor.process(window)
        for window in windows_of(sets if has_rig else with_odometry(sets, WORLD), 3, 1)
    ]
    assert results[-1].alignment.is_metric
    return np.array([result.alignment.scale_log_sigma for result in results])


@pytest.mark.parametrize('has_rig', [True, False])
@pytest.mark.parametrize('has_depth', [True, False])
@pytest.mark.parametrize(('factor', 'shift'), [(50.0, [0, 0, 0]), (0.02, [0.3, -0.1, 0.2])])
def test_how_well_the_metre_is_known_does_not_hang_on_the_windows_unit(
    factor: float, shift: list[float], has_depth: bool, has_rig: bool
) -> None:
    wanted = sigmas(1.0, [0, 0, 0], has_depth, has_rig)
    np.testing.assert_allclose(sigmas(factor, shift, has_depth, has_rig), wanted, rtol=1e-4)
