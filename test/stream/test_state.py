"""State comes back exactly, and bytes that are none are refused with one error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import hashlib
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.errors import StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.stream.state import StateCodec
from helpers.whole_runs import bits


@dataclass(frozen=True, slots=True)
class Leaf:
    number: float
    kind: Literal['a', 'b'] = 'a'
    derived: int = field(init=False, default=3)


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    pose: FloatArray
    by_key: Mapping[tuple[str, int], Leaf] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    leaves: tuple[Leaf, ...] = ()
    text: str = ''
    data: bytes = b''
    count: int = 0
    is_set: bool = False
    pair: tuple[int, str] = (0, '')
    whatever: Any = None


CODEC = StateCodec(Tree, Leaf)
FULL = Tree(
    np.asfortranarray(np.random.default_rng(1).normal(size=(4, 4))),
    {('front', 2**80): Leaf(-0.0), ('ü\ud800', -1): Leaf(math.nan, 'b')},
    np.array([[True, False, True]]),
    (Leaf(5e-324), Leaf(math.inf)),
    'naïve',
    b'\x00\xff',
    -(2**63),
    True,
    (7, 'x'),
    (np.float32(0.1), np.float64(0.1), np.int16(-3), np.bool_(True), np.empty((0, 3), np.uint8)),
)


def sealed(payload: bytes) -> bytes:
    """Return bytes with the right beginning and digest."""
    return b'da3 state 1\n' + hashlib.sha256(payload).digest() + payload


def test_every_bit_and_every_type_comes_back() -> None:
    back = CODEC.decode(CODEC.encode(FULL), Tree)
    assert bits(back) == bits(FULL)
    assert CODEC.encode(back) == CODEC.encode(FULL)
    assert back.pose.flags.f_contiguous
    assert back.pose.flags.writeable
    assert list(map(type, back.whatever)) == list(map(type, FULL.whatever))


def test_parts_of_arrays_lie_in_memory_of_their_own() -> None:
    part = np.arange(24.0).reshape(4, 6)[::2, 1::2]
    back = CODEC.decode(CODEC.encode(Tree(part)), Tree)
    np.testing.assert_array_equal(back.pose, part)
    assert back.pose.flags.c_contiguous


def test_bytes_that_are_cut_or_changed_are_refused() -> None:
    data = CODEC.encode(FULL)
    for end in range(len(data)):
        with pytest.raises(StreamError, match=r'^state: '):
            CODEC.decode(data[:end], Tree)
        changed = bytearray(data)
        changed[end] ^= 1 << end % 8
        with pytest.raises(StreamError, match=r'^state: '):
            CODEC.decode(bytes(changed), Tree)


def test_bytes_that_only_look_right_never_raise_anything_else() -> None:
    """With a digest that fits, so that every rule behind it is reached."""
    rng = np.random.default_rng(0)
    payload = CODEC.encode(FULL)[44:]
    accepted = 0
    for _ in range(4000):
        changed = bytearray(payload)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(changed))] = rng.integers(256)
        if rng.random() < 0.2:
            del changed[rng.integers(len(changed)) :]
        try:
            back = CODEC.decode(sealed(bytes(changed)), Tree)
        except StreamError:
            continue
        accepted += 1
        assert isinstance(back.pose, np.ndarray)
        assert all(type(leaf) is Leaf and leaf.kind in 'ab' for leaf in back.leaves)
    assert 0 < accepted < 4000


HUGE = (2**32 - 1).to_bytes(4, 'little')


@pytest.mark.parametrize(
    ('payload', 'says'),
    [
        (b'', 'bytes more'),
        (b'(' * 40, 'levels|values'),
        (b'(\x01\x00\x00\x00' * 40 + b'N', 'levels'),
        (b'S' + HUGE, 'bytes more'),
        (b'(' + HUGE, 'at most'),
        (b'A\x0a\x00\x02' + (2**63).to_bytes(8, 'little') * 2, 'bytes more'),
        (b'A\x0a\x00\x02' + (2**63).to_bytes(8, 'little') + bytes(8), 'cannot be'),
        (b'A\x0a\x00\x63', 'dimensions'),
        (b'A\x63', 'type of numbers'),
        (b'C\x02\x00\x00\x00os', "expected one of Tree, Leaf, got 'os'"),
        (b'C\x04\x00\x00\x00LeafT', 'Leaf.number'),
        (b'C\x04\x00\x00\x00Leaf' + b'D' + bytes(8) + b'S\x01\x00\x00\x00z', 'Leaf.kind'),
        (b'{\x01\x00\x00\x00{\x00\x00\x00\x00N', 'unhashable'),
        (b'NN', 'its end'),
        (b'N', 'expected Tree, got NoneType'),
        (b'?', 'byte'),
    ],
)
def test_hostile_bytes_are_refused_with_what_is_wrong(payload: bytes, says: str) -> None:
    with pytest.raises(StreamError, match=says):
        CODEC.decode(sealed(payload), Tree)


class Other:
    """Nobody knows how to write it."""


@pytest.mark.parametrize(
    'value', [Other(), {1, 2}, [1], np.array([object()]), np.array(['x']), np.zeros(2, '>f8')]
)
def test_what_would_not_come_back_is_not_written(value: object) -> None:
    with pytest.raises(StreamError, match=r'cannot be written'):
        CODEC.encode(Tree(np.eye(4), whatever=value))


def test_numbers_of_numpy_are_numbers_and_stay_theirs() -> None:
    tree = Tree(
        np.eye(4),
        leaves=(Leaf(np.float32(2.5)), Leaf(3), Leaf(np.int64(4))),
        count=np.int16(5),
        is_set=np.bool_(True),  # type: ignore[arg-type]
    )
    back = CODEC.decode(CODEC.encode(tree), Tree)
    assert [type(leaf.number) for leaf in back.leaves] == [np.float32, int, np.int64]
    kinds: list[type] = [type(back.count), type(back.is_set)]
    assert kinds == [np.int16, np.bool_]
    with pytest.raises(StreamError, match=r'Tree.count'):
        CODEC.encode(Tree(np.eye(4), count=np.bool_(False)))  # type: ignore[arg-type]


def test_a_field_of_another_type_is_not_written() -> None:
    with pytest.raises(StreamError, match=r'Tree.count'):
        CODEC.encode(Tree(np.eye(4), count=True))
    with pytest.raises(StreamError, match=r'Tree.pose'):
        CODEC.encode(Tree(np.eye(4, dtype=np.float32)))
    with pytest.raises(StreamError, match=r'dataclasses of different names'):
        StateCodec(Tree, Other)
