"""Metres from a rig whose cameras the network places wrongly: the images tell them."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic.family_world import FamilyWorld, make_family_world
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.types import Estimator, Window, WindowPrediction
from tools.train_nano.drive import DriveFigures, drive

SIZE = ImageSize(70, 98)
SECONDS = 4.0


@pytest.fixture(scope='module')
def room() -> FamilyWorld:
    return make_family_world(1, SIZE)


def misplacing(room: FamilyWorld, noise_m: float) -> TruthEstimator:
    """Exact depth in a unit that changes from window to window, cameras anywhere."""
    return TruthEstimator(room, size=SIZE, position_noise_m=noise_m, depth_noise_rel=0.03)


@dataclass(frozen=True)
class Blind:
    """An estimator whose images show nothing when its depth is used."""

    inner: Estimator

    def estimate(self, window: Window) -> WindowPrediction:
        prediction = self.inner.estimate(window)
        views = [replace(v, image=np.full_like(v.image, 90)) for v in prediction.views]
        return replace(prediction, views=tuple(views))


def driven(room: FamilyWorld, estimator: Estimator) -> DriveFigures:
    return drive(room, estimator, seconds=SECONDS, has_odometry=False)


def test_depth_is_in_metres_however_wrong_the_cameras_stand(room: FamilyWorld) -> None:
    figures = driven(room, misplacing(room, 0.3))
    assert figures.is_metric
    # Of noise alone 0.024.
    assert figures.absrel < 0.035


def test_without_texture_wrong_cameras_make_no_metres(room: FamilyWorld) -> None:
    assert not driven(room, Blind(misplacing(room, 0.3))).is_metric


def test_without_texture_right_cameras_do(room: FamilyWorld) -> None:
    figures = driven(room, Blind(misplacing(room, 0.0)))
    assert figures.is_metric
    assert figures.absrel < 0.026


def test_one_camera_alone_has_no_metres() -> None:
    room = make_family_world(1, SIZE, ['front'])
    assert not driven(room, misplacing(room, 0.0)).is_metric
