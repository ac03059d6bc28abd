"""Any sequence of windows: what is kept between them never shows in an answer.

The first rule is about keys, by a runtime whose answer is the number of an image; the second one
about the stages of torch, by a small network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.pose_alignment import normalise_extrinsics
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.stages import EncodedView, FusedWindow, InputCameras, Maps
from da3_ros.inference.runtimes.torch_runtime import torch_window_network
from da3_ros.inference.staged_network import StagedNetwork
from da3_ros.inference.window_network import WindowRequest
from da3_ros.model.config import AnyViewConfig, BackboneConfig
from da3_ros.options.choices import REFERENCE_STRATEGIES
from da3_ros.stream.input_views import rotated_frame
from da3_ros.types import CameraFrame, FrameSet, Window
from helpers.depths import depth_of
from helpers.tiny import ANY_VIEW

ROLES = replace(
    ANY_VIEW,
    name='tiny-roles',
    backbone=BackboneConfig(48, 8, 3, 'mlp', (4, 5, 6, 7), 4),
    gaussian=None,
)

# ---- keys

MEMORY = 6 * 1000


class Numbered:
    """An any-view runtime whose depth is a number of the image, so that none is like another."""

    name = 'numbered'
    device = 'cpu'

    def __init__(self) -> None:
        self.config: AnyViewConfig = ROLES
        self.weights = 1
        self.fails = False

    def encode(self, images: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        if self.fails:
            raise MemoryError
        return tuple(
            EncodedView(zlib.crc32(image.tobytes()) % 9973 * self.weights + 1, image.shape, 1000)
            for image in images
        )

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        del cameras, strategy
        height, width = views[0].image_size[:2]
        poses = np.tile(np.eye(4, dtype=np.float32)[:3], (len(views), 1, 1))
        poses[:, 0, 3] = [view.held for view in views]
        K = np.array([[50, 0, width / 2], [0, 50, height / 2], [0, 0, 1]], np.float32)
        return FusedWindow(
            [view.held for view in views],
            tuple(wanted),
            (height, width),
            0,
            poses,
            np.tile(K, (len(views), 1, 1)),
        )

    def decode(self, fused: FusedWindow) -> Maps:
        maps = np.ones((len(fused.wanted), *fused.image_size), np.float32)
        maps *= np.array([fused.held[v] for v in fused.wanted], np.float32).reshape(-1, 1, 1)
        return Maps(maps, maps.copy(), None)


@dataclass(frozen=True)
class Seen:
    """A view of a window."""

    camera: str
    stamp_ns: int
    frame_id: str
    quarter_turns: int

    def frame(self, world: object, size: tuple[int, int]) -> CameraFrame:
        """Return the view's image in a world: what it shows depends on all but the rotation."""
        seed = zlib.crc32(repr((world, self.camera, self.stamp_ns, self.frame_id)).encode())
        image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        frame = CameraFrame(self.camera, self.stamp_ns, self.frame_id, image)
        return rotated_frame(frame, self.quarter_turns)


SEEN = st.builds(
    Seen, st.sampled_from('ab'), st.integers(1, 3), st.sampled_from(('', 'x')), st.integers(0, 3)
)
RESIZES = (
    (30, 'upper_bound_resize'),
    (30, 'lower_bound_resize'),
    (28, 'upper_bound_resize'),
    (32, 'upper_bound_crop'),
)


@dataclass(frozen=True)
class Step:
    """A window, and what it meets."""

    views: tuple[Seen, ...]
    resize: int = 0
    generation: int = 1
    wanted: int = -1
    """Bits of views."""
    weights: int = 1
    fails: bool = False
    is_tall: bool = False


def with_view(step: Step, place: int, **change: object) -> Step:
    """Return a step with one thing of one view changed."""
    views = list(step.views)
    views[place % len(views)] = replace(views[place % len(views)], **change)  # type: ignore[arg-type]
    return replace(step, views=tuple(views))


PLACE = st.integers(0, 3)
CHANGES: tuple[st.SearchStrategy[Callable[[Step], Step]], ...] = (
    st.builds(
        lambda p, v: lambda step: with_view(step, p, camera=v), PLACE, st.sampled_from('ab')
    ),
    st.builds(lambda p, v: lambda step: with_view(step, p, stamp_ns=v), PLACE, st.integers(1, 3)),
    st.builds(
        lambda p, v: lambda step: with_view(step, p, frame_id=v), PLACE, st.sampled_from(('', 'x'))
    ),
    st.builds(
        lambda p, v: lambda step: with_view(step, p, quarter_turns=v), PLACE, st.integers(0, 3)
    ),
    st.builds(lambda v: lambda step: replace(step, views=(*step.views[1:], v)), SEEN),
    st.builds(lambda v: lambda step: replace(step, views=(*step.views, v)[-4:]), SEEN),
    st.just(lambda step: replace(step, views=step.views[::-1])),
    st.just(lambda step: replace(step, views=step.views[:1])),
    st.builds(lambda v: lambda step: replace(step, resize=v), st.integers(0, len(RESIZES) - 1)),
    st.builds(lambda v: lambda step: replace(step, generation=v), st.integers(0, 2)),
    st.builds(lambda v: lambda step: replace(step, wanted=v), st.integers(-1, 7)),
    st.builds(lambda v: lambda step: replace(step, weights=v), st.integers(1, 2)),
    st.just(lambda step: replace(step, fails=not step.fails)),
    st.just(lambda step: replace(step, is_tall=not step.is_tall)),
)
# A window is the one before with one thing changed: that is where a mistake would show.
STEPS = st.builds(
    lambda first, changes: list(accumulate(changes, lambda step, do: do(step), initial=first)),
    st.builds(Step, st.lists(SEEN, min_size=1, max_size=4).map(tuple), is_tall=st.booleans()),
    st.lists(st.one_of(*CHANGES), min_size=1, max_size=10),
)


def window_of(step: Step, number: int) -> Window:
    # Without a generation nothing is promised: an image is another one every time.
    world = step.generation or f'window {number}'
    # Nearly square: other methods give the same size by another one in between.
    size = (56, 54) if step.is_tall else (56, 56)
    frames = [seen.frame((world, size), size) for seen in step.views]
    sets = tuple(FrameSet(frame.stamp_ns, (frame,)) for frame in frames)
    wanted = (frame.id for place, frame in enumerate(frames) if step.wanted >> place & 1)
    return Window(number, sets, 1, step.generation, frozenset(wanted))


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_an_answer_is_that_of_a_network_which_saw_nothing_before(steps: list[Step]) -> None:
    runtime = Numbered()
    network = StagedNetwork(
        runtime, model_name='numbered', cache_bytes=MEMORY, state=lambda: runtime.weights
    )
    estimators = [
        Da3Estimator(network, process_res=res, process_res_method=m) for res, m in RESIZES
    ]
    for number, step in enumerate(steps):
        window = window_of(step, number)
        runtime.weights, runtime.fails = step.weights, step.fails
        if step.fails:
            # Whether or not something had to be encoded.
            with suppress(MemoryError):
                estimators[step.resize].estimate(window)
            runtime.fails = False
        got = estimators[step.resize].estimate(window)
        fresh = Numbered()
        fresh.weights = step.weights
        res, method = RESIZES[step.resize]
        alone = Da3Estimator(
            StagedNetwork(fresh, model_name='numbered'), process_res=res, process_res_method=method
        ).estimate(replace(window, generation=0))
        for ours, theirs in zip(got.views, alone.views, strict=True):
            np.testing.assert_array_equal(ours.window_from_camera, theirs.window_from_camera)
            assert (ours.depth is None) == (theirs.depth is None)
            if ours.depth is not None:
                np.testing.assert_array_equal(depth_of(ours), depth_of(theirs))
        assert len(network._encoded) <= len(step.views)
        assert network._encoded.nbytes <= MEMORY


# ---- stages


@cache
def model() -> DepthAnything3:
    return DepthAnything3(network=random_network(ROLES, 3))


IMAGES = np.random.default_rng(6).integers(0, 256, (5, 28, 42, 3), np.uint8)
POSES = np.tile(np.eye(4, dtype=np.float32), (5, 1, 1))
POSES[:, :3, 3] = np.random.default_rng(7).normal(size=(5, 3))
K = np.tile(np.array([[40, 0, 21], [0, 41, 14], [0, 0, 1]], np.float32), (5, 1, 1))

REQUEST = st.builds(
    lambda views, wanted, known, strategy: WindowRequest(
        IMAGES[views],
        keys=tuple(views),
        wanted=tuple(place for place in range(len(views)) if wanted >> place & 1),
        cameras=None
        if known == 'none'
        else InputCameras(
            normalise_extrinsics(POSES[views]), None if known == 'poses' else K[views]
        ),
        ref_view_strategy=strategy,
    ),
    # Views may come twice, and in any order.
    st.lists(st.integers(0, 4), min_size=1, max_size=4),
    st.integers(0, 15),
    st.sampled_from(('none', 'none', 'poses', 'cameras')),
    st.sampled_from(REFERENCE_STRATEGIES),
)


@settings(deadline=None, max_examples=12)
@given(st.lists(REQUEST, min_size=2, max_size=5))
def test_stages_give_what_they_give_alone(requests: list[WindowRequest]) -> None:
    network = torch_window_network(model())
    for request in requests:
        got = network.run(request)
        alone = torch_window_network(model()).run(replace(request, keys=None, wanted=None))
        assert got.wanted == request.wanted
        of = list(got.wanted)
        np.testing.assert_allclose(got.depth, alone.depth[of], rtol=1e-5)
        assert_near(got.confidence, None if alone.confidence is None else alone.confidence[of])
        assert_near(got.extrinsics, alone.extrinsics)
        assert_near(got.intrinsics, alone.intrinsics)


def assert_near(got: NDArray[np.float32] | None, alone: NDArray[np.float32] | None) -> None:
    assert got is not None
    assert alone is not None
    bound = 1e-5 * np.abs(alone).max(initial=1)
    np.testing.assert_allclose(got, alone, atol=bound)


def test_keys_are_one_for_every_view() -> None:
    for keys in ((0, 1), (0, 1, 2, 3)):
        with pytest.raises(ValueError, match=f'got {len(keys)} for 3'):
            torch_window_network(model()).run(WindowRequest(IMAGES[:3], keys=keys))
