"""The large networks agree with the published implementation, case by case.

The single-view networks are tested always. The others need minutes or up to 7 GB of memory for
their synthetic weights and are left out unless asked for: `pytest -m slow`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.model.build import Network
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import Gaussians, NetworkOutput
from da3_ros.model.presets import PRESETS
from da3_ros.model.single_view import SingleViewNetwork
from tools.parity.goldens import (
    NOISE_FACTOR,
    Array,
    Golden,
    load_golden,
    max_error_to_peak,
    max_relative_error,
    max_rotation_error_rad,
)
from tools.parity.synthetic_weights import synthetic_network

BOUND = 1e-4
GAUSSIAN_BOUND = 1e-3
GAUSSIAN_FIELDS = ('means', 'scales', 'rotations', 'harmonics', 'opacities')
FEATURE_ERROR = 1e-5


Networks = Callable[[str], Network]


@pytest.fixture(scope='module')
def networks() -> Networks:
    """Return what builds networks; it keeps one of them at a time."""
    kept: dict[str, Network] = {}

    def build(preset: str) -> Network:
        # Both single-view networks have the same synthetic weights: names and shapes are equal.
        preset = 'da3mono-large' if preset == 'da3metric-large' else preset
        if preset not in kept:
            kept.clear()
            kept[preset] = synthetic_network(PRESETS[preset])
        return kept[preset]

    return build


@dataclass(frozen=True)
class Inputs:
    pixels: Tensor
    extrinsics: Tensor | None
    intrinsics: Tensor | None
    layers: tuple[int, ...]
    infer_gs: bool


def inputs(golden: Golden) -> Inputs:
    options = golden.meta['opts']
    extrinsics, intrinsics = (
        torch.from_numpy(golden[key]).float()[None] if key in golden else None
        for key in ('extrinsics_in', 'intrinsics_in')
    )
    return Inputs(
        golden.pixels(),
        extrinsics,
        intrinsics,
        tuple(options.get('export_feat_layers', ())),
        options.get('infer_gs', False),
    )


def check_map(golden: Golden, field: str, values: Tensor) -> None:
    step = golden.stride(field)
    actual = values.numpy()[..., ::step, ::step]
    # The sky score is zero in places, where only its error against the largest score means much.
    measure = max_error_to_peak if field.endswith('sky') else max_relative_error
    error = measure(actual, golden[field])
    assert error <= BOUND, (field, error)
    if golden.noise(field) > 0:
        assert error <= NOISE_FACTOR * golden.noise(field), (field, error)


def check_cameras(golden: Golden, output: NetworkOutput) -> None:
    assert output.extrinsics is not None
    assert output.intrinsics is not None
    extrinsics, expected = output.extrinsics.numpy(), golden['extrinsics']
    assert max_rotation_error_rad(extrinsics[..., :3], expected[..., :3]) <= BOUND
    assert max_error_to_peak(extrinsics[..., 3], expected[..., 3]) <= BOUND
    assert max_error_to_peak(output.intrinsics.numpy(), golden['intrinsics']) <= BOUND


def check_features(golden: Golden, output: NetworkOutput) -> None:
    for layer in golden.meta['opts'].get('export_feat_layers', ()):
        key = f'aux__feat_layer_{layer}__'
        values = output.aux[f'feat_layer_{layer}'].numpy()
        assert values.shape == tuple(golden[f'{key}shape'])
        samples = values.reshape(-1)[golden[f'{key}idx']]
        assert max_error_to_peak(samples, golden[f'{key}val']) <= FEATURE_ERROR


def check_gaussians(golden: Golden, gaussians: Gaussians | None) -> None:
    assert gaussians is not None
    assert gaussians.means.shape[1] == golden.meta['gs_total']
    for field in GAUSSIAN_FIELDS:
        actual: Array = getattr(gaussians, field).numpy()[:, golden['gs__idx']]
        expected = golden[f'gs__{field}']
        assert actual.shape == expected.shape
        error = max_error_to_peak(actual, expected)
        assert error <= GAUSSIAN_BOUND, (field, error)
        assert error <= NOISE_FACTOR * golden.noise(f'gs__{field}'), (field, error)


@pytest.mark.parametrize(
    'name',
    ['da3mono-large__v1', 'da3mono-large__v2', 'da3metric-large__v1', 'da3metric-large__v2'],
)
@torch.inference_mode()
def test_single_view_networks(name: str, networks: Networks) -> None:
    golden = load_golden(name)
    network = networks(golden.meta['preset'])
    assert isinstance(network, SingleViewNetwork)
    given = inputs(golden)
    encoded = network.encode(given.pixels)
    check_map(golden, 'head_depth', network.decode(encoded).depth[None])
    output = network(given.pixels, export_layers=given.layers)
    assert output.sky is not None
    check_map(golden, 'depth', output.depth)
    check_map(golden, 'sky', output.sky)
    check_features(golden, output)
    is_sky = golden['sky'] >= 0.3
    assert len(np.unique(output.depth.numpy()[is_sky])) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    'name',
    [
        'da3-large__v2',
        'da3-large__posecond_feat_v3',
        'da3-giant__v2_gs',
        'da3-giant__posecond_gs_v3',
    ],
)
@torch.inference_mode()
def test_any_view_networks(name: str, networks: Networks) -> None:
    golden = load_golden(name)
    network = networks(golden.meta['preset'])
    assert isinstance(network, AnyViewNetwork)
    given = inputs(golden)
    output = network(
        given.pixels,
        given.extrinsics,
        given.intrinsics,
        export_layers=given.layers,
        infer_gs=given.infer_gs,
    )
    assert output.depth_conf is not None
    check_map(golden, 'depth', output.depth)
    check_map(golden, 'depth_conf', output.depth_conf)
    check_cameras(golden, output)
    check_features(golden, output)
    if given.infer_gs:
        check_gaussians(golden, output.gaussians)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    'name', ['da3nested-giant-large__v3', 'da3nested-giant-large__posecond_gs_v3']
)
@torch.inference_mode()
def test_nested_network(name: str, networks: Networks) -> None:
    golden = load_golden(name)
    network = networks('da3nested-giant-large')
    assert isinstance(network, NestedNetwork)
    given = inputs(golden)
    geometry = network.da3(
        given.pixels, given.extrinsics, given.intrinsics, infer_gs=given.infer_gs
    )
    metric = network.da3_metric(given.pixels)
    assert geometry.depth_conf is not None
    assert geometry.extrinsics is not None
    assert metric.sky is not None
    check_map(golden, 'nested_da3_depth', geometry.depth)
    check_map(golden, 'nested_da3_conf', geometry.depth_conf)
    check_map(golden, 'nested_metric_depth', metric.depth)
    check_map(golden, 'nested_metric_sky', metric.sky)
    error = max_error_to_peak(geometry.extrinsics.numpy(), golden['nested_da3_extrinsics'])
    assert error <= BOUND

    output = network.combine(geometry, metric)
    assert output.depth_conf is not None
    assert output.scale_factor is not None
    assert float(output.scale_factor[0]) == pytest.approx(float(golden['scale_factor']), rel=1e-5)
    assert output.is_metric.tolist() == [bool(golden['is_metric'])]
    assert output.sky is metric.sky
    check_map(golden, 'depth', output.depth)
    check_map(golden, 'depth_conf', output.depth_conf)
    check_cameras(golden, output)
    if given.infer_gs:
        # The reference leaves the Gaussians in the any-view network's unit.
        check_gaussians(golden, geometry.gaussians)
        assert output.gaussians is not None
        check_gaussians(golden, output.gaussians.scaled(1 / output.scale_factor))
