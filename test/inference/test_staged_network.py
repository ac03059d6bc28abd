"""Windows through the stages: the plain forward pass with less work, never another image's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
import gc
import weakref

import numpy as np
from numpy.typing import NDArray
import pytest
import torch
from torch import Tensor

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.pose_alignment import normalise_extrinsics
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.stages import EncodedView, FusedWindow, InputCameras, Maps
from da3_ros.inference.runtimes.torch_runtime import (
    TorchWindowNetwork,
    torch_window_network,
    window_maps,
)
from da3_ros.inference.runtimes.torch_stages import TorchAnyView, network_input
from da3_ros.inference.staged_network import StagedNetwork
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.config import AnyViewConfig, BackboneConfig, NetworkConfig
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.rope import _KEPT
from helpers.tiny import ANY_VIEW, NESTED, SINGLE_VIEW

SIZE = (56, 84)
VIEWS = 6
STRATEGIES = ('saddle_balanced', 'first', 'middle')

ROLES = replace(
    ANY_VIEW,
    name='tiny-roles',
    backbone=BackboneConfig(48, 8, 3, 'mlp', (4, 5, 6, 7), 4),
    gaussian=None,
)
"""Its first block of the second stage sees each view alone, as in da3-small to da3-large."""
ODD = replace(ROLES, name='tiny-odd', backbone=BackboneConfig(48, 7, 3, 'mlp', (3, 4, 5, 6), 2))
"""Its last block sees each view alone."""


@pytest.fixture(scope='module')
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (VIEWS, *SIZE, 3), np.uint8)


@pytest.fixture(scope='module')
def cameras() -> InputCameras:
    rng = np.random.default_rng(2)
    poses = np.tile(np.eye(4, dtype=np.float32), (VIEWS, 1, 1))
    poses[:, :3, 3] = rng.normal(size=(VIEWS, 3))
    K = np.array([[70, 0, 42], [0, 71, 28], [0, 0, 1]], np.float32)
    return InputCameras(poses, np.tile(K, (VIEWS, 1, 1)))


@cache
def model_of(config: NetworkConfig) -> DepthAnything3:
    """Return a model that no test changes."""
    return DepthAnything3(network=random_network(config, 3))


def some_of(cameras: InputCameras, views: slice, known: str) -> InputCameras | None:
    if known == 'none':
        return None
    assert cameras.intrinsics is not None
    K = None if known == 'poses' else cameras.intrinsics[views]
    return InputCameras(normalise_extrinsics(cameras.extrinsics[views]), K)


@torch.inference_mode()
def plain(model: DepthAnything3, request: WindowRequest) -> WindowMaps:
    """Return what the network's own forward pass gives for a whole window."""
    known: list[Tensor | None] = [None, None]
    if request.cameras is not None:
        known[0] = torch.from_numpy(request.cameras.extrinsics)[None]
        if request.cameras.intrinsics is not None:
            known[1] = torch.from_numpy(request.cameras.intrinsics)[None]
    options = ForwardOptions(
        use_ray_pose=request.use_ray_pose, ref_view_strategy=request.ref_view_strategy
    )
    pixels = network_input(request.images, torch.device('cpu'))[None]
    return window_maps(model.model(pixels, *known, options))


def assert_same(got: WindowMaps, expected: WindowMaps) -> None:
    of = list(got.wanted)
    for name in ('depth', 'confidence', 'sky'):
        ours, theirs = getattr(got, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            np.testing.assert_allclose(ours, theirs[of], rtol=1e-5, atol=1e-6, err_msg=name)
    for name in ('extrinsics', 'intrinsics'):
        ours, theirs = getattr(got, name), getattr(expected, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            bound = 1e-5 * np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=bound, err_msg=name)
    assert got.is_metric == expected.is_metric
    if expected.scale_factor is not None:
        assert got.scale_factor == pytest.approx(expected.scale_factor, rel=1e-5)
    assert got.notes == expected.notes


@pytest.mark.parametrize(
    ('keyed', 'wanted'), [(False, (3,)), (True, None), (True, (0, 2))], ids=['', 'kept', 'both']
)
@pytest.mark.parametrize('known', ['none', 'poses', 'cameras'])
@pytest.mark.parametrize(
    'config', [ROLES, ANY_VIEW, ODD, NESTED, SINGLE_VIEW], ids=lambda config: config.name
)
def test_every_shortcut_gives_the_plain_forward_pass(
    config: NetworkConfig,
    known: str,
    wanted: tuple[int, ...] | None,
    keyed: bool,
    images: NDArray[np.uint8],
    cameras: InputCameras,
) -> None:
    model = model_of(config)
    network = torch_window_network(model)
    for start in range(3):
        views = slice(start, start + 4)
        request = WindowRequest(
            images[views],
            keys=tuple(range(start, start + 4)) if keyed else None,
            cameras=some_of(cameras, views, known),
            wanted=wanted,
            ref_view_strategy=STRATEGIES[start],
        )
        got = network.run(request)
        assert set(wanted or range(4)) <= set(got.wanted)
        assert_same(got, plain(model, request))


def test_rays_are_those_of_the_whole_network(images: NDArray[np.uint8]) -> None:
    model = model_of(ROLES)
    request = WindowRequest(images[:3], keys=(0, 1, 2), wanted=(2,), use_ray_pose=True)
    assert_same(torch_window_network(model).run(request), plain(model, request))


def with_data_of(model: DepthAnything3, other: DepthAnything3) -> None:
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        mine.data = theirs.data.clone()


WEIGHTS: dict[str, Callable[[DepthAnything3, DepthAnything3], object]] = {
    'loaded': lambda model, other: model.load_state_dict(other.state_dict()),
    'network loaded': lambda model, other: model.model.load_state_dict(other.model.state_dict()),
    'assigned': lambda model, other: model.model.load_state_dict(
        other.model.state_dict(), assign=True
    ),
    'part loaded': lambda model, other: model.model.any_view.backbone.load_state_dict(  # type: ignore[union-attr]
        other.model.any_view.backbone.state_dict()  # type: ignore[union-attr]
    ),
    'written': lambda model, other: [
        mine.copy_(theirs)
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True)
    ],
    'data': lambda model, other: with_data_of(model, other),
    'arithmetic': lambda model, other: setattr(model, 'arithmetic', Arithmetic(precision='bf16')),
}


@pytest.mark.parametrize('change', WEIGHTS)
def test_other_weights_are_noticed(change: str, images: NDArray[np.uint8]) -> None:
    model = DepthAnything3(network=random_network(ROLES, 3))
    other = DepthAnything3(network=random_network(ROLES, 4))
    network = torch_window_network(model)
    request = WindowRequest(images[:3], keys=(0, 1, 2))
    before = network.run(request)
    WEIGHTS[change](model, other)
    after = network.run(request)
    assert not np.allclose(after.depth, before.depth, rtol=1e-4)
    expected = plain(model, request)
    # In 16 bits the size of a batch changes what is rounded.
    bound = 2e-2 if change == 'arithmetic' else 1e-5
    np.testing.assert_allclose(after.depth, expected.depth, rtol=bound)


@pytest.mark.parametrize('config', [ROLES, SINGLE_VIEW, NESTED], ids=lambda c: c.name)
def test_another_size_is_another_image(config: NetworkConfig, images: NDArray[np.uint8]) -> None:
    model = model_of(config)
    network = torch_window_network(model)
    for width in (84, 56, 84, 70):
        request = WindowRequest(np.ascontiguousarray(images[:3, :, :width]), keys=(0, 1, 2))
        assert_same(network.run(request), plain(model, request))


def test_memory_that_runs_out_takes_what_is_kept_with_it(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(ROLES)
    network = TorchWindowNetwork(model)
    expected = plain(model, WindowRequest(images[:4]))
    network.run(WindowRequest(images[:4], keys=(0, 1, 2, 3)))
    whole = TorchAnyView.encode
    seen = []

    def scarce(runtime: TorchAnyView, some: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        seen.append((runtime.chunk, len(some)))
        if runtime.chunk > 1:
            raise MemoryError
        return whole(runtime, some)

    monkeypatch.setattr(TorchAnyView, 'encode', scarce)
    got = network.run(WindowRequest(images[1:5], keys=(1, 2, 3, 4)))
    assert seen == [(4, 1), (2, 4), (1, 4)]
    assert [note.code for note in got.notes] == ['views_in_chunks']
    np.testing.assert_allclose(
        got.depth, plain(model, WindowRequest(images[1:5])).depth, rtol=1e-5
    )
    assert got.depth.shape == expected.depth.shape


class _Held:
    """What a stub keeps of a view: the number of its image."""

    def __init__(self, number: int) -> None:
        self.number = number


class StubRuntime:
    """An any-view runtime that only remembers; an image is all of one value."""

    name = 'stub'
    device = 'cpu'

    def __init__(self) -> None:
        self.config: AnyViewConfig = ROLES
        self.alive: weakref.WeakSet[_Held] = weakref.WeakSet()
        self.weights = 1
        self.encoded = 0

    def encode(self, images: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        held = [_Held(int(image[0, 0, 0]) * self.weights) for image in images]
        self.alive.update(held)
        self.encoded += len(held)
        return tuple(EncodedView(one, images.shape[1:3], 1000) for one in held)

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        del cameras, strategy
        numbers = [view.held.number for view in views]
        return FusedWindow(numbers, tuple(wanted), views[0].image_size, 0, None, None)

    def decode(self, fused: FusedWindow) -> Maps:
        depth = np.array([fused.held[view] for view in fused.wanted], np.float32)
        return Maps(depth.reshape(-1, 1, 1), None, None)


def test_memory_is_flat_over_ten_thousand_windows() -> None:
    """Sizes, cameras, generations and weights change all the time; answers stay right."""
    runtime = StubRuntime()
    network = StagedNetwork(
        runtime, model_name='stub', cache_bytes=5000, state=lambda: runtime.weights
    )
    rng = np.random.default_rng(5)
    width, cameras, generation = 14, 2, 1
    for index in range(10_000):
        if rng.random() < 0.02:
            width = 14 * int(rng.integers(1, 4))
        if rng.random() < 0.02:
            cameras = int(rng.integers(1, 4))
        if rng.random() < 0.01:
            generation += 1
        if rng.random() < 0.01:
            runtime.weights = int(rng.integers(1, 9))
        stamps = range(index, index + 3)
        keys = tuple((generation, c, stamp, width) for stamp in stamps for c in range(cameras))
        # The image of a key: what it shows depends on all of it.
        numbers = [hash(key) % 200 + 1 for key in keys]
        images = np.empty((len(keys), 14, width, 3), np.uint8)
        images[:] = np.array(numbers, np.uint8)[:, None, None, None]
        maps = network.run(WindowRequest(images, keys, wanted=(len(keys) - 1,)))
        assert maps.depth[0, 0, 0] == numbers[-1] * runtime.weights
        assert len(runtime.alive) <= len(keys)
    gc.collect()
    assert len(runtime.alive) <= 5
    assert runtime.encoded < 10_000 * 6


def test_tables_of_few_sizes_are_kept(images: NDArray[np.uint8]) -> None:
    model = model_of(ROLES)
    vit = model.model.any_view.backbone.pretrained  # type: ignore[union-attr]
    network = torch_window_network(model)
    first: dict[int, WindowMaps] = {}
    for width in (14, 28, 42, 56, 70, 84, 14):
        request = WindowRequest(np.ascontiguousarray(images[:1, :28, :width]))
        got = network.run(request)
        first.setdefault(width, got)
        assert_same(got, plain(model, request))
        np.testing.assert_array_equal(got.depth, first[width].depth)
    assert len(vit._resized) <= 4
    assert len(_KEPT) <= 4
