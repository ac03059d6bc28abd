"""The work that is done, counted: floating-point operations, and calls of every stage.

Counts are the same on every machine, however busy it is. Operations are counted on the device
without numbers, for networks of real size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import torch
from torch import Tensor

from benchmarks.compare.flops import count_flops
from da3_ros.inference import engine, preprocess
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.preprocess import ImageLike, ResizedImage
from da3_ros.inference.runtimes import torch_stages
from da3_ros.inference.runtimes.stages import EncodedView, FusedWindow, InputCameras, Maps
from da3_ros.inference.runtimes.torch_stages import TorchAnyView
from da3_ros.inference.staged_network import StagedNetwork
from da3_ros.inference.window_network import WindowRequest
from da3_ros.model.build import build_network
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import PRESETS
from da3_ros.types import CameraFrame, FrameSet, Window
from helpers import tiny

SIZE = (280, 504)

OFFICIAL_GFLOP = {
    'da3-small': {1: 69.54, 4: 316.51, 8: 735.22},
    'da3-base': {1: 251.35, 4: 1082.05, 8: 2368.51},
    'da3-large': {1: 907.90, 4: 3836.00, 8: 8217.09},
    'da3-giant': {1: 2186.70, 4: 9283.37, 8: 19997.61},
}
"""Of one forward pass of the official code over so many views of `SIZE`, counted by
`benchmarks/compare/flops.py` in it (revision 2c21ea8)."""


# ---- operations


@cache
def on_meta(preset: str) -> AnyViewNetwork:
    """Return a network without numbers."""
    with torch.device('meta'):
        network = build_network(PRESETS[preset]).to('meta')
    assert isinstance(network, AnyViewNetwork)
    return network.requires_grad_(False).eval()


@pytest.fixture
def _no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime work with tensors that have none: zeros come to the host."""

    def zeros(values: Tensor) -> NDArray[np.float32]:
        return np.zeros(tuple(values.shape), np.float32)

    monkeypatch.setattr(torch_stages, 'on_host', zeros)
    # Always the oldest view is the reference: with every window it is another one, so that two
    # views get another role.
    monkeypatch.setattr(Tensor, '__int__', lambda _: 0)


def gflop_of_window(preset: str, length: int, stride: int) -> float:
    """Return the operations of a window in the steady state, depth of its new views wanted."""
    network = StagedNetwork(TorchAnyView(on_meta(preset)), model_name=preset)
    images = np.zeros((length, *SIZE, 3), np.uint8)
    wanted = tuple(range(length - stride, length))

    def step(number: int) -> None:
        first = number * stride
        keys = tuple(range(first, first + length))
        network.run(WindowRequest(images, keys=keys, wanted=wanted))

    step(0)
    return count_flops(lambda: step(1)) / 1e9


@pytest.mark.parametrize(
    ('preset', 'views', 'limit'),
    [('da3-small', 1, 0.75), ('da3-base', 4, 0.75)],
)
def test_operations_of_one_forward_pass(preset: str, views: int, limit: float) -> None:
    network, images = on_meta(preset), torch.zeros(1, views, 3, *SIZE, device='meta')
    ours = count_flops(lambda: network(images)) / 1e9
    assert ours / OFFICIAL_GFLOP[preset][views] <= limit


@pytest.mark.usefixtures('_no_numbers')
@pytest.mark.parametrize(
    ('preset', 'length', 'limit'),
    [
        ('da3-small', 8, 0.47),
        ('da3-base', 8, 0.42),
        ('da3-giant', 8, 0.62),
        ('da3-small', 4, 0.47),
        pytest.param('da3-large', 8, 0.43, marks=pytest.mark.slow),
        pytest.param('da3-base', 4, 0.44, marks=pytest.mark.slow),
    ],
)
def test_operations_of_a_steady_window(preset: str, length: int, limit: float) -> None:
    ours = gflop_of_window(preset, length, 1)
    assert ours / OFFICIAL_GFLOP[preset][length] <= limit


def test_the_counter_knows_attention_and_what_is_fused() -> None:
    x, kernel = torch.zeros(5, 16), torch.zeros(24, 16)
    heads = torch.zeros(1, 2, 6, 8)
    attention = torch.nn.functional.scaled_dot_product_attention
    assert count_flops(lambda: torch.nn.functional.linear(x, kernel)) == 2 * 5 * 16 * 24
    assert count_flops(lambda: attention(heads, heads, heads)) == 4 * 2 * 6 * 6 * 8


# ---- calls of the stages


class Counting:
    """A runtime that counts how many views go through its stages."""

    def __init__(self, runtime: TorchAnyView) -> None:
        self._runtime = runtime
        self.config = runtime.config
        self.name = runtime.name
        self.device = runtime.device
        self.calls: Counter[str] = Counter()
        self.views: Counter[str] = Counter()

    def encode(self, images: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        self._count('encode', len(images))
        return self._runtime.encode(images)

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        self._count('fuse', len(views))
        return self._runtime.fuse(views, cameras, strategy=strategy, wanted=wanted)

    def decode(self, fused: FusedWindow) -> Maps:
        self._count('decode', len(fused.wanted))
        return self._runtime.decode(fused)

    def taken(self) -> dict[str, tuple[int, int]]:
        """Return calls and views of every stage since the last time."""
        found = {stage: (count, self.views[stage]) for stage, count in self.calls.items()}
        self.calls.clear()
        self.views.clear()
        return found

    def _count(self, stage: str, views: int) -> None:
        self.calls[stage] += 1
        self.views[stage] += views


def frame_set(index: int, cameras: Sequence[str]) -> FrameSet:
    """Return a set of grainy pictures; the same for the same index."""
    stamp_ns = (1 + index) * 100_000_000
    images = np.random.default_rng(index).integers(0, 256, (len(cameras), 42, 56, 3), np.uint8)
    frames = (
        CameraFrame(camera, stamp_ns, f'{camera}_optical', image)
        for camera, image in zip(cameras, images, strict=True)
    )
    return FrameSet(stamp_ns, tuple(frames))


def window(number: int, cameras: Sequence[str], *, generation: int) -> Window:
    """Return the window of a number: four sets, one of them new."""
    sets = tuple(frame_set(number + place, cameras) for place in range(4))
    new = frozenset(frame.id for frame in sets[-1].frames)
    return Window(number, sets, 1 if number else 4, generation=generation, depth_of=new)


@pytest.fixture
def runtime() -> Counting:
    torch.manual_seed(0)
    network = build_network(tiny.ANY_VIEW, 'cpu')
    assert isinstance(network, AnyViewNetwork)
    return Counting(TorchAnyView(network.requires_grad_(False).eval()))


@pytest.fixture
def resized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how many images are resized at a time."""
    counts: list[int] = []
    resize = preprocess.resized_images

    def counted(items: Mapping[int, ImageLike], *arguments: Any) -> list[ResizedImage]:
        counts.append(len(items))
        return resize(items, *arguments)

    monkeypatch.setattr(engine, 'resized_images', counted)
    return counts


@pytest.mark.parametrize('cameras', [('front',), ('front', 'left', 'right')])
def test_a_view_goes_once_through_each_stage_that_it_needs(
    runtime: Counting, resized: list[int], cameras: tuple[str, ...]
) -> None:
    network = StagedNetwork(runtime, model_name='tiny')
    estimator = Da3Estimator(network, process_res=56)
    new, whole = len(cameras), 4 * len(cameras)
    estimator.estimate(window(0, cameras, generation=1))
    assert runtime.taken() == {'encode': (1, whole), 'fuse': (1, whole), 'decode': (1, new)}
    for number in range(1, 4):
        estimator.estimate(window(number, cameras, generation=1))
        assert runtime.taken() == {'encode': (1, new), 'fuse': (1, whole), 'decode': (1, new)}
    assert resized == [whole, new, new, new]


@pytest.mark.parametrize('generations', [(1, 2), (0, 0)])
def test_nothing_is_taken_from_windows_of_another_stream(
    runtime: Counting, resized: list[int], generations: tuple[int, int]
) -> None:
    estimator = Da3Estimator(StagedNetwork(runtime, model_name='tiny'), process_res=56)
    for number, generation in enumerate(generations):
        estimator.estimate(window(number, ('front',), generation=generation))
        assert runtime.taken()['encode'] == (1, 4)
    assert resized == [4, 4]
