"""Whether CUDA multiplies float32 as float32 or as TF32, set for the time of a forward pass.

torch keeps that choice for the whole process, so it belongs to the program around us. Two forward
passes on two threads share what they set: the first one in sets it, the last one out takes it
back. Passes that want different formats wait for each other. Other threads of the program that
multiply on CUDA meanwhile do so in our format.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
import threading
from typing import Any

import torch


@contextmanager
def float32_products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Let float32 mean float32 on CUDA, whatever the process has set, unless TF32 is wanted.

    Afterwards the process has its own setting again, also after an error. Does nothing for other
    devices.

    Args:
        device: Where the products are computed.
        tf32: Round the factors to TF32 instead.
    """
    if device.type != 'cuda':
        yield
        return
    _FORMAT.enter(tf32)
    try:
        yield
    finally:
        _FORMAT.leave()


class _SharedFormat:
    """The format of products while anybody needs it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users = 0
        self._tf32 = False
        self._undo = ExitStack()

    def enter(self, tf32: bool) -> None:
        """Set the format; wait while others need the other one."""
        with self._changed:
            self._changed.wait_for(lambda: not self._users or self._tf32 == tf32)
            if not self._users:
                with ExitStack() as undo:
                    _set_products(undo, tf32)
                    self._undo = undo.pop_all()
                self._tf32 = tf32
            self._users += 1

    def leave(self) -> None:
        """Take the format back when nobody needs it any more."""
        with self._changed:
            self._users -= 1
            if not self._users:
                self._undo.close()
                self._changed.notify_all()


_FORMAT = _SharedFormat()


def _set_products(undo: ExitStack, tf32: bool) -> None:
    if hasattr(torch.backends.cudnn, 'conv'):
        _set_new(undo, 'tf32' if tf32 else 'ieee')
    else:
        set_old(undo, tf32)


def _set_new(undo: ExitStack, wanted: str) -> None:
    """Set the format by the names of torch 2.9 and later.

    There settings stand in three levels: all backends, CUDA, and the kinds of product. One that
    is not set follows the level above, and what is read does not tell which. A setting that was
    never made must not be made when the old one is restored: it would no longer follow. So the
    level of CUDA is changed, and a kind of product only where it does not follow.
    """
    backends: Any = torch.backends
    cuda = backends.cudnn
    own = _own_setting(cuda, backends)
    _change(undo, cuda, wanted, own)
    for product in (backends.cuda.matmul, cuda.conv):
        if product.fp32_precision != wanted:
            _change(undo, product, wanted, product.fp32_precision)


def _own_setting(level: Any, above: Any) -> str:
    """Return what is set at a level itself, `none` where it follows the one above."""
    seen: str = level.fp32_precision
    general: str = above.fp32_precision
    if seen != general or general == 'none':
        return seen
    above.fp32_precision = 'none'
    own: str = level.fp32_precision
    above.fp32_precision = general
    return own


def _change(undo: ExitStack, level: Any, wanted: str, own: str) -> None:
    def restore() -> None:
        level.fp32_precision = own

    undo.callback(restore)
    level.fp32_precision = wanted


def set_old(undo: ExitStack, tf32: bool) -> None:
    """Set the format by the names of torch before 2.9, and put what restores it on a stack.

    The precision of matrix products has three values, of which `allow_tf32` knows two.
    """
    cudnn: Any = torch.backends.cudnn
    restore_matmul: Callable[[str], None] = torch.set_float32_matmul_precision
    undo.callback(restore_matmul, torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision('high' if tf32 else 'highest')
    convolutions: bool = cudnn.allow_tf32
    undo.callback(setattr, cudnn, 'allow_tf32', convolutions)
    cudnn.allow_tf32 = tf32
