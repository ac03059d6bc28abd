"""How many views are computed at once, where views do not depend on one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

VIEW_CHUNK = 8
"""Views at once by default: enough to fill a GPU, few enough to stay small beside what
the cross-view blocks hold."""

SMALL_VIEW = 128
"""Views of fewer patches are computed one by one on a CPU: matrix products of so few rows are
rounded differently from those of several views."""


def chunks_of(count: int, chunk: int, patches: int, device: torch.device) -> Iterator[slice]:
    """Split views into chunks.

    On a CPU the results are the same bits for every `chunk` (see `convolution` for the other half
    of the arrangement). On CUDA they agree to rounding, since libraries choose kernels by size.

    Args:
        count: Views.
        chunk: Most views at once.
        patches: Patches of a view.
        device: Where they are computed.

    Yields:
        Slices that cover all views in order.
    """
    if device.type == 'cpu' and patches < SMALL_VIEW:
        chunk = 1
    for start in range(0, count, chunk):
        yield slice(start, min(start + chunk, count))
