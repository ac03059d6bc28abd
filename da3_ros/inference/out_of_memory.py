"""Memory that runs out: recognised, measured and described in numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from da3_ros.errors import ModelError
from da3_ros.model.memory_estimate import estimate_memory
from da3_ros.process import found_in_torch, free_in_group, limit_of_group

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from da3_ros.model.build import Network

MEMORY_INFO = Path('/proc/meminfo')
_ALLOCATOR_WORDS = (
    'DefaultCPUAllocator',
    "can't allocate memory",
    'not enough memory',
    # Of CUDA's libraries, which ask for memory beside torch's allocator.
    'CUDNN_STATUS_ALLOC_FAILED',
    'CUBLAS_STATUS_ALLOC_FAILED',
    # cuDNN, when no algorithm's workspace fits.
    'unable to find an engine to execute this computation',
)
MIN_PROCESS_RES = 112
"""Images are never made smaller than this to save memory."""
_MIB = 2**20


class MemoryExceededError(ModelError):
    """Raised when a forward pass does not fit into memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a device or on the host."""
    if isinstance(error, MemoryError):
        return True
    kind = found_in_torch('cuda.OutOfMemoryError')
    if kind is not None and isinstance(error, kind):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in _ALLOCATOR_WORDS
    )


def available_bytes(device: torch.device | str) -> int | None:
    """Return the memory that is free on a device now; None where the system does not tell.

    Args:
        device: as torch names it; torch is needed for any but the CPU.
    """
    kind = str(device).partition(':')[0]
    if kind == 'cuda':
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # What torch keeps for itself can be used again.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if kind != 'cpu':
        return None
    return _least('MemAvailable:', free_in_group())


def total_bytes(device: torch.device | str) -> int | None:
    """Return the memory that a device has, used or not; None where the system does not tell.

    Args:
        device: as torch names it; torch is needed for any but the CPU.
    """
    kind = str(device).partition(':')[0]
    if kind == 'cuda':
        import torch

        return int(torch.cuda.mem_get_info(device)[1])
    return _least('MemTotal:', limit_of_group()) if kind == 'cpu' else None


def _least(entry: str, in_group: int | None) -> int | None:
    """Return the smaller of what the whole machine has and a control group has, bytes."""
    try:
        lines = MEMORY_INFO.read_text(encoding='ascii').splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(entry)]
    return min([*sizes, *([] if in_group is None else [in_group])], default=None)


def sides_to_try(process_res: int, *, allow_smaller: bool) -> list[int]:
    """Return the image sides to try, largest first."""
    sides = [process_res]
    while allow_smaller and sides[-1] * 3 // 4 >= MIN_PROCESS_RES:
        sides.append(sides[-1] * 3 // 4)
    return sides


def memory_message(
    error: BaseException,
    network: Network,
    image: Tensor,
    chunk: int,
    dtype: torch.dtype,
    available: int | None,
) -> str:
    """Return one line: what was run, what it was estimated to need, what there was, what to do."""
    batch, count, _, height, width = image.shape
    views = batch * count
    estimate = estimate_memory(network.config, views, (height, width), chunk=chunk, dtype=dtype)
    there = 'unknown' if available is None else f'{available // _MIB} MiB'
    fits = '' if available is None else f', enough for about {estimate.views_within(available)}'
    first_line = str(error).strip().split('\n')[0] or type(error).__name__
    return (
        f'{network.config.name}: memory ran out with {views} views of {height} x {width}, '
        f'{chunk} at once: estimated {estimate.total_bytes // _MIB} MiB beside the weights, '
        f'available {there}{fits}; use fewer views, a smaller process_res or view_chunk, or '
        f'allow_smaller ({first_line})'
    )
