"""Whether values have the types that dataclasses declare for their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import types
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

_NUMBERS: Mapping[Any, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (float, int, np.floating, np.integer),
}
"""What counts as which: arithmetic with numpy gives numbers of its own."""


def fits(value: object, hint: Any) -> bool:
    """Return whether a value is of a declared type.

    An int counts as a float, as the language has it. What is declared of arrays is their type of
    numbers, not their shape.

    Args:
        value: of a field.
        hint: its type, as `typing.get_type_hints` gives it.
    """
    if hint in (Any, object):
        return True
    if hint is None or hint is type(None):
        return value is None
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in args)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in args)
    if origin is np.ndarray:
        return _is_array(value, args)
    if origin is tuple or origin is Sequence:
        return _is_tuple(value, args, is_any_length=origin is Sequence or args[-1] is ...)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(
            fits(key, args[0]) and fits(one, args[1]) for key, one in value.items()
        )
    if hint in _NUMBERS:
        # A bool is no number here, though the language says so.
        is_truth = isinstance(value, (bool, np.bool_))
        return isinstance(value, _NUMBERS[hint]) and is_truth == (hint is bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _is_array(value: object, args: tuple[Any, ...]) -> bool:
    if not isinstance(value, np.ndarray):
        return False
    numbers = get_args(args[1])[0]
    return isinstance(numbers, type) and issubclass(value.dtype.type, numbers)


def _is_tuple(value: object, args: tuple[Any, ...], *, is_any_length: bool) -> bool:
    if not isinstance(value, tuple):
        return False
    if is_any_length:
        return all(fits(one, args[0]) for one in value)
    return len(value) == len(args) and all(map(fits, value, args))
