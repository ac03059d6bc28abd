"""Scenes through a network of windows: what the API says, whatever the network computes with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from da3_ros.errors import ModelError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.torch_runtime import torch_window_network
from da3_ros.inference.scene_request import SceneRequest
from da3_ros.inference.window_pass import WindowPredictor, torch_reason
from da3_ros.model.config import NetworkConfig
from da3_ros.model.forward import DEFAULT_FORWARD
from helpers.tiny import ANY_VIEW, NESTED, SINGLE_VIEW

IMAGES = np.random.default_rng(0).integers(0, 255, (3, 28, 42, 3)).astype(np.uint8)
POSES = np.tile(np.eye(4), (3, 1, 1))
POSES[:, 0, 3] = (0.0, 2.0, 5.0)
INTRINSICS = np.tile(np.array([[30.0, 0, 21], [0, 30, 14], [0, 0, 1]]), (3, 1, 1))


@pytest.mark.parametrize('config', [ANY_VIEW, SINGLE_VIEW], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ('extrinsics', 'intrinsics'),
    [(None, None), (POSES, INTRINSICS), (POSES, None), (None, INTRINSICS)],
)
def test_a_scene_is_the_same_as_that_of_the_network_itself(
    config: NetworkConfig, extrinsics: np.ndarray | None, intrinsics: np.ndarray | None
) -> None:
    """Depth, cameras and what is said of cameras that were not used."""
    model = DepthAnything3(network=random_network(config, 0), runtime='torch')
    request = SceneRequest(IMAGES, extrinsics, intrinsics, process_res=42)
    expected = model.predict(request)
    found = WindowPredictor(torch_window_network(model), 'float32').predict(request)
    assert found.notes == expected.notes
    assert found.is_metric == expected.is_metric
    for name in ('depth', 'conf', 'sky', 'extrinsics', 'intrinsics'):
        one, other = getattr(found, name), getattr(expected, name)
        # Also of what stands in place of intrinsics that are missing.
        assert type(one) is type(other), name
        if isinstance(other, np.ndarray):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=name)


def test_what_only_torch_computes_is_named() -> None:
    gaussians = replace(DEFAULT_FORWARD, infer_gs=True)
    features = replace(DEFAULT_FORWARD, export_layers=(3,))
    rays = replace(DEFAULT_FORWARD, use_ray_pose=True)
    assert torch_reason(ANY_VIEW, DEFAULT_FORWARD) == torch_reason(SINGLE_VIEW, rays) == ''
    for options, word in ((gaussians, 'Gaussians'), (features, 'features'), (rays, 'rays')):
        assert word in torch_reason(ANY_VIEW, options)
    assert NESTED.name in torch_reason(NESTED, DEFAULT_FORWARD)
    assert 'rays' in torch_reason(replace(ANY_VIEW, camera=None), DEFAULT_FORWARD)
    model = DepthAnything3(network=random_network(ANY_VIEW, 0), runtime='torch')
    predictor = WindowPredictor(torch_window_network(model), 'float32')
    with pytest.raises(ModelError, match='needs runtime torch'):
        predictor.predict(SceneRequest(IMAGES, forward=features, process_res=42))
