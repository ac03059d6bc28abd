"""Stored cases run through our networks, on any device; one implementation for tests and tools.

A network is called bare here: on CUDA the caller sees to it that float32 products are no TF32
(`inference.tf32.float32_products`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
import math

import numpy as np
import torch
from torch import Tensor

from da3_ros.model.build import Network
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.heads import RayMaps
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import FusedViews, NetworkOutput
from da3_ros.model.plain.sky import SKY_SCORE
from da3_ros.model.single_view import SingleViewNetwork
from tools.parity.checks import (
    BOUND,
    Check,
    array,
    camera_checks,
    exactly,
    feature_checks,
    gaussian_checks,
    inner_bound,
    inner_check,
    map_check,
    stored,
)
from tools.parity.goldens import (
    Golden,
    max_error_to_peak,
    max_relative_error,
    max_rotation_error_rad,
)
from tools.parity.samplers import RecordedSampler

KNOWN_OPTIONS = frozenset(('export_feat_layers', 'infer_gs', 'ref_view_strategy', 'use_ray_pose'))
SCALE_BOUND = 1e-5


@dataclass(frozen=True)
class Inputs:
    """What goes into a network in a case."""

    pixels: Tensor
    extrinsics: Tensor | None
    intrinsics: Tensor | None
    options: ForwardOptions


@dataclass(frozen=True)
class Run:
    """A case after an any-view network, with what lies between its stages."""

    golden: Golden
    fused: FusedViews
    output: NetworkOutput
    rays: RayMaps | None
    encoding: Tensor


def is_network_case(golden: Golden) -> bool:
    """Return whether a golden holds input and output of a network alone, all of it understood."""
    options = golden.meta.get('opts')
    return (
        isinstance(options, dict)
        and KNOWN_OPTIONS.issuperset(options)
        and {'B', 'S', 'H', 'W', 'preset'} <= set(golden.meta)
        and 'images_u8' in golden
        and 'depth' in golden
    )


def inputs(golden: Golden, device: torch.device | None = None) -> Inputs:
    """Return the input of a case on a device, the CPU when None."""
    options = golden.meta['opts']
    extrinsics, intrinsics = (
        torch.from_numpy(golden[key]).float()[None].to(device) if key in golden else None
        for key in ('extrinsics_in', 'intrinsics_in')
    )
    return Inputs(
        golden.pixels().to(device),
        extrinsics,
        intrinsics,
        ForwardOptions(
            export_layers=tuple(options.get('export_feat_layers', ())),
            infer_gs=options.get('infer_gs', False),
            use_ray_pose=options.get('use_ray_pose', False),
            ref_view_strategy=options.get('ref_view_strategy', 'saddle_balanced'),
            ray_sampler=RecordedSampler(golden) if options.get('use_ray_pose') else None,
        ),
    )


@torch.inference_mode()
def run_stages(network: AnyViewNetwork, golden: Golden) -> Run:
    """Run a case stage by stage on the network's device."""
    given = inputs(golden, next(network.parameters()).device)
    options = given.options
    fused = network.fuse(
        network.encode(given.pixels, options.export_layers),
        given.extrinsics,
        given.intrinsics,
        strategy=options.ref_view_strategy,
        export_layers=options.export_layers,
    )
    output = network.decode(fused, use_ray_pose=options.use_ray_pose, sampler=options.ray_sampler)
    rays = network.dense_maps(fused, with_rays=True).rays if 'ray' in golden else None
    return Run(golden, fused, output, rays, network.pose_encoding(fused))


@torch.inference_mode()
def run_forward(network: AnyViewNetwork, golden: Golden) -> NetworkOutput:
    """Run a case in one call on the network's device."""
    given = inputs(golden, next(network.parameters()).device)
    return network(  # type: ignore[no-any-return]
        given.pixels, given.extrinsics, given.intrinsics, given.options
    )


def case_checks(network: Network, golden: Golden, *, strict: bool) -> list[Check]:
    """Run a case on the network's device and compare all that it has stored.

    Args:
        network: The case's network with synthetic weights in float32.
        golden: A case for which `is_network_case` holds.
        strict: Bound results by the reference's own noise, too, see `checks.map_check`.
    """
    if isinstance(network, SingleViewNetwork):
        return list(single_view_checks(network, golden, strict=strict))
    if isinstance(network, NestedNetwork):
        return list(nested_checks(network, golden, strict=strict))
    run = run_stages(network, golden)
    checks = tied_checks(run, strict=strict)
    if golden.meta['opts'].get('infer_gs'):
        checks += any_view_checks(
            golden, run_forward(network, golden), _alt_start(network), strict=strict
        )
    elif golden.meta['opts'].get('export_feat_layers'):
        checks += feature_checks(golden, run.output, _alt_start(network), strict=strict)
    return checks


def tied_checks(run: Run, *, strict: bool) -> list[Check]:
    """Compare results; where two views are tied as reference, either of two answers is right."""
    golden, found = run.golden, run.fused.reference.tolist()
    if 'altref_depth' not in golden or found == golden.meta['ref_view']['b_idx']:
        return [
            *output_checks(golden, run.output, strict=strict),
            *stage_checks(run, strict=strict),
            reference_check(run),
        ]
    assert run.output.extrinsics is not None
    depth = array(run.output.depth)[..., ::2, ::2]
    poses, expected = array(run.output.extrinsics), golden['altref_extrinsics']
    return [
        exactly('reference view', found, [golden.meta['ref_view']['tie_alternative_b_idx']]),
        Check('depth', max_relative_error(depth, golden['altref_depth']), BOUND),
        Check(
            'rotation (rad)',
            max_rotation_error_rad(poses[..., :3], expected[..., :3]),
            BOUND,
        ),
    ]


def output_checks(golden: Golden, output: NetworkOutput, *, strict: bool) -> list[Check]:
    """Compare depth, confidence and cameras."""
    assert output.depth_conf is not None
    assert output.extrinsics is not None
    assert output.intrinsics is not None
    return [
        map_check(golden, 'depth', output.depth, strict=strict),
        map_check(golden, 'depth_conf', output.depth_conf, strict=strict),
        *camera_checks(golden, output.extrinsics, output.intrinsics),
    ]


def any_view_checks(
    golden: Golden, output: NetworkOutput, alt_start: int, *, strict: bool
) -> Iterator[Check]:
    """Compare all results of an any-view network.

    Args:
        golden: The case.
        output: Our result.
        alt_start: First block that sees other views.
        strict: As in `case_checks`.
    """
    yield from output_checks(golden, output, strict=strict)
    yield from feature_checks(golden, output, alt_start, strict=strict)
    if golden.meta['opts'].get('infer_gs'):
        yield from gaussian_checks(golden, output.gaussians, strict=strict)


def stage_checks(run: Run, *, strict: bool) -> Iterator[Check]:
    """Compare what lies between the stages, as far as it was stored."""
    golden = run.golden
    if 'pose_enc' in golden:
        yield inner_check('pose encoding', array(run.encoding), golden['pose_enc'], strict=strict)
    if run.rays is None:
        return
    rays, confidence = array(run.rays.rays), array(run.rays.confidence)
    yield inner_check('rays', stored(golden, 'ray', rays), golden['ray'], strict=strict)
    step = golden.stride('ray')
    error = max_relative_error(confidence[..., ::step, ::step], golden['ray_conf'])
    yield Check('confidence of rays', error, inner_bound(strict=strict))


def reference_check(run: Run) -> Check:
    """Return the check that the reference view is the recorded one, the first where none is."""
    found = run.fused.reference.tolist()
    expected = run.golden.meta.get('ref_view', {}).get('b_idx')
    return exactly('reference view', found, [0] * len(found) if expected is None else expected)


@torch.inference_mode()
def single_view_checks(
    network: SingleViewNetwork, golden: Golden, *, strict: bool
) -> Iterator[Check]:
    """Run a case of a single-view network and compare it."""
    given = inputs(golden, next(network.parameters()).device)
    head = network.decode(network.encode(given.pixels)).depth[None]
    yield map_check(golden, 'head_depth', head, strict=strict)
    output = network(given.pixels, options=given.options)
    yield map_check(golden, 'depth', output.depth, strict=strict)
    yield map_check(golden, 'sky', output.sky, strict=strict)
    yield from feature_checks(golden, output, network.config.backbone.depth, strict=strict)
    step = golden.stride('sky')
    filled = array(output.depth)[..., ::step, ::step][golden['sky'] >= SKY_SCORE]
    yield exactly('depths of the sky', len(np.unique(filled)), 1)


@torch.inference_mode()
def nested_checks(network: NestedNetwork, golden: Golden, *, strict: bool) -> Iterator[Check]:
    """Run a case of the nested network and compare it and both its parts."""
    given = inputs(golden, next(network.parameters()).device)
    geometry = network.da3(given.pixels, given.extrinsics, given.intrinsics, given.options)
    metric = network.da3_metric(given.pixels)
    yield map_check(golden, 'nested_da3_depth', geometry.depth, strict=strict)
    yield map_check(golden, 'nested_da3_conf', geometry.depth_conf, strict=strict)
    yield map_check(golden, 'nested_metric_depth', metric.depth, strict=strict)
    yield map_check(golden, 'nested_metric_sky', metric.sky, strict=strict)
    error = max_error_to_peak(array(geometry.extrinsics), golden['nested_da3_extrinsics'])
    yield Check('any-view extrinsics', error, BOUND)

    output = network.combine(geometry, metric)
    assert output.scale_factor is not None
    expected = float(golden['scale_factor'])
    error = abs(float(output.scale_factor[0]) - expected) / abs(expected)
    yield Check('metres per unit', error, SCALE_BOUND if strict else BOUND)
    yield exactly('is_metric', output.is_metric.tolist(), [bool(golden['is_metric'])])
    yield exactly('sky is that of the metric network', output.sky is metric.sky, True)
    yield from output_checks(golden, output, strict=strict)
    if not given.options.infer_gs:
        return
    # The reference leaves the Gaussians in the any-view network's unit.
    yield from gaussian_checks(golden, geometry.gaussians, strict=strict)
    scaled = output.gaussians
    back = None if scaled is None else scaled.scaled(1 / output.scale_factor)
    yield from gaussian_checks(golden, back, strict=strict, what='Gaussians in metres')


def worst(checks: list[Check]) -> Check:
    """Return the check that comes nearest to its bound or exceeds it most."""
    return max(checks, key=_share)


def _share(check: Check) -> float:
    if math.isnan(check.measured):
        return math.inf
    if check.bound == 0:
        return math.inf if check.measured else 0.0
    return check.measured / check.bound


def _alt_start(network: AnyViewNetwork) -> int:
    return network.config.backbone.alt_start
