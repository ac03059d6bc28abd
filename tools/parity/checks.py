"""A figure beside its bound, and the comparison of a network's results with a stored case."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from da3_ros.model.outputs import Gaussians, NetworkOutput
from tools.parity.goldens import (
    NOISE_FACTOR,
    Array,
    Golden,
    max_error_to_peak,
    max_relative_error,
    max_rotation_error_rad,
)

BOUND = 1e-4
GAUSSIAN_BOUND = 1e-3
INNER_SHARE = 0.1
"""What lies before the results has a bound this many times as large, where it is strict."""

GAUSSIAN_FIELDS = ('means', 'scales', 'rotations', 'harmonics', 'opacities')
FOCAL_AND_CENTRE = ((0, 1, 0, 1), (0, 1, 2, 2))


@dataclass(frozen=True)
class Check:
    """One comparison."""

    what: str
    measured: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the figure is within its bound; one that is no number is not."""
        return self.measured <= self.bound

    def __str__(self) -> str:
        """Return what was compared, the figure and its bound."""
        return f'{self.what} {self.measured:.3g} (bound {self.bound:.3g})'


def require(checks: Iterable[Check]) -> None:
    """Raise AssertionError that names every check that does not hold."""
    broken = [str(check) for check in checks if not check.holds]
    assert not broken, '; '.join(broken)


def exactly(what: str, actual: object, expected: object) -> Check:
    """Return the check that two values are equal."""
    return Check(f'{what} {actual} for {expected}', float(actual != expected), 0.0)


def array(values: Tensor) -> Array:
    """Return a tensor of any device as an array."""
    found: Array = values.detach().cpu().numpy()
    return found


def stored(golden: Golden, field: str, values: Array) -> Array:
    """Return the rows and columns of a field that a case has stored."""
    step = golden.stride(field)
    return values[..., ::step, ::step, :] if field == 'ray' else values[..., ::step, ::step]


def map_check(golden: Golden, field: str, values: Tensor, *, strict: bool) -> Check:
    """Compare a map (depth, confidence, sky).

    Args:
        golden: The case.
        field: Name of the map in it.
        values: Our map at full size.
        strict: Bound it by the reference's own noise, too: right on the kind of device that the
            reference ran on.
    """
    # The sky score is zero in places, where only its error against the largest score means much.
    measure = max_error_to_peak if field.endswith('sky') else max_relative_error
    error = measure(stored(golden, field, array(values)), golden[field])
    return Check(field, error, bound_of(golden, field, BOUND, strict=strict))


def camera_checks(
    golden: Golden, extrinsics: Tensor, intrinsics: Tensor, *, exact_fit: bool = False
) -> list[Check]:
    """Compare cameras.

    Args:
        golden: The case.
        extrinsics: Ours, (..., 3, 4).
        intrinsics: Ours, (..., 3, 3).
        exact_fit: A random fit had the reference's own input, so that its spread over other
            seeds is no excuse.
    """
    # Zero unless the cameras come from a random fit, see the README of the data.
    spread, spread_px = (
        0.0 if exact_fit else golden.spread_over_seeds(field)
        for field in ('extrinsics', 'intrinsics')
    )
    poses, expected = array(extrinsics), golden['extrinsics']
    peak = float(np.abs(expected[..., 3]).max())
    rows, columns = FOCAL_AND_CENTRE
    matrices, all_px = array(intrinsics), golden['intrinsics']
    actual_px, expected_px = matrices[..., rows, columns], all_px[..., rows, columns]
    checks = [
        Check(
            'rotation (rad)',
            max_rotation_error_rad(poses[..., :3], expected[..., :3]),
            max(BOUND, 2 * spread),
        ),
        Check(
            'position',
            float(np.abs(poses[..., 3] - expected[..., 3]).max()),
            max(BOUND * peak, spread),
        ),
    ]
    if spread_px:
        error = float(np.abs(actual_px - expected_px).max())
        return [*checks, Check('intrinsics (px)', error, spread_px)]
    return [
        *checks,
        Check('intrinsics', max_relative_error(actual_px, expected_px), BOUND),
        Check('whole intrinsics', max_error_to_peak(matrices, all_px), BOUND),
    ]


def feature_checks(
    golden: Golden, output: NetworkOutput, alt_start: int, *, strict: bool
) -> Iterator[Check]:
    """Compare exported features; ours come in the caller's order.

    Args:
        golden: The case.
        output: Our result.
        alt_start: First block that sees other views.
        strict: As in `map_check`.
    """
    layers = golden.meta['opts'].get('export_feat_layers', ())
    yield exactly('features', list(output.aux), [f'feat_layer_{layer}' for layer in layers])
    order = reference_first(golden, golden.meta['S'])
    for layer in layers:
        values = array(output.aux[f'feat_layer_{layer}'])
        if layer >= alt_start:
            # The reference keeps these in the order the network used, reference view first.
            values = values[:, order]
        key = f'aux__feat_layer_{layer}__'
        yield exactly(f'shape of features {layer}', values.shape, tuple(golden[f'{key}shape']))
        yield inner_check(
            f'features {layer}',
            values.reshape(-1)[golden[f'{key}idx']],
            golden[f'{key}val'],
            strict=strict,
        )


def reference_first(golden: Golden, views: int) -> Sequence[int]:
    """Return the order in which the network saw a scene's views."""
    first = (golden.meta.get('ref_view', {}).get('b_idx') or [0])[0]
    return [first, *(view for view in range(views) if view != first)]


def inner_check(what: str, actual: Array, expected: Array, *, strict: bool) -> Check:
    """Compare what lies before the results with its largest value."""
    return Check(what, max_error_to_peak(actual, expected), inner_bound(strict=strict))


def inner_bound(*, strict: bool) -> float:
    """Return the bound of what lies before the results."""
    return BOUND * INNER_SHARE if strict else BOUND


def gaussian_checks(
    golden: Golden, gaussians: Gaussians | None, *, strict: bool, what: str = 'gaussians'
) -> Iterator[Check]:
    """Compare the Gaussians that a case has stored, in the any-view network's unit."""
    if gaussians is None:
        yield exactly(what, None, 'some')
        return
    yield exactly(f'number of {what}', gaussians.means.shape[1], golden.meta['gs_total'])
    for field in GAUSSIAN_FIELDS:
        actual = array(getattr(gaussians, field))[:, golden['gs__idx']]
        error = max_error_to_peak(actual, golden[f'gs__{field}'])
        bound = bound_of(golden, f'gs__{field}', GAUSSIAN_BOUND, strict=strict)
        yield Check(f'{field} of {what}', error, bound)


def bound_of(golden: Golden, field: str, bound: float, *, strict: bool) -> float:
    """Return the bound of a field; a strict one knows the reference's own noise."""
    noise = golden.noise(field)
    return min(bound, NOISE_FACTOR * noise) if strict and noise > 0 else bound
