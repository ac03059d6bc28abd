"""Metres of the metric network, and the single-view networks behind the public API."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.errors import ModelError, PreprocessError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.metric import metric_depth
from da3_ros.inference.missing_intrinsics import MissingIntrinsics
from da3_ros.model.config import SingleViewConfig
from da3_ros.model.notes_of_input import NO_RAYS, UNUSED_CAMERAS, UNUSED_INTRINSICS
from helpers import tiny
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

RES = 56


@pytest.fixture(scope='module')
def single() -> DepthAnything3:
    return DepthAnything3(network=synthetic_network(tiny.SINGLE_VIEW))


def pictures(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(count)]


def intrinsics(*focal: float) -> NDArray[np.float64]:
    return np.array([[[f, 0, 64], [0, 1.5 * f, 48], [0, 0, 1]] for f in focal])


def test_metres_are_focal_times_output_over_300_after_resizing(single: DepthAnything3) -> None:
    images, K = pictures(2), intrinsics(200, 400)
    raw = single.inference(images, intrinsics=K, process_res=RES)
    metres = single.inference(images, intrinsics=K, process_res=RES, to_metric=True)
    # 128 x 96 became 56 x 42: focal lengths shrink by 56 / 128; their mean is 1.25 f.
    factors = np.array([200, 400]) * 1.25 * 56 / 128 / 300
    assert_equal_to_rounding(
        metres.depth, np.asarray(raw.depth * factors[:, None, None], np.float32), DEEP
    )
    assert (raw.is_metric, metres.is_metric) == (False, True)
    assert raw.intrinsics is not None
    assert_equal_to_rounding(metric_depth(raw.depth, raw.intrinsics), metres.depth, DEEP)
    assert raw.notes == metres.notes == ()


def test_metres_do_not_depend_on_the_resolution_of_the_picture() -> None:
    depth: NDArray[np.float32] = np.full((1, 4, 4), 3.0, np.float32)
    K = intrinsics(100)
    larger = K * np.array([2, 2, 1])[:, None]
    # The same picture at twice the size shows everything twice as large: half the output.
    half: NDArray[np.float32] = depth / np.float32(2)
    np.testing.assert_array_equal(metric_depth(half, larger), metric_depth(depth, K))


def test_metres_need_a_metric_network_and_a_focal_length(
    single: DepthAnything3, model: DepthAnything3
) -> None:
    with pytest.raises(PreprocessError, match='tiny-metric needs intrinsics'):
        single.inference(pictures(1), to_metric=True)
    with pytest.raises(ModelError, match='da3-small knows no metres; use da3metric-large'):
        model.inference(pictures(1), intrinsics=intrinsics(100), to_metric=True)
    relative = SingleViewConfig('tiny-mono', tiny.SINGLE_VIEW.backbone, tiny.SINGLE_VIEW.head)
    mono = DepthAnything3(network=synthetic_network(relative))
    with pytest.raises(ModelError, match='tiny-mono knows no metres'):
        mono.inference(pictures(1), intrinsics=intrinsics(100), to_metric=True)


def test_a_network_without_cameras_passes_them_through_and_says_so(single: DepthAnything3) -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 0, 3] = 1
    plain = single.inference(pictures(2), process_res=RES)
    for K in (None, intrinsics(100, 100)):
        got = single.inference(pictures(2), poses, K, process_res=RES, use_ray_pose=True)
        assert got.notes == (UNUSED_CAMERAS.text, NO_RAYS.text)
        assert_equal_to_rounding(got.depth, plain.depth, DEEP)
        np.testing.assert_array_equal(got.extrinsics, poses[:, :3])
        assert isinstance(got.intrinsics, MissingIntrinsics) == (K is None)
        assert got.alignment is None
    assert (plain.conf, plain.extrinsics, plain.intrinsics) == (None, None, None)
    assert plain.sky is not None
    assert plain.sky.dtype == np.bool_
    with pytest.raises(ModelError, match='tiny-metric predicts no Gaussians'):
        single.inference(pictures(1), infer_gs=True)


def test_intrinsics_alone_are_named_as_unused(model: DepthAnything3) -> None:
    plain = model.inference(pictures(2), process_res=RES)
    got = model.inference(pictures(2), intrinsics=intrinsics(100, 100), process_res=RES)
    assert got.notes == (UNUSED_INTRINSICS.text,)
    assert_equal_to_rounding(got.depth, plain.depth, DEEP)
    assert_equal_to_rounding(got.intrinsics, plain.intrinsics, DEEP)
    assert plain.notes == ()


@pytest.mark.parametrize('count', [1, 2, 4])
@pytest.mark.parametrize('align', [True, False])
def test_extrinsics_alone_condition_the_network(
    model: DepthAnything3, count: int, align: bool, caplog: pytest.LogCaptureFixture
) -> None:
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = 0.4 * np.arange(count)
    options: dict[str, Any] = {'process_res': RES, 'align_to_input_ext_scale': align}
    got = model.inference(pictures(count), poses, **options)
    # Cameras on a line: another note is about the scale.
    note, of_scale = got.notes
    assert 'first predicted the intrinsics' in note
    assert 'the scale' in of_scale
    assert note in caplog.text
    assert got.alignment is not None
    assert got.intrinsics is not None
    # Two passes by hand: intrinsics of the first one go in with the poses.
    first = model.inference(pictures(count), process_res=RES).intrinsics
    assert first is not None
    back = first * np.array([128 / 56, 96 / 42, 1])[:, None]
    both = model.inference(pictures(count), poses, back, **options)
    assert both.alignment is not None
    # Noise tells no scale: what one pass takes for it the other need not.
    units = (got.alignment.scale, both.alignment.scale) if align else (1.0, 1.0)
    np.testing.assert_allclose(got.depth * units[0], both.depth * units[1], rtol=2e-4)


def test_alignment_reports_scale_and_residual(model: DepthAnything3) -> None:
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, 3] = rng.normal(size=(4, 3))
    got = model.inference(pictures(4), poses, intrinsics(*[100] * 4), process_res=RES).alignment
    assert got is not None
    assert got.scale == got.predicted_from_input.scale > 0
    centres = [-pose[:3, :3].T @ pose[:3, 3] for pose in got.aligned_extrinsics]
    predicted = [-pose[:, :3].T @ pose[:, 3] for pose in got.predicted_extrinsics]
    distances = np.linalg.norm(np.subtract(centres, predicted), axis=1)
    assert got.residual == pytest.approx(np.sqrt((distances**2).mean()), rel=1e-4)
