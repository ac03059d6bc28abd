"""Kernels of other packages against ours, where they are installed."""

from importlib import import_module

import numpy as np

from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.splat_render import cpu_backend
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.splat_gsplat import gsplat_backend
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.options.choices import Precision
from tools.gpu_check.bench import bench_of, computed_in
from tools.gpu_check.part import Outcome, Settings
from tools.gpu_check.precision import LIMITS
from tools.parity.checks import BOUND, array

VIEWS = 4
GAUSSIANS = 2000
PICTURE_BOUND = 1e-3
SIZE = ImageSize(96, 128)


def run_xformers(settings: Settings, preset: str) -> Outcome:
    """Compare attention by xformers with torch's own, in float32 and in 16 bits."""
    bench = bench_of(settings)
    bench.need_cuda()
    import_module('xformers.ops')
    runner = bench.runner(preset)
    pixels = bench.pixels(VIEWS)
    found: dict[str, float] = {}
    failures = []
    choices: tuple[tuple[Precision, float], ...] = (('fp32', BOUND), ('bf16', LIMITS['bf16'][0]))
    for precision, limit in choices:
        depths = []
        for attention in ('sdpa', 'xformers'):
            with computed_in(runner, Arithmetic(precision, attention=attention)):
                depths.append(array(runner(pixels, ref_view_strategy='first').depth))
        ours, theirs = depths
        error = float(np.median(np.abs(theirs - ours) / ours))
        found[precision] = error
        if not error <= limit:
            failures.append(f'{precision}: median {error:.3g}, at most {limit:g} expected')
    text = ', '.join(f'{name} {error:.2g}' for name, error in found.items())
    return Outcome(f'median difference of depth: {text}', tuple(failures), found)


def run_gsplat(settings: Settings, subject: str) -> Outcome:
    """Compare pictures by gsplat with those of our own rasterizer on the CPU."""
    del subject
    bench = bench_of(settings)
    bench.need_cuda()
    import_module('gsplat')
    cloud, cameras = _cloud(), _cameras()
    found = {'colour': 0.0, 'alpha': 0.0}
    drawn = gsplat_backend(bench.device)(cloud)(cameras)
    for theirs, ours in zip(drawn, cpu_backend(cloud)(cameras), strict=True):
        for name in found:
            error = np.abs(getattr(theirs, name) - getattr(ours, name))
            found[name] = max(found[name], float(np.quantile(error, 0.99)))
    failures = [
        f'{name}: p99 {error:.3g}, below {PICTURE_BOUND:g} expected'
        for name, error in found.items()
        if not error < PICTURE_BOUND
    ]
    text = ', '.join(f'{name} {error:.2g}' for name, error in found.items())
    return Outcome(f'p99 of the difference: {text}', tuple(failures), found)


def _cameras() -> list[PosedCamera]:
    camera = PinholeCamera.from_focal(120, 112, 60.3, 45.6, SIZE)
    beside = np.eye(4)
    beside[:3, 3] = 0.2, -0.1, -0.3
    return [PosedCamera(np.eye(4), camera), PosedCamera(beside, camera)]


def _cloud() -> GaussianCloud:
    """Return Gaussians of all shapes before the first camera."""
    rng = np.random.default_rng(0)
    z = rng.uniform(1, 4, GAUSSIANS)
    spread = rng.uniform(-0.5, 0.5, (2, GAUSSIANS)) * z
    arrays = (
        np.stack([*spread, z], axis=1),
        np.exp(rng.normal(np.log(0.08), 0.7, (GAUSSIANS, 3))),
        rng.normal(size=(GAUSSIANS, 4)),
        rng.normal(0, 0.3, (GAUSSIANS, 3, 9)),
        rng.uniform(0.01, 1, GAUSSIANS),
    )
    means, scales, rotations, harmonics, opacities = (a.astype(np.float32) for a in arrays)
    return GaussianCloud(means, scales, rotations, harmonics, opacities, (1, 1, GAUSSIANS))
