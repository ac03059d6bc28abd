"""The small networks agree with the published implementation, case by case."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from da3_ros.model.heads import RayMaps
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import FusedViews, NetworkOutput
from da3_ros.model.ray_pose import cameras_from_rays
from helpers.samplers import RecordedSampler
from tools.parity.goldens import (
    GOLDEN_DIR,
    NOISE_FACTOR,
    Array,
    Golden,
    load_golden,
    max_error_to_peak,
    max_relative_error,
    max_rotation_error_rad,
)

BOUND = 1e-4
FOCAL_AND_CENTRE = ((0, 1, 0, 1), (0, 1, 2, 2))
CASES = sorted(
    path.stem
    for path in GOLDEN_DIR.glob('da3-[sb]*.npz')
    if not any(kind in path.stem for kind in ('__api_', 'saddle_sim_range', '__autocast_'))
)


@dataclass(frozen=True)
class Run:
    golden: Golden
    fused: FusedViews
    output: NetworkOutput
    rays: RayMaps | None
    encoding: Array


def run(network: AnyViewNetwork, golden: Golden) -> Run:
    options = golden.meta['opts']
    layers = options.get('export_feat_layers', ())
    use_ray_pose = options.get('use_ray_pose', False)
    cameras = [
        torch.from_numpy(golden[key]).float()[None] if key in golden else None
        for key in ('extrinsics_in', 'intrinsics_in')
    ]
    with torch.inference_mode():
        fused = network.fuse(
            network.encode(golden.pixels(), layers),
            *cameras,
            strategy=options.get('ref_view_strategy', 'saddle_balanced'),
            export_layers=layers,
        )
        output = network.decode(
            fused,
            use_ray_pose=use_ray_pose,
            sampler=RecordedSampler(golden) if use_ray_pose else None,
        )
        rays = network.dense_maps(fused, with_rays=True).rays if 'ray' in golden else None
        encoding = network.pose_encoding(fused).numpy()
    return Run(golden, fused, output, rays, encoding)


@pytest.fixture(scope='module')
def runs(request: pytest.FixtureRequest) -> dict[str, Run]:
    """Keep the result of each case for the several tests that look at it."""
    return {}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    name: str = request.param
    if name not in runs:
        preset = name.split('__')[0].removeprefix('da3-')
        runs[name] = run(request.getfixturevalue(preset), load_golden(name))
    return runs[name]


def stored(golden: Golden, field: str, values: Array) -> Array:
    step = golden.stride(field)
    return values[..., ::step, ::step, :] if field == 'ray' else values[..., ::step, ::step]


def check_outputs(run: Run) -> None:
    golden, output = run.golden, run.output
    assert output.depth_conf is not None
    assert output.extrinsics is not None
    assert output.intrinsics is not None
    for field, values in (('depth', output.depth), ('depth_conf', output.depth_conf)):
        error = max_relative_error(stored(golden, field, values.numpy()), golden[field])
        assert error <= BOUND, field
        assert error <= NOISE_FACTOR * golden.noise(field), field
    # Zero unless the cameras come from a random fit, see the README of the data.
    spread = {field: golden.spread_over_seeds(field) for field in ('extrinsics', 'intrinsics')}
    check_cameras(golden, output.extrinsics.numpy(), output.intrinsics.numpy(), spread)


def check_cameras(
    golden: Golden, extrinsics: Array, intrinsics: Array, spread: Mapping[str, float]
) -> None:
    expected = golden['extrinsics']
    rotation = max_rotation_error_rad(extrinsics[..., :3], expected[..., :3])
    assert rotation <= max(BOUND, 2 * spread['extrinsics'])
    position = np.abs(extrinsics[..., 3] - expected[..., 3]).max()
    assert position <= max(BOUND * np.abs(expected[..., 3]).max(), spread['extrinsics'])
    rows, columns = FOCAL_AND_CENTRE
    actual = intrinsics[..., rows, columns]
    matrices = golden['intrinsics'][..., rows, columns]
    if spread['intrinsics']:
        assert np.abs(actual - matrices).max() <= spread['intrinsics']
    else:
        assert max_relative_error(actual, matrices) <= BOUND


@pytest.mark.parametrize('name', [name for name in CASES if '__raypose' in name])
def test_ray_fit_on_the_references_own_rays(name: str) -> None:
    golden = load_golden(name)
    rays, confidence = torch.from_numpy(golden['ray']), torch.from_numpy(golden['ray_conf'])
    size = (golden.meta['H'], golden.meta['W'])
    extrinsics, intrinsics = cameras_from_rays(rays, confidence, size, RecordedSampler(golden))
    exactly = {'extrinsics': 0.0, 'intrinsics': 0.0}
    check_cameras(golden, extrinsics.numpy(), intrinsics.numpy(), exactly)


def test_depth_confidence_and_cameras(case: Run) -> None:
    check_outputs(case)


def test_inner_results_that_were_recorded(case: Run) -> None:
    golden = case.golden
    if 'pose_enc' in golden:
        assert max_error_to_peak(case.encoding, golden['pose_enc']) <= BOUND / 10
    if case.rays is not None:
        rays, confidence = case.rays.rays.numpy(), case.rays.confidence.numpy()
        assert max_error_to_peak(stored(golden, 'ray', rays), golden['ray']) <= BOUND / 10
        step = golden.stride('ray')
        expected = golden['ray_conf']
        assert max_relative_error(confidence[..., ::step, ::step], expected) <= BOUND / 10


def test_reference_view(case: Run) -> None:
    expected = case.golden.meta.get('ref_view', {}).get('b_idx')
    if expected is None:
        assert not case.fused.reference.any()
    else:
        assert case.fused.reference.tolist() == expected


@pytest.mark.parametrize('name', ['da3-small__feat_v3', 'da3-base__feat_v3'])
def test_exported_features_come_in_the_callers_order(
    name: str, request: pytest.FixtureRequest
) -> None:
    golden = load_golden(name)
    network = request.getfixturevalue(name.split('__')[0].removeprefix('da3-'))
    features = run(network, golden).output.aux
    reference = golden.meta['ref_view']['b_idx'][0]
    order = [reference, *(view for view in range(golden.meta['S']) if view != reference)]
    layers = golden.meta['opts']['export_feat_layers']
    assert list(features) == [f'feat_layer_{layer}' for layer in layers]
    for layer in layers:
        values = features[f'feat_layer_{layer}'].numpy()
        if layer >= network.config.backbone.alt_start:
            # The reference keeps these in the order the network used, reference view first.
            values = values[:, order]
        key = f'aux__feat_layer_{layer}__'
        assert values.shape == tuple(golden[f'{key}shape'])
        samples = values.reshape(-1)[golden[f'{key}idx']]
        assert max_error_to_peak(samples, golden[f'{key}val']) <= BOUND / 10


@pytest.mark.parametrize('preset', ['small', 'base'])
def test_sim_range_takes_either_of_two_tied_views(
    preset: str, request: pytest.FixtureRequest
) -> None:
    golden = load_golden(f'da3-{preset}__v4_saddle_sim_range')
    result = run(request.getfixturevalue(preset), golden)
    [chosen] = result.fused.reference.tolist()
    if [chosen] == golden.meta['ref_view']['b_idx']:
        check_outputs(result)
        return
    assert chosen == golden.meta['ref_view']['tie_alternative_b_idx']
    assert result.output.extrinsics is not None
    depth = result.output.depth.numpy()[..., ::2, ::2]
    assert max_relative_error(depth, golden['altref_depth']) <= BOUND
    extrinsics = result.output.extrinsics.numpy()
    assert (
        max_rotation_error_rad(extrinsics[..., :3], golden['altref_extrinsics'][..., :3]) <= BOUND
    )


@pytest.mark.parametrize('preset', ['small', 'base'])
@pytest.mark.parametrize('strategy', ['saddle_balanced', 'first', 'middle'])
def test_strategies_choose_as_recorded(
    preset: str, strategy: str, request: pytest.FixtureRequest
) -> None:
    golden = load_golden(f'da3-{preset}__v4_{strategy}')
    network: AnyViewNetwork = request.getfixturevalue(preset)
    with torch.inference_mode():
        encoded = network.encode(golden.pixels())
        chosen = network.fuse(encoded, strategy=strategy).reference.tolist()
    assert chosen == golden.meta['ref_view']['all_strategies_would_choose'][strategy]
    assert np.isin(chosen, range(golden.meta['S'])).all()
