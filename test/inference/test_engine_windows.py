"""Windows that follow each other: what is kept of their views answers for these views only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.torch_runtime import torch_window_network
from da3_ros.model.vit import VisionTransformer
from da3_ros.stream.input_views import rotated_frame
from da3_ros.types import CameraFrame, FrameSet, ViewId, Window, WindowPrediction
from helpers.depths import depth_of
from helpers.tiny import ANY_VIEW

RES = 56


def frame(stamp_ns: int, seed: int, size: tuple[int, int] = (56, 56)) -> CameraFrame:
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return CameraFrame('eye', stamp_ns, 'eye_optical_frame', image)


def window(*frames: CameraFrame, generation: int = 1) -> Window:
    sets = tuple(FrameSet(one.stamp_ns, (one,)) for one in frames)
    return Window(0, sets, 1, generation)


@pytest.fixture(scope='module')
def model() -> DepthAnything3:
    return DepthAnything3(network=random_network(ANY_VIEW, 3))


def assert_as_alone(model: DepthAnything3, got: WindowPrediction, of: Window) -> None:
    """Compare with an estimator that has seen nothing else."""
    fresh = Da3Estimator(model, process_res=RES).estimate(replace(of, generation=0))
    for ours, theirs in zip(got.views, fresh.views, strict=True):
        np.testing.assert_allclose(depth_of(ours), depth_of(theirs), rtol=1e-5)
        np.testing.assert_allclose(ours.window_from_camera, theirs.window_from_camera, atol=1e-5)


A, B, C = frame(1, 1), frame(2, 2), frame(3, 3)
OTHER = {
    'the same': window(A, B, C),
    'a generation': window(frame(1, 5), frame(2, 6), C, generation=2),
    'none at all': window(frame(1, 5), frame(2, 6), C, generation=0),
    'upside down': window(rotated_frame(A, 2), B, C),
    'on its side': window(A, rotated_frame(B, 1), C),
    'cropped to the common part': window(A, B, frame(3, 3, (28, 56))),
    'one stamp twice': window(A, frame(1, 7), C),
    'another optical frame': window(replace(frame(1, 8), frame_id='other'), B, C),
}


@pytest.mark.parametrize('other', OTHER)
def test_nothing_kept_answers_for_another_image(model: DepthAnything3, other: str) -> None:
    estimator = Da3Estimator(model, process_res=RES)
    for one in (window(A, B, C), OTHER[other], window(A, B, C)):
        assert_as_alone(model, estimator.estimate(one), one)


def test_a_stamp_that_came_twice_is_nobody_s(model: DepthAnything3) -> None:
    estimator = Da3Estimator(model, process_res=RES)
    for one in (window(A, B), window(A, frame(1, 7)), window(frame(1, 7), C)):
        assert_as_alone(model, estimator.estimate(one), one)


@pytest.mark.parametrize(
    'other', [(58, 'upper_bound_resize'), (60, 'upper_bound_resize'), (56, 'upper_bound_crop')]
)
def test_estimators_that_resize_otherwise_may_share_a_network(
    model: DepthAnything3, other: tuple[int, str]
) -> None:
    network = torch_window_network(model)
    frames = [frame(stamp_ns, stamp_ns, (110, 110)) for stamp_ns in (1, 2)]
    for res, method in ((RES, 'upper_bound_resize'), other, (RES, 'upper_bound_resize')):
        resize = {'process_res': res, 'process_res_method': method}
        got = Da3Estimator(network, **resize).estimate(window(*frames))  # type: ignore[arg-type]
        alone = Da3Estimator(model, **resize).estimate(window(*frames))  # type: ignore[arg-type]
        for ours, theirs in zip(got.views, alone.views, strict=True):
            np.testing.assert_allclose(depth_of(ours), depth_of(theirs), rtol=1e-5)


def test_views_of_one_stream_are_encoded_once(
    model: DepthAnything3, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    whole = VisionTransformer._encode_rows

    def counted(vit: VisionTransformer, images: object, *rest: object) -> object:
        encoded.append(len(images))  # type: ignore[arg-type]
        return whole(vit, images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(VisionTransformer, '_encode_rows', counted)
    estimator = Da3Estimator(model, process_res=RES)
    estimator.estimate(window(A, B))
    estimator.estimate(window(A, B, C))
    assert sum(encoded) == 3
    estimator.estimate(window(A, B, generation=0))
    assert sum(encoded) == 5


@pytest.mark.parametrize('asked', [(), (ViewId('nobody', 1, ''),)], ids=['none', 'unknown'])
def test_a_window_of_which_no_depth_is_wanted_has_its_cameras(
    model: DepthAnything3, asked: tuple[ViewId, ...]
) -> None:
    of = replace(window(A, B, C), depth_of=frozenset(asked))
    views = Da3Estimator(model, process_res=RES).estimate(of).views
    whole = Da3Estimator(model, process_res=RES).estimate(window(A, B, C)).views
    for ours, theirs in zip(views, whole, strict=True):
        assert ours.depth is None
        np.testing.assert_allclose(ours.window_from_camera, theirs.window_from_camera, atol=1e-5)


def test_depth_is_given_of_the_views_that_need_it(model: DepthAnything3) -> None:
    estimator = Da3Estimator(model, process_res=RES)
    asked = replace(window(A, B, C), depth_of=frozenset({C.id}))
    views = estimator.estimate(asked).views
    assert [view.depth is None for view in views] == [True, True, False]
    assert [view.confidence is None for view in views] == [True, True, False]
    whole = estimator.estimate(window(A, B, C)).views
    np.testing.assert_allclose(depth_of(views[2]), depth_of(whole[2]), rtol=1e-5)
    for ours, theirs in zip(views, whole, strict=True):
        np.testing.assert_allclose(ours.window_from_camera, theirs.window_from_camera, atol=1e-5)
