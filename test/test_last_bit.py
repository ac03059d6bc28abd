"""The other processor of `DA3_LAST_BIT` changes what it says it does, and little else."""

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from helpers.last_bit import NumpyLastBit, Wrapping, last_bits
from helpers.same_kernel import SAME_KERNEL

ROOT = Path(__file__).resolve().parents[1]
MAX_CLAIMS = 10
CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    'mm': lambda x: x @ x,
    'bmm': lambda x: torch.bmm(x[None], x[None]),
    'addmm': lambda x: torch.addmm(x, x, x),
    'baddbmm': lambda x: torch.baddbmm(x[None], x[None], x[None]),
    'linear': lambda x: functional.linear(x, x, x[0]),
    'convolution': lambda x: functional.conv2d(x[None, None], x[None, None, :3, :3]),
    'transposed': lambda x: functional.conv_transpose2d(x[None, None], x[None, None, :3, :3]),
    'attention': lambda x: functional.scaled_dot_product_attention(x[None], x[None], x[None]),
    'sum': lambda x: x.sum(0),
    'mean': lambda x: x.mean(),
    'norm': lambda x: functional.layer_norm(x, x.shape[-1:]),
}


@pytest.mark.parametrize('name', sorted(CALLS))
@pytest.mark.parametrize('inference', [True, False])
def test_results_of_torch_move_to_a_neighbour(name: str, inference: bool) -> None:
    values = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    call = CALLS[name]
    with torch.inference_mode(inference):
        exact = call(values)
        with last_bits(1) as changed:
            found = call(values)
        assert changed.count >= 1
        assert not torch.equal(found, exact) or exact.numel() == 1
        # Attention hands on several moves.
        spacing = 8 * torch.finfo(torch.float32).eps * exact.abs().max()
        assert bool(((found - exact).abs() <= spacing).all())


def test_what_needs_no_rounding_stays() -> None:
    whole = torch.arange(64.0).reshape(8, 8)
    with last_bits(1):
        assert torch.equal(whole @ torch.eye(8), whole)
        assert float(whole.sum()) == 63 * 64 / 2


def test_expressions_of_numpy_are_wrapped() -> None:
    source = 'found = [a @ a, a.sum(), np.einsum("ij->i", a), np.linalg.inv(a), a + a, a.max()]'
    code = compile(Wrapping().visit(ast.parse(source)), 'wrapped', 'exec')
    values = np.random.default_rng(0).random((8, 8))
    last_bit = NumpyLastBit()
    results = []
    for seed in (None, 3):
        last_bit.generator = None if seed is None else np.random.default_rng(seed)
        names = {'a': values, 'np': np, '__last_bit__': last_bit}
        exec(code, names)
        results.append(names['found'])
    assert last_bit.count == 4
    for index, (exact, moved) in enumerate(zip(*results, strict=True)):
        np.testing.assert_allclose(moved, exact, rtol=3e-16)
        assert type(moved) is type(exact)
        if index in (0, 2, 3):
            assert not np.array_equal(moved, exact)
        elif index > 3:
            np.testing.assert_array_equal(moved, exact)


def test_few_tests_claim_the_same_kernel_and_all_of_them_exist() -> None:
    assert len(SAME_KERNEL) <= MAX_CLAIMS
    for name, reason in SAME_KERNEL.items():
        path, _, function = name.partition('::')
        assert f'def {function}(' in (ROOT / path).read_text(encoding='utf-8')
        assert reason
