"""The check of a steady window finds what is wrong with any of its views, new or known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from da3_ros.geometry.camera import PinholeCamera
from da3_ros.stream.checked import Refusal, checked_prediction
from da3_ros.stream.needed_depth import needed_depth
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import (
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
)
from helpers.stream_builders import THREE_CAMERAS, BoxEstimator, BoxWorld, sets_of, windows_of

CAMERAS = ('front', 'left', 'right')
VIEWS = range(9)
WITH_DEPTH = range(3, 9)
Fault = Callable[[ViewPrediction], dict[str, Any]]


@pytest.fixture(scope='module', name='steady')
def steady_fixture() -> tuple[Window, WindowPrediction]:
    """Return a window of three sets, one of them new, and what is said of it."""
    estimator = BoxEstimator(BoxWorld(THREE_CAMERAS))
    asked: list[Window] = []

    class Asking:
        def estimate(self, window: Window) -> WindowPrediction:
            asked.append(window)
            return estimator.estimate(window)

    reconstructor = Reconstructor(Asking(), RigCalibration(), lambda: 0.0)
    for window in windows_of(sets_of(CAMERAS, 5), 3, 1):
        reconstructor.process(window)
    window = asked[-1]
    said = estimator.estimate(window)
    assert [v.depth is not None for v in said.views] == [place in WITH_DEPTH for place in VIEWS]
    return window, said


def with_fault(said: WindowPrediction, place: int, fault: Fault) -> WindowPrediction:
    views = list(said.views)
    views[place] = replace(views[place], **fault(views[place]))
    return replace(said, views=tuple(views))


def pose(change: Callable[[np.ndarray[Any, Any]], object]) -> Fault:
    def fault(view: ViewPrediction) -> dict[str, Any]:
        matrix = view.window_from_camera.copy()
        change(matrix)
        return {'window_from_camera': matrix}

    return fault


def put(*place: int, value: float) -> Callable[[np.ndarray[Any, Any]], None]:
    return lambda matrix: matrix.__setitem__(place, value)


def narrow(view: ViewPrediction) -> PinholeCamera:
    return PinholeCamera.from_focal(1e9, 1e9, 1.0, 1.0, view.camera.size)


OF_ANY_VIEW: dict[str, Fault] = {
    'NaN in the rotation': pose(put(1, 1, value=np.nan)),
    'infinity in the place': pose(put(2, 3, value=np.inf)),
    'scaled': pose(lambda matrix: matrix.__imul__(1.01)),
    'mirrored': pose(lambda matrix: matrix[:3, 0].__imul__(-1)),
    'bottom row': pose(put(3, 0, value=0.5)),
    'far beyond numbers': pose(lambda matrix: matrix[:3, :3].__imul__(1e200)),
    'too far': pose(put(0, 3, value=1e10)),
    'three rows': lambda view: {'window_from_camera': view.window_from_camera[:3]},
    'no pose': lambda view: {'window_from_camera': None},
    'no camera': lambda view: {'camera': None},
    'focal length': lambda view: {'camera': narrow(view)},
    'image of floats': lambda view: {'image': view.image.astype(np.float32)},
}
OF_DEPTH: dict[str, Fault] = {
    'no depth': lambda view: {'depth': None},
    'another size': lambda view: {'depth': np.ones((4, 5), np.float32)},
    'complex': lambda view: {'depth': np.ones(view.image.shape[:2], complex)},
    'confidence of another size': lambda view: {'confidence': np.ones((4, 5), np.float32)},
    'sky of another size': lambda view: {'sky': np.ones((4, 5), bool)},
}


@pytest.mark.parametrize('name', [*OF_ANY_VIEW, *OF_DEPTH])
def test_a_fault_is_found_in_any_view_and_named(
    steady: tuple[Window, WindowPrediction], name: str
) -> None:
    window, said = steady
    places, fault = (
        (VIEWS, OF_ANY_VIEW[name]) if name in OF_ANY_VIEW else (WITH_DEPTH, OF_DEPTH[name])
    )
    for place in places:
        found = checked_prediction(window, with_fault(said, place, fault))
        assert isinstance(found, Refusal), f'view {place}'
        assert f'view {place} (camera {window.views[place].camera}' in found.text


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 0.0, -3.0, 1e30])
@pytest.mark.parametrize('place', WITH_DEPTH)
def test_a_pixel_that_is_no_depth_becomes_unknown_in_any_view(
    steady: tuple[Window, WindowPrediction], place: int, value: float
) -> None:
    window, said = steady

    def fault(view: ViewPrediction) -> dict[str, Any]:
        assert view.depth is not None
        depth = view.depth.copy()
        depth[2, 3] = value
        confidence = np.full(depth.shape, 3.0, np.float32)
        confidence[4, 5] = value
        return {'depth': depth, 'confidence': confidence}

    found = checked_prediction(window, with_fault(said, place, fault))
    assert isinstance(found, WindowPrediction)
    depth, confidence = found.views[place].depth, found.views[place].confidence
    assert depth is not None
    assert confidence is not None
    np.testing.assert_array_equal(np.argwhere(np.isnan(depth)), [[2, 3]])
    assert confidence[4, 5] == (1e30 if value == 1e30 else 1.0)
    assert sum(note.code == 'pixels_left_out' for note in found.notes) >= (value != 1e30)


def test_poses_of_any_kind_of_number_are_the_same_alone_and_together(
    steady: tuple[Window, WindowPrediction],
) -> None:
    """One pose that is a list has every view looked at by itself."""
    window, said = steady
    together = checked_prediction(window, said)
    alone = checked_prediction(
        window,
        with_fault(said, 4, lambda view: {'window_from_camera': view.window_from_camera.tolist()}),
    )
    assert isinstance(together, WindowPrediction)
    assert isinstance(alone, WindowPrediction)
    for one, other in zip(together.views, alone.views, strict=True):
        np.testing.assert_allclose(one.window_from_camera, other.window_from_camera, atol=1e-15)
        rotation = one.window_from_camera[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)


def test_what_is_needed_is_what_is_checked(steady: tuple[Window, WindowPrediction]) -> None:
    window, _ = steady
    assert window.depth_of is not None
    assert {window.views[place].id for place in WITH_DEPTH} == set(window.depth_of)
    assert needed_depth(window, {}) == frozenset(frame.id for frame in window.views)
