"""Tables that depend on sizes only, kept between forward passes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
import threading
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar('T')

SIZES = 4
"""Tables of so many sizes are kept: images of a program have one or two."""

SAMPLES = 4
"""Values that are read of a tensor to see whether it was written to."""


class Kept(Generic[T]):
    """The results of a function for its newest few arguments.

    What is traced or exported gets results of its own: they belong to the trace. What is recorded
    as a CUDA graph may read what is kept, for the recorder keeps it as well
    (`inference.cuda.readings`), but is computed at each replay only, so it is not kept for others.
    """

    def __init__(self, limit: int = SIZES) -> None:
        """Keep nothing yet, and never more than `limit` results."""
        self._limit = limit
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many results are kept."""
        return len(self._results)

    def __deepcopy__(self, memo: object) -> 'Kept[T]':
        """Return one that keeps nothing: a copy of a network makes its own tables."""
        del memo
        return Kept(self._limit)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without what is kept."""
        return Kept, (self._limit,)

    def get(self, key: Hashable, like: Tensor, make: Callable[[], T]) -> T:
        """Return what `make` gives, from before where the key was the same.

        Args:
            key: All that the result depends on, device and number format among it.
            like: A tensor of the computation that wants it.
            make: Makes the result, outside inference mode and without gradients.
        """
        if is_traced(like):
            return make()
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        if like.is_cuda and torch.cuda.is_current_stream_capturing():
            return make()
        # Tensors made in inference mode could not be used where gradients are wanted.
        with torch.inference_mode(mode=False), torch.no_grad():
            made = make()
        with self._lock:
            self._results[key] = made
            if len(self._results) > self._limit:
                self._results.popitem(last=False)
        return made


def version_of(tensor: Tensor) -> int:
    """Return how often a tensor has been written to; 0 for those that do not count it."""
    return 0 if tensor.is_inference() else tensor._version


def some_values(tensor: Tensor, count: int = SAMPLES) -> Tensor:
    """Return few values of a tensor that is not empty, from all over it.

    They show a write that nobody counts, through `Tensor.data` or through an array that shares
    its memory, where it changes most of the tensor. Reading all would take as long as using it.
    """
    if tensor.is_contiguous():
        size = tensor.numel()
        return tensor.as_strided((min(count, size),), (max(1, size // count),))
    corners = tuple(slice(None, None, max(1, length - 1)) for length in tensor.shape)
    return tensor[corners].flatten()


def is_traced(like: Tensor) -> bool:
    """Return whether a computation is traced or exported, so that it has no numbers."""
    is_plain = type(like) in (Tensor, nn.Parameter) and not like.is_meta
    return not is_plain or torch.compiler.is_compiling()
