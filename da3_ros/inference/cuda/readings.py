"""Which tensors a computation reads that nobody handed to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from da3_ros.inference.cuda.nested import tensors_of


class Readings(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is active, keeps tensors that are read, unless they are known or made meanwhile.

    A graph reads memory by its address. Tables that a network keeps for a while, say, must stay
    as long as the graph does, even when the network drops them.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        """Begin.

        Args:
            known: Tensors whose memory somebody else looks after.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[int, Tensor] = {}
        """By where their memory begins."""
        self._known = {_start(tensor) for tensor in known}
        self._made: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Look at the tensors of an operation."""
        del types
        named = dict(kwargs or {})
        for tensor in tensors_of([*args, *named.values()]):
            start = _start(tensor)
            if start not in self._made and start not in self._known:
                self.kept.setdefault(start, tensor)
        result = func(*args, **named)
        # What shares memory with something older was not made here.
        for tensor in tensors_of(result):
            start = _start(tensor)
            if start not in self.kept and start not in self._known:
                self._made.add(start)
        return result


def _start(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
