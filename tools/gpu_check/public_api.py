"""The public API and the estimator of the stream on the device, with the weights that we bring."""

import os

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.types import CameraFrame, FrameSet, Window
from tools.gpu_check.bench import bench_of
from tools.gpu_check.goldens import sort_cases
from tools.gpu_check.memory import left_after
from tools.gpu_check.part import Outcome, Settings, Skipped
from tools.parity.api_cases import predict, prediction_checks
from tools.parity.cases import worst
from tools.parity.checks import BOUND, Check
from tools.parity.goldens import load_golden, max_relative_error, max_rotation_error_rad

IMAGE_SIZE = (120, 160)
_END_S = 10.0

Images = list[NDArray[np.uint8]]


def run(settings: Settings, preset: str) -> Outcome:
    """Run `inference` from images to a prediction on the device and compare it with the CPU."""
    device = bench_of(settings).device
    images = _images(2)
    expected = _model(preset, 'cpu').inference(images)
    got = _model(preset, str(device)).inference(images)
    assert got.conf is not None
    assert expected.conf is not None
    assert got.extrinsics is not None
    assert expected.extrinsics is not None
    rotation = max_rotation_error_rad(got.extrinsics[..., :3], expected.extrinsics[..., :3])
    checks = [
        Check('depth', max_relative_error(got.depth, expected.depth), BOUND),
        Check('confidence', max_relative_error(got.conf, expected.conf), BOUND),
        Check('rotation (rad)', rotation, BOUND),
    ]
    near = _model(preset, str(device), 'auto').inference(images)
    moved = float(np.median(np.abs(near.depth - expected.depth) / expected.depth))
    return _outcome(checks, {'auto_median': moved})


def run_engine(settings: Settings, preset: str) -> Outcome:
    """Let the estimator answer a window on the device and compare it with the CPU."""
    device = bench_of(settings).device
    got, expected = (
        Da3Estimator(_model(preset, str(place))).estimate(_window()).views
        for place in (device, 'cpu')
    )
    checks = []
    for index, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        assert ours.depth is not None
        assert theirs.depth is not None
        depth = max_relative_error(ours.depth, theirs.depth)
        pose = float(np.abs(ours.window_from_camera - theirs.window_from_camera).max())
        peak = max(1.0, float(np.abs(theirs.window_from_camera).max()))
        checks += [
            Check(f'depth of view {index}', depth, BOUND),
            Check(f'pose of view {index}', pose, BOUND * peak),
        ]
    return _outcome(checks, {})


def run_node_release(settings: Settings, subject: str) -> Outcome:
    """Use and let go of an estimator as the node's worker does."""
    del subject
    bench = bench_of(settings)
    bench.need_cuda()
    from da3_ros.ros.node.process_memory import return_freed_memory
    from da3_ros.ros.node.worker import Worker

    def use() -> None:
        estimator = Da3Estimator(_model('da3-nano', str(bench.device), 'auto'))
        worker = Worker(estimator, lambda counts: None, lambda: False)
        worker.ask(
            'a part of the check', lambda network: network.estimate(_window()), lambda: False
        )
        worker.close(_END_S)

    return left_after(use, return_freed_memory)


def run_goldens(settings: Settings, preset: str) -> Outcome:
    """Compare the stored runs of the public API."""
    bench = bench_of(settings)
    names = sort_cases(bench.goldens).api
    if not names:
        raise Skipped(f'no run of the public API in {bench.goldens}')
    model = DepthAnything3(network=bench.network(preset), precision='fp32')
    checks = []
    for name in names:
        golden = load_golden(name, bench.goldens)
        found = prediction_checks(
            golden, predict(model, golden), strict=not bench.is_cuda, folder=bench.goldens
        )
        checks += [
            Check(f'{name.partition("__")[2]} {check.what}', check.measured, check.bound)
            for check in found
        ]
    return _outcome(checks, {})


def _outcome(checks: list[Check], figures: dict[str, float]) -> Outcome:
    failures = tuple(str(check) for check in checks if not check.holds)
    measured = {check.what: check.measured for check in checks}
    return Outcome(f'nearest to a bound: {worst(checks)}', failures, {**measured, **figures})


def _model(preset: str, device: str, precision: str = 'fp32') -> DepthAnything3:
    # The weights lie beside the code; nothing is to be looked for elsewhere.
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    return DepthAnything3.from_pretrained(
        preset,
        map_location=device,
        precision=precision,  # type: ignore[arg-type]
    )


def _images(count: int) -> Images:
    rng = np.random.default_rng(3)
    height, width = IMAGE_SIZE
    ramp = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    return [
        np.clip(ramp + rng.normal(0, 20, ramp.shape), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


def _window() -> Window:
    size = ImageSize(*IMAGE_SIZE)
    camera = PinholeCamera.from_focal(150, 150, 79.5, 59.5, size)
    frames = tuple(
        CameraFrame(name, 100, f'{name}_optical_frame', image, camera)
        for name, image in zip(('left', 'right'), _images(2), strict=True)
    )
    return Window(0, (FrameSet(100, frames),), 1)
