"""Arguments and attributes of official examples, and what a prediction says of itself."""

from pathlib import Path
import pickle
from typing import Any

import numpy as np
from PIL import Image
import pytest

from da3_ros.errors import PreprocessError
from da3_ros.inference import upstream_arguments
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.missing_intrinsics import MissingIntrinsics
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.upstream_arguments import attention_kernel
from helpers.ply_files import read_ply
from helpers.tiny import ANY_VIEW, SINGLE_VIEW

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 42, 56, 3), np.uint8)


@pytest.fixture(scope='module')
def any_view() -> DepthAnything3:
    return DepthAnything3(network=random_network(ANY_VIEW, 0))


@pytest.fixture(scope='module')
def metric() -> DepthAnything3:
    return DepthAnything3(network=random_network(SINGLE_VIEW, 0))


def test_points_have_at_least_the_confidence_that_is_asked_for(
    any_view: DepthAnything3, tmp_path: Path
) -> None:
    plain = any_view.inference(IMAGES, process_res=56)
    assert plain.conf is not None
    least = float(np.quantile(plain.conf, 0.7))
    got = any_view.inference(IMAGES, process_res=56, conf_thr=least)
    assert got.conf is not None
    np.testing.assert_array_equal(np.isnan(got.conf), plain.conf < least)
    np.testing.assert_array_equal(got.depth, plain.depth)
    assert any('conf_thr' in note and '70.0%' in note for note in got.notes)
    got.export(tmp_path, 'ply', conf_thresh_percentile=0.0)
    vertices = read_ply(tmp_path / 'points.ply')
    assert len(vertices.xyz) == (plain.conf >= least).sum()
    assert vertices.other['confidence'].min() >= np.float32(least)


def test_a_threshold_without_confidence_says_so(metric: DepthAnything3) -> None:
    got = metric.inference(IMAGES, process_res=56, conf_thr=0.5)
    assert got.conf is None
    assert any('conf_thr' in note for note in got.notes)


@pytest.mark.parametrize('is_there', [True, False])
def test_xformers_by_its_official_name(
    is_there: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = object() if is_there else None
    monkeypatch.setattr(upstream_arguments, 'find_spec', lambda name: found)
    assert attention_kernel('auto', None) == 'auto'
    assert attention_kernel('auto', False) == 'sdpa'
    assert not caplog.records
    assert attention_kernel('auto', True) == ('xformers' if is_there else 'sdpa')
    assert 'xformers' in caplog.text
    # A choice under its own name counts.
    assert attention_kernel('sdpa', True) == 'sdpa'
    model = DepthAnything3.from_pretrained('da3-nano', use_xformers=False)
    assert model.arithmetic.attention == 'sdpa'


def test_gaussians_are_in_aux_and_no_features(any_view: DepthAnything3, tmp_path: Path) -> None:
    got = any_view.inference(IMAGES, process_res=56, infer_gs=True, export_feat_layers=[1])
    assert got.aux['gaussians'] is got.gaussians
    files = got.export(tmp_path, 'feat_vis').files
    assert {path.parent.name for path in files} == {'feat_layer_1', 'feat_vis'}
    assert 'gaussians' not in any_view.inference(IMAGES, process_res=56).aux


USES = [
    lambda k: k[:, 0, 0],
    lambda k: k / 2,
    lambda k: 300 * k,
    lambda k: np.asarray(k),
    lambda k: k.shape,
    len,
    list,
]


@pytest.mark.parametrize('use', USES)
def test_metres_by_hand_without_intrinsics_say_what_is_missing(
    metric: DepthAnything3, use: Any
) -> None:
    got = metric.inference(IMAGES[:1], process_res=56)
    with pytest.raises(PreprocessError, match=r'inference\(images, intrinsics=K\)'):
        use(got.intrinsics)


def test_missing_intrinsics_are_false_and_none_for_all_that_asks(
    metric: DepthAnything3, tmp_path: Path
) -> None:
    got = metric.inference(IMAGES[:1], process_res=56)
    assert not got.intrinsics
    assert (got.intrinsics == None) is True  # noqa: E711 - what official examples may ask
    assert got.cameras() is None
    assert 'intrinsics' not in repr(got).splitlines()[0]
    assert got.export(tmp_path, 'npz-ply').files
    with np.load(tmp_path / 'exports/npz/results.npz') as arrays:
        assert 'intrinsics' not in arrays
    again = pickle.loads(pickle.dumps(MissingIntrinsics('m')))
    assert again == MissingIntrinsics('m')


@pytest.mark.parametrize('is_metric', [True, False])
def test_depth_is_saved_as_numbers_and_as_pictures(
    is_metric: bool, metric: DepthAnything3, tmp_path: Path
) -> None:
    K = np.array([[[40.0, 0, 28], [0, 40, 21], [0, 0, 1]]])
    got = metric.inference(IMAGES[:1], intrinsics=K, process_res=56, to_metric=is_metric)
    got.export(tmp_path, 'glb', save_depth=True)
    names = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob('*.*')}
    pictures = 'depth_png' if is_metric else 'depth_image'
    assert names == {'scene.glb', 'scene.jpg', 'depth_vis', 'exports', pictures}
    with Image.open(tmp_path / pictures / '0000.png') as opened:
        assert opened.mode == ('I;16' if is_metric else 'L')


def test_a_prediction_says_in_three_lines_what_it_is(
    any_view: DepthAnything3, metric: DepthAnything3
) -> None:
    got = any_view.inference(IMAGES, process_res=56, export_feat_layers=[2])
    first, second, third = repr(got).splitlines()
    assert first == (
        'Prediction of 2 images, 42 x 56 px: depth, conf, extrinsics, intrinsics, feat_layer_2'
    )
    assert second.startswith(f'depth {got.depth.min():.3g} to {got.depth.max():.3g} scene units')
    assert third == 'notes: none'
    K = np.tile(np.array([[[40.0, 0, 28], [0, 40, 21], [0, 0, 1]]]), (2, 1, 1))
    metres = repr(metric.inference(IMAGES, intrinsics=K, process_res=56, to_metric=True))
    assert ' m (metric)' in metres
    random = DepthAnything3.from_config(ANY_VIEW).inference(IMAGES[:1], process_res=56)
    assert repr(random).count('\n') == 2
    assert 'random weights' in repr(random)
