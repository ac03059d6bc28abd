"""Running a network: memory that runs out, chunks, number formats behind the public class."""

from collections.abc import Callable
import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import torch
from torch import Tensor

from da3_ros.errors import ModelError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.out_of_memory import (
    MemoryExceededError,
    available_bytes,
    is_out_of_memory,
)
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.heads import DualDpt
from helpers.rounding import DEEP, assert_equal_to_rounding

RES = 140
ALLOCATOR = 'DefaultCPUAllocator: not enough memory: you tried to allocate 123456789 bytes.'

Failure = Callable[[int], BaseException | None]


def pictures(count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (120, 160, 3), np.uint8) for _ in range(count)]


def allocator_failure() -> RuntimeError:
    return RuntimeError(f'[enforce fail at alloc_cpu.cpp:117] . {ALLOCATOR}\nsecond line')


@pytest.fixture
def own(model: DepthAnything3) -> DepthAnything3:
    """Return a model that may be changed."""
    return copy.deepcopy(model)


@pytest.fixture
def fail_when(model: DepthAnything3, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Let the dense head fail as an allocator does, by what it is given."""
    head = DualDpt.forward

    def arrange(needs_too_much: Callable[[Tensor], bool], error: BaseException) -> list[int]:
        sizes: list[int] = []

        def forward(self: DualDpt, levels: list[Tensor], *args: Any, **options: Any) -> Any:
            sizes.append(len(levels[0]))
            if needs_too_much(levels[0]):
                raise error
            return head(self, levels, *args, **options)

        monkeypatch.setattr(DualDpt, 'forward', forward)
        return sizes

    return arrange


@pytest.mark.parametrize(
    'error',
    [
        allocator_failure(),
        MemoryError(),
        torch.cuda.OutOfMemoryError('CUDA: out'),
        RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED'),
        RuntimeError('GET was unable to find an engine to execute this computation'),
    ],
)
def test_memory_that_runs_out_is_told_in_numbers(
    model: DepthAnything3, fail_when: Callable[..., list[int]], error: BaseException
) -> None:
    fail_when(lambda level: True, error)
    with pytest.raises(MemoryExceededError) as caught:
        model.inference(pictures(3), process_res=RES)
    message = str(caught.value)
    assert 'da3-small: memory ran out with 3 views of 112 x 140, 3 at once' in message
    assert 'estimated ' in message
    assert 'available ' in message
    assert 'use fewer views' in message
    assert '\n' not in message
    assert isinstance(caught.value, ModelError)


def test_without_permission_nothing_is_tried_again(
    model: DepthAnything3, fail_when: Callable[..., list[int]]
) -> None:
    sizes = fail_when(lambda level: len(level) > 1, allocator_failure())
    with pytest.raises(MemoryExceededError):
        model.inference(pictures(3), process_res=182)
    assert sizes == [3]


def test_with_permission_chunks_become_smaller_and_results_stay(
    model: DepthAnything3, fail_when: Callable[..., list[int]]
) -> None:
    expected = model.inference(pictures(5), process_res=182)
    sizes = fail_when(lambda level: len(level) > 2, allocator_failure())
    got = model.inference(pictures(5), process_res=182, allow_smaller=True)
    assert sizes == [5, 2, 2, 1]
    assert got.notes == ('memory ran out; views were computed in chunks of 2',)
    assert_equal_to_rounding(got.depth, expected.depth, DEEP)
    assert model.view_chunk == 8


def test_with_permission_images_become_smaller_when_chunks_cannot(
    model: DepthAnything3, fail_when: Callable[..., list[int]]
) -> None:
    patches = (140 // 14) * (112 // 14)
    fail_when(lambda level: level.shape[1] > patches, allocator_failure())
    got = model.inference(pictures(2), process_res=252, allow_smaller=True)
    assert got.depth.shape == (2, 112, 140)
    assert 'images were processed at 141 instead of 252 px' in got.notes[0]
    with pytest.raises(MemoryExceededError):
        model.inference(pictures(2), process_res=252)


def test_other_errors_stay_what_they_are(
    model: DepthAnything3, fail_when: Callable[..., list[int]]
) -> None:
    fail_when(lambda level: True, RuntimeError('shape mismatch'))
    with pytest.raises(RuntimeError, match='shape mismatch'):
        model.inference(pictures(1), process_res=RES, allow_smaller=True)
    assert not is_out_of_memory(ValueError(ALLOCATOR))


def test_a_real_allocation_that_is_too_large_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_the_number_of_views_that_fit_is_told_before_running(model: DepthAnything3) -> None:
    available = available_bytes(torch.device('cpu'))
    if available is None:
        pytest.skip('the system does not tell its free memory')
    fits = model.views_that_fit((280, 504))
    assert fits is not None
    estimate = model.estimate_memory(fits, (280, 504))
    assert 0.8 * available <= estimate.total_bytes <= 1.2 * available
    smaller = model.views_that_fit((140, 252))
    assert smaller is not None
    assert smaller > 3 * fits


def test_forty_views_run(model: DepthAnything3) -> None:
    got = model.inference(pictures(40), process_res=84)
    assert got.depth.shape == (40, 70, 84)
    assert np.isfinite(got.depth).all()
    assert got.extrinsics is not None
    assert np.isfinite(got.extrinsics).all()


def test_chunks_need_a_view(model: DepthAnything3) -> None:
    with pytest.raises(ModelError, match='view_chunk: expected at least 1, got 0'):
        DepthAnything3(network=model.model, view_chunk=0)


def test_precision_of_the_public_class(own: DepthAnything3) -> None:
    assert (own.precision, own.dtype) == ('auto', torch.float32)
    exact = own.inference(pictures(2), process_res=RES)
    own.arithmetic = Arithmetic('bf16')
    near = own.inference(pictures(2), process_res=RES)
    assert near.depth.dtype == np.float32
    error = np.abs(near.depth - exact.depth) / exact.depth
    assert 0 < np.median(error) <= 5e-3
    with pytest.raises(ModelError, match='fp16 needs a GPU'):
        own.arithmetic = Arithmetic('fp16')
    assert own.precision == 'bf16'


def test_formats_survive_a_move(own: DepthAnything3) -> None:
    own.arithmetic = Arithmetic('bf16')
    moved = own.to('cpu').float()
    blocks = moved.model.get_submodule('backbone.pretrained.blocks')
    last = len(list(blocks.children())) - 1
    formats = {at: blocks.get_parameter(f'{at}.mlp.fc1.weight').dtype for at in (0, last)}
    # The first ones decide on the reference view.
    assert formats == {0: torch.float32, last: torch.bfloat16}
