"""The nested network and Gaussians behind the public API, and networks of one's own."""

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import torch
import yaml

from da3_ros.errors import CheckpointError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import load_network, save_checkpoint
from da3_ros.model.config import NetworkConfig
from helpers import tiny
from helpers.rounding import DEEP, assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

RES = 56


@pytest.fixture(scope='module')
def nested() -> DepthAnything3:
    return DepthAnything3(network=synthetic_network(tiny.NESTED))


@pytest.fixture(scope='module')
def gaussian() -> DepthAnything3:
    return DepthAnything3(network=synthetic_network(tiny.ANY_VIEW))


def pictures(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(count)]


def known_cameras(count: int) -> dict[str, Any]:
    extrinsics = np.tile(np.eye(4), (count, 1, 1))
    extrinsics[:, :3, 3] = 0.3 * np.random.default_rng(0).normal(size=(count, 3))
    K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    return {'extrinsics': extrinsics, 'intrinsics': np.tile(K, (count, 1, 1))}


def test_nested_predictions_are_metric_with_sky(nested: DepthAnything3) -> None:
    got = nested.inference(pictures(3), process_res=RES)
    assert got.is_metric is True
    assert isinstance(got.scale_factor, float)
    assert got.sky is not None
    assert got.sky.shape == got.depth.shape
    assert nested.capabilities.names()[-2:] == ('sky', 'metric')
    again = nested.inference(pictures(3), process_res=RES, to_metric=True)
    assert_equal_to_rounding(again.depth, got.depth, DEEP)
    assert nested.inference(pictures(1), process_res=RES).is_metric in (True, False)


def test_a_scene_of_sky_alone_has_no_scale(nested: DepthAnything3) -> None:
    network = synthetic_network(tiny.NESTED)
    with torch.no_grad():
        network.get_parameter('da3_metric.head.scratch.sky_output_conv2.2.bias').fill_(50.0)
    got = DepthAnything3(network=network).inference(pictures(2), process_res=RES)
    assert (got.is_metric, got.scale_factor) == (False, None)
    [note] = got.notes
    assert note.startswith('no metric scale: only 0 pixels')
    assert got.sky is not None
    assert got.sky.all()


def centres_seen(prediction: Any, view: int) -> NDArray[np.float64]:
    """Return the Gaussians of a view, in the frame of that view's camera."""
    count = prediction.depth[view].size
    means = prediction.gaussians.means[0, view * count : (view + 1) * count].double().numpy()
    extrinsics = prediction.extrinsics[view].astype(np.float64)
    return np.asarray(means @ extrinsics[:, :3].T + extrinsics[:, 3])


@pytest.mark.parametrize('kind', ['gaussian', 'nested'])
def test_gaussians_stand_in_the_world_of_the_cameras(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """A view's Gaussians lie where its camera sees them, in the unit of its depth."""
    model: DepthAnything3 = request.getfixturevalue(kind)
    cameras = known_cameras(4)
    free = model.inference(pictures(4), process_res=RES, infer_gs=True)
    assert free.gaussians is not None
    assert free.gaussians.means.shape == (1, free.depth.size, 3)
    given = model.inference(pictures(4), **cameras, process_res=RES, infer_gs=True)
    moved = model.inference(
        pictures(4), **cameras, process_res=RES, infer_gs=True, align_to_input_ext_scale=False
    )
    assert given.alignment is not None
    # Seen from the network's own cameras, both worlds show the same, up to their unit.
    own = given.alignment.predicted_extrinsics
    similarity = given.alignment.predicted_from_input
    for view in range(4):
        assert given.gaussians is not None
        seen = centres_seen(replace(moved, extrinsics=own), view)
        back = similarity.apply(given.gaussians.means[0].double().numpy())
        count = given.depth[view].size
        part = back[view * count : (view + 1) * count]
        from_given = part @ own[view, :, :3].T.astype(np.float64) + own[view, :, 3]
        np.testing.assert_allclose(from_given, seen, rtol=1e-3, atol=1e-3)
        # Depth is the distance along the ray, plus the predicted offset: same unit, same order.
        if kind == 'gaussian':
            distance = np.linalg.norm(seen, axis=1).reshape(moved.depth[view].shape)
            offset = distance - moved.depth[view]
            assert np.abs(np.median(offset)) < 2


def test_gaussians_are_absent_unless_asked_for(gaussian: DepthAnything3) -> None:
    assert gaussian.inference(pictures(1), process_res=RES).gaussians is None


@pytest.mark.parametrize('config', [tiny.ANY_VIEW, tiny.SINGLE_VIEW, tiny.NESTED], ids=str)
def test_networks_of_ones_own_survive_saving(config: NetworkConfig, tmp_path: Path) -> None:
    network = synthetic_network(config)
    save_checkpoint(network, tmp_path)
    loaded = load_network(tmp_path)
    assert loaded.config == config
    state = network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())


def test_a_configuration_file_and_weights_make_a_model(tmp_path: Path) -> None:
    files = save_checkpoint(synthetic_network(tiny.SINGLE_VIEW), tmp_path)
    config = tmp_path / 'my network.yaml'
    config.write_text(yaml.safe_dump(json.loads(files.config.read_text())['network']))
    model = DepthAnything3.from_config(config, weights=files.weights)
    assert (model.model_name, model.is_random) == ('tiny-metric', False)
    random = DepthAnything3.from_config(tiny.NESTED, seed=3)
    assert random.weights == 'random weights (seed 3)'
    assert np.isfinite(random.inference(pictures(2), process_res=RES).depth).all()
    with pytest.raises(CheckpointError, match='does not fit the network'):
        DepthAnything3.from_config(tiny.ANY_VIEW, weights=files.weights)
