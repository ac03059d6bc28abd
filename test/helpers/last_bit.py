"""Another processor on this one: results of kernels whose last bit is a matter of chance.

Matrix products, convolutions, attention and sums add in an order that the kernel chooses, and
kernels are chosen by processor, number of threads, shape and library. What is proved here has to
hold for all of them. `DA3_LAST_BIT=SEED pytest` runs tests with such results changed: each number
that was rounded stays, or moves to a neighbour.

Torch is reached by a dispatch mode, on the thread that runs the test. NumPy has no such place, so
the package's modules are compiled with a call around the expressions that add up.
"""

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
import sys
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PACKAGES = ('da3_ros', 'tools')
"""Whose NumPy expressions are wrapped."""

SUMMING = frozenset(
    {
        *('mm', 'bmm', 'addmm', 'baddbmm', 'addbmm', 'mv', 'addmv', 'dot', 'matmul', 'linear'),
        *('convolution', 'conv2d', 'conv_transpose2d', 'mkldnn_convolution', '_convolution'),
        *('_scaled_dot_product_flash_attention_for_cpu', '_scaled_dot_product_attention_math'),
        *('scaled_dot_product_attention', 'einsum', 'sum', 'mean', 'cumsum', 'var', 'std'),
        *('native_layer_norm', 'layer_norm', '_softmax', 'softmax', 'linalg_vector_norm'),
        *('convolution_backward', 'native_layer_norm_backward', '_softmax_backward_data'),
    }
)
"""Operations of ATen that add, by their name without overload."""

SHARE_OF_16_BITS = 1e-3

_WRAPPER = '__last_bit__'
_METHODS = frozenset({'sum', 'mean', 'std', 'var', 'dot', 'trace', 'prod'})
_FUNCTIONS = _METHODS | frozenset(
    {'matmul', 'einsum', 'inner', 'outer', 'tensordot', 'vdot', 'cross', 'average', 'cumsum'}
)


def moved(values: Tensor, generator: torch.Generator) -> Tensor:
    """Return the numbers, each as it is or as its neighbour."""
    step = torch.randint(-1, 2, values.shape, generator=generator).to(values.dtype)
    if values.element_size() < 4:
        # Kernels add in 32 bits: only what lies in the middle of two neighbours falls elsewhere.
        step *= torch.rand(values.shape, generator=generator) < SHARE_OF_16_BITS
    else:
        rounded = _needed_rounding(values.detach().numpy(force=True))
        step *= torch.from_numpy(rounded).reshape(step.shape)
    return values * (1 + step * torch.finfo(values.dtype).eps)


def _needed_rounding(values: Any) -> Any:
    """Tell which numbers are rounded ones, by their last bits.

    What comes out with eight zeros at its end (0, 3, 120.25) was representable all the way, and is
    then the same in whatever order it is added.
    """
    bits = np.ascontiguousarray(values).view(np.int32 if values.dtype.itemsize == 4 else np.int64)
    return (bits & 0xFF) != 0


class LastBit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Changes the last bit of what summing operations of Torch give, by a seed.

    `count` tells how many results were changed.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = torch.Generator().manual_seed(seed)
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        del types
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in SUMMING:
            results = found if isinstance(found, (tuple, list)) else (found,)
            for result in results:
                self._move(result)
        return found

    def _move(self, result: object) -> None:
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return
        if result.device.type == 'cpu' and result.numel():
            result.copy_(moved(result, self._generator))
            self.count += 1


class NumpyLastBit:
    """What wrapped expressions call; without a generator it changes nothing."""

    def __init__(self) -> None:
        self.generator: np.random.Generator | None = None
        self.count = 0

    def __call__(self, value: Any) -> Any:
        if self.generator is None or not isinstance(value, (np.ndarray, np.floating)):
            return value
        if value.dtype not in (np.float32, np.float64):
            return value
        self.count += 1
        step = self.generator.integers(-1, 2, np.shape(value)) * _needed_rounding(
            np.asarray(value)
        ).reshape(np.shape(value))
        with np.errstate(invalid='ignore', over='ignore'):
            moved_value = value * (1 + step.astype(value.dtype) * np.finfo(value.dtype).eps)
        if isinstance(value, np.ndarray):
            # The array itself may be what `out=` named.
            if value.flags.writeable:
                value[...] = moved_value
                return value
            return moved_value
        return value.dtype.type(moved_value)


numpy_last_bit = NumpyLastBit()


class Wrapping(ast.NodeTransformer):
    """Puts a call around the expressions that add up."""

    def _wrapped(self, node: ast.expr) -> ast.expr:
        call = ast.Call(ast.Name(_WRAPPER, ast.Load()), [node], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return self._wrapped(node) if isinstance(node.op, ast.MatMult) else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ''
        is_ours = name in _METHODS or name in _FUNCTIONS or _is_linalg(node.func)
        return self._wrapped(node) if is_ours else node


def _is_linalg(function: ast.expr) -> bool:
    """Tell whether this is `np.linalg.NAME`."""
    owner = function.value if isinstance(function, ast.Attribute) else None
    return isinstance(owner, ast.Attribute) and owner.attr == 'linalg'


class _Loader(SourceFileLoader):
    """Compiles with wrapped expressions, and neither reads nor writes compiled files."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = Wrapping().visit(ast.parse(self.get_data(path), path))
        return compile(tree, path, 'exec', dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_WRAPPER] = numpy_last_bit
        super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds the package's modules as always, with the loader above."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.partition('.')[0] not in PACKAGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def wrap_numpy() -> None:
    """Have the package's modules compiled with wrapped expressions from now on.

    Raises:
        RuntimeError: one of them is loaded already.
    """
    loaded = [name for name in sys.modules if name.partition('.')[0] in PACKAGES]
    if loaded:
        raise RuntimeError(f'too late to wrap what is loaded already: {loaded}')
    sys.meta_path.insert(0, _Finder())


@contextmanager
def last_bits(seed: int) -> Iterator[LastBit]:
    """Change last bits of Torch's results, and of NumPy's where modules are wrapped."""
    numpy_last_bit.generator = np.random.default_rng(seed)
    try:
        with LastBit(seed) as mode:
            yield mode
    finally:
        numpy_last_bit.generator = None
