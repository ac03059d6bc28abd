"""What 16 bits move: depth against our own float32 on the same device."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from da3_ros.inference.runner import NetworkRunner
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.backbone import Backbone
from da3_ros.model.plain.sky import SKY_SCORE
from da3_ros.options.choices import Precision
from tools.gpu_check.bench import Bench, bench_of, computed_in
from tools.gpu_check.goldens import sort_cases
from tools.gpu_check.part import Outcome, Settings
from tools.parity.cases import inputs
from tools.parity.checks import array
from tools.parity.goldens import Array, load_golden

LIMITS: dict[Precision, tuple[float, float]] = {'bf16': (3e-3, 1e-2), 'fp16': (1e-3, 5e-3)}
"""Median and 99th percentile of the relative error that are always good enough."""

AUTOCAST_SHARE = 1.2
"""Beyond the limits ours may move this many times what torch's autocast moves, which is how the
upstream code computes: some weights and images are touchier than others, whoever rounds."""

STRATEGY = 'first'
"""The choice of the reference view by content can change with the precision, and with it all
results; that is another matter than how far they move."""

PICTURE_VIEWS = 2
DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}
MEASURES = ('median', 'p99')
STAGES = ('encode', 'fuse')

Figures = dict[str, float]
_MOST_CASES_ON_CPU = 4


class Emulated(Arithmetic):
    """The same choice without regard to the device: fp16 is refused on a CPU otherwise."""

    def dtype(self, device: torch.device) -> torch.dtype:
        """Return the format that was asked for."""
        del device
        return DTYPES.get(self.precision, torch.float32)


@dataclass(frozen=True)
class Sample:
    """An input of the comparison."""

    source: str
    pixels: Tensor
    extrinsics: Tensor | None = None
    intrinsics: Tensor | None = None


@dataclass(frozen=True)
class Depth:
    """Depth, and where it was filled in because there is sky."""

    depth: Array
    is_sky: Array


def run(settings: Settings, preset: str) -> Outcome:
    """Compare both formats on the stored cases' images and on larger pictures."""
    bench = bench_of(settings)
    runner = bench.runner(preset)
    samples = [*_stored(bench, preset), Sample('pictures', bench.pixels(PICTURE_VIEWS))]
    exact = [_depth(runner, sample) for sample in samples]
    kind = Arithmetic if bench.is_cuda else Emulated
    figures: dict[str, dict[str, Figures]] = {}
    failures: list[str] = []
    for precision in LIMITS:
        with computed_in(runner, kind(precision)):
            rounded = [_depth(runner, sample) for sample in samples]
        with autocast_backbones(runner.model, bench.device, DTYPES[precision]):
            autocast = [_depth(runner, sample) for sample in samples]
        ours, theirs = (_figures(samples, exact, other) for other in (rounded, autocast))
        figures[precision] = {
            source: {**found, **{f'autocast_{key}': theirs[source][key] for key in MEASURES}}
            for source, found in ours.items()
        }
        failures += exceeded(precision, figures[precision])
    text = '; '.join(
        f'{precision} {source} median {found["median"]:.2g} p99 {found["p99"]:.2g}'
        for precision, by_source in figures.items()
        for source, found in by_source.items()
    )
    return Outcome(
        text if bench.is_cuda else f'{text} (fp16 emulated on the CPU)', tuple(failures), figures
    )


@contextmanager
def autocast_backbones(
    network: nn.Module, device: torch.device, dtype: torch.dtype
) -> Iterator[None]:
    """Run backbones as the upstream code does: float32 weights, rounded by torch's autocast."""
    backbones = [module for module in network.modules() if isinstance(module, Backbone)]

    def wrapped(stage: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            with torch.autocast(device.type, dtype=dtype):
                return stage(*arguments, **options)

        return run

    for backbone in backbones:
        for name in STAGES:
            setattr(backbone, name, wrapped(getattr(backbone, name)))
    try:
        yield
    finally:
        for backbone in backbones:
            for name in STAGES:
                # The methods of the class are found again.
                delattr(backbone, name)


def exceeded(precision: Precision, figures: Mapping[str, Figures]) -> Iterator[str]:
    """Yield what moves more than it may, one line for each."""
    for source, found in figures.items():
        for name, limit in zip(MEASURES, LIMITS[precision], strict=True):
            by_autocast = found[f'autocast_{name}']
            if not (found[name] <= limit or found[name] <= AUTOCAST_SHARE * by_autocast):
                yield (
                    f'{precision} {source}: {name} {found[name]:.3g}, at most {limit:g} expected, '
                    f'or {AUTOCAST_SHARE:g} times the {by_autocast:.3g} of autocast'
                )


def _stored(bench: Bench, preset: str) -> Iterator[Sample]:
    """Yield the different inputs of a network's cases; on a CPU the smallest few."""
    cases = [
        load_golden(name, bench.goldens)
        for name in sort_cases(bench.goldens).by_network.get(preset, [])
    ]
    cases.sort(key=lambda golden: golden['images_u8'].size)
    seen = set()
    for golden in cases if bench.is_cuda else cases[:_MOST_CASES_ON_CPU]:
        content = (golden['images_u8'].tobytes(), 'extrinsics_in' in golden)
        if content not in seen:
            seen.add(content)
            given = inputs(golden, bench.device)
            yield Sample('cases', given.pixels, given.extrinsics, given.intrinsics)


def _depth(runner: NetworkRunner, sample: Sample) -> Depth:
    known = (sample.extrinsics, sample.intrinsics)
    if not runner.capabilities.conditioning:
        known = (None, None)
    output = runner(sample.pixels, *known, ref_view_strategy=STRATEGY)
    depth = array(output.depth)
    if output.sky is None:
        return Depth(depth, np.zeros(depth.shape, bool))
    return Depth(depth, array(output.sky) >= SKY_SCORE)


def _figures(
    samples: list[Sample], exact: list[Depth], rounded: list[Depth]
) -> dict[str, Figures]:
    """Return the figures of each source of images, over all their pixels that are no sky."""
    found: dict[str, Figures] = {}
    for source in dict.fromkeys(sample.source for sample in samples):
        errors, flips, pixels = [], 0, 0
        for sample, a, b in zip(samples, exact, rounded, strict=True):
            if sample.source != source:
                continue
            ground = ~(a.is_sky | b.is_sky)
            errors.append(np.abs(b.depth - a.depth)[ground] / a.depth[ground])
            flips += int((a.is_sky != b.is_sky).sum())
            pixels += ground.size
        joined = np.concatenate(errors)
        # Without ground nothing was compared, and NaN exceeds every limit.
        median, p99 = np.quantile(joined, (0.5, 0.99)) if joined.size else (np.nan, np.nan)
        found[source] = {
            'median': float(median),
            'p99': float(p99),
            'sky_changed': flips / pixels,
            'pixels': float(joined.size),
        }
    return found
