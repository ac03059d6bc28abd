"""The small networks agree with the upstream implementation, case by case."""

import numpy as np
import pytest
import torch

from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.ray_pose import cameras_from_rays
from tools.parity.cases import (
    Run,
    output_checks,
    reference_check,
    run_stages,
    stage_checks,
    tied_checks,
)
from tools.parity.checks import camera_checks, feature_checks, require
from tools.parity.goldens import GOLDEN_DIR, load_golden
from tools.parity.samplers import RecordedSampler

CASES = sorted(
    path.stem
    for path in GOLDEN_DIR.glob('da3-[sb]*.npz')
    if not any(kind in path.stem for kind in ('__api_', 'saddle_sim_range', '__autocast_'))
)


@pytest.fixture(scope='module')
def runs(request: pytest.FixtureRequest) -> dict[str, Run]:
    """Keep the result of each case for the several tests that look at it."""
    return {}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    name: str = request.param
    if name not in runs:
        preset = name.split('__')[0].removeprefix('da3-')
        runs[name] = run_stages(request.getfixturevalue(preset), load_golden(name))
    return runs[name]


@pytest.mark.parametrize('name', [name for name in CASES if '__raypose' in name])
def test_ray_fit_on_the_references_own_rays(name: str) -> None:
    golden = load_golden(name)
    rays, confidence = torch.from_numpy(golden['ray']), torch.from_numpy(golden['ray_conf'])
    size = (golden.meta['H'], golden.meta['W'])
    cameras = cameras_from_rays(rays, confidence, size, RecordedSampler(golden))
    require(camera_checks(golden, *cameras, exact_fit=True))


def test_depth_confidence_and_cameras(case: Run) -> None:
    assert min(case.golden.noise(field) for field in ('depth', 'depth_conf')) > 0
    require(output_checks(case.golden, case.output, strict=True))


def test_inner_results_that_were_recorded(case: Run) -> None:
    require(stage_checks(case, strict=True))


def test_reference_view(case: Run) -> None:
    require([reference_check(case)])


@pytest.mark.parametrize('name', ['da3-small__feat_v3', 'da3-base__feat_v3'])
def test_exported_features_come_in_the_callers_order(
    name: str, request: pytest.FixtureRequest
) -> None:
    golden = load_golden(name)
    network: AnyViewNetwork = request.getfixturevalue(name.split('__')[0].removeprefix('da3-'))
    assert golden.meta['opts']['export_feat_layers']
    output = run_stages(network, golden).output
    require(feature_checks(golden, output, network.config.backbone.alt_start, strict=True))


@pytest.mark.parametrize('preset', ['small', 'base'])
def test_sim_range_takes_either_of_two_tied_views(
    preset: str, request: pytest.FixtureRequest
) -> None:
    golden = load_golden(f'da3-{preset}__v4_saddle_sim_range')
    require(tied_checks(run_stages(request.getfixturevalue(preset), golden), strict=True))


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
