"""Tensors inside of results: found, replaced, copied, compared.

A result is a tensor, or tuples, lists, mappings and dataclasses of results; everything else in it
stays as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
import math
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Nested = TypeVar('Nested')


def tensors_of(value: object) -> Iterator[Tensor]:
    """Yield the tensors of a result, always in the same order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_of(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_of(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))


def with_tensors(value: Nested, change: Callable[[Tensor], Tensor]) -> Nested:
    """Return a result with every tensor changed, in the order of `tensors_of`."""
    return cast('Nested', _changed(value, change))


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        items = [_changed(item, change) for item in value]
        # A named tuple takes its items one by one.
        return tuple(items) if type(value) is tuple else type(value)(*items)
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    if isinstance(value, Mapping):
        return {key: _changed(item, change) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        return type(value)(**{name: _changed(getattr(value, name), change) for name in names})
    return value


def largest_difference(value: object, other: object) -> float:
    """Return how far two results are apart: the most of any tensor, relative to its peak.

    Returns:
        0 for equal results; infinity where structure, shapes, formats or whole numbers differ, or
        where one is finite and the other is not.
    """
    ours, theirs = list(tensors_of(value)), list(tensors_of(other))
    if len(ours) != len(theirs) or any(
        a.shape != b.shape or a.dtype != b.dtype for a, b in zip(ours, theirs, strict=True)
    ):
        return math.inf
    apart = [_apart(a, b) for a, b in zip(ours, theirs, strict=True) if a.numel()]
    # One read of all: on CUDA the host waits for each.
    return max(torch.stack(apart).tolist(), default=0.0) if apart else 0.0


def _apart(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the difference of two tensors as one number on their device."""
    if not ours.is_floating_point():
        differs = (ours != theirs).any().double()
        return torch.where(differs > 0, math.inf, differs)
    a, b = ours.double(), theirs.double()
    is_number = a.isfinite()
    error = torch.where(is_number & b.isfinite(), (a - b).abs(), 0.0).amax()
    peak = torch.where(is_number, a.abs(), 0.0).amax()
    # What is no number must be the same on both sides.
    same = (is_number | b.isfinite()).logical_not() & ((a == b) | (a.isnan() & b.isnan()))
    fits = ((is_number & b.isfinite()) | same).all()
    relative = torch.where(peak > 0, error / peak, torch.where(error > 0, math.inf, 0.0))
    return torch.where(fits, relative, math.inf)
