"""Every shortcut of a window alone: what it saves, counted, and that nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.torch_runtime import torch_window_network
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from da3_ros.model.block import Block
from da3_ros.model.config import BackboneConfig
from da3_ros.model.heads import DualDpt
from da3_ros.model.kept import Kept
from da3_ros.model.rope import RotaryTable
from da3_ros.model.vit import VisionTransformer, views_of
from helpers.tiny import ANY_VIEW

CONFIG = replace(
    ANY_VIEW,
    name='tiny-roles',
    backbone=BackboneConfig(48, 8, 3, 'mlp', (4, 5, 6, 7), 4),
    gaussian=None,
)
"""Four blocks for a view alone, one for a view in its role, then across, alone, across."""
SIZE = (28, 42)
T = 1 + SIZE[0] * SIZE[1] // 14**2
IMAGES = np.random.default_rng(1).integers(0, 256, (7, *SIZE, 3), np.uint8)
LENGTH = 4

Switch = Callable[[pytest.MonkeyPatch], None]


@cache
def model() -> DepthAnything3:
    return DepthAnything3(network=random_network(CONFIG, 3))


def window(start: int, **options: Any) -> WindowRequest:
    keys = tuple(range(start, start + LENGTH))
    images = IMAGES[start : start + LENGTH]
    plain = WindowRequest(images, keys, wanted=(LENGTH - 1,), ref_view_strategy='first')
    return replace(plain, **options)


def without_roles(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VisionTransformer, 'has_role_block', False)


def with_whole_last_block(patch: pytest.MonkeyPatch) -> None:
    def whole(
        vit: VisionTransformer, tokens: Tensor, rotary: RotaryTable, wanted: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        V, size = tokens.shape[1:3]
        out = vit.blocks[-1](tokens.flatten(1, 2), rotary).unflatten(1, (V, size))
        return views_of(out, wanted), out[:, :, 0]

    patch.setattr(VisionTransformer, '_last_block', whole)


def without_tables(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Kept, 'get', lambda _, key, like, make: make())


def nothing(patch: pytest.MonkeyPatch) -> None:
    del patch


CASES: dict[str, tuple[Switch, dict[str, object], dict[str, int]]] = {
    # A new view, and two that have another role than before; the last block for one view and three
    # camera tokens.
    'all': (
        nothing,
        {},
        {'encoded': 1, 'in roles': 2, 'decoded': 1, 'tokens': (4 + 2 + 2 * 4 + 1) * T + 3},
    ),
    'no keys': (
        nothing,
        {'keys': None},
        {'encoded': 4, 'in roles': 4, 'decoded': 1, 'tokens': (16 + 4 + 2 * 4 + 1) * T + 3},
    ),
    'all depth': (
        nothing,
        {'wanted': None},
        {'encoded': 1, 'in roles': 2, 'decoded': 4, 'tokens': (4 + 2 + 3 * 4) * T},
    ),
    'no roles': (
        without_roles,
        {},
        {'encoded': 1, 'in roles': 0, 'decoded': 1, 'tokens': (4 + 3 * 4 + 1) * T + 3},
    ),
    'whole last block': (
        with_whole_last_block,
        {},
        {'encoded': 1, 'in roles': 2, 'decoded': 1, 'tokens': (4 + 2 + 3 * 4) * T},
    ),
    'no tables': (
        without_tables,
        {},
        {'encoded': 1, 'in roles': 2, 'decoded': 1, 'tokens': (4 + 2 + 2 * 4 + 1) * T + 3},
    ),
}


def counted(patch: pytest.MonkeyPatch) -> Counter[str]:
    """Return the counts of what networks do from now on."""
    counts: Counter[str] = Counter()

    def wrap(owner: type, name: str, what: str, count: Callable[[Any, Any], int]) -> None:
        whole = getattr(owner, name)

        def run(instance: object, *args: Any, **options: Any) -> Any:
            out = whole(instance, *args, **options)
            counts[what] += count(args, out)
            return out

        patch.setattr(owner, name, run)

    wrap(VisionTransformer, '_encode_rows', 'encoded', lambda args, _: len(args[0]))
    wrap(VisionTransformer, 'in_role', 'in roles', lambda args, _: args[0].tokens.shape[1])
    wrap(DualDpt, 'forward', 'decoded', lambda args, _: len(args[0][0]))
    wrap(Block, 'forward', 'tokens', lambda _, out: out.shape[:2].numel())
    return counts


def last_of(maps: WindowMaps) -> list[np.ndarray]:
    assert maps.confidence is not None
    assert maps.extrinsics is not None
    assert maps.intrinsics is not None
    return [maps.depth[-1], maps.confidence[-1], maps.extrinsics, maps.intrinsics]


@pytest.mark.parametrize('off', CASES)
def test_a_shortcut_saves_work_and_changes_nothing(
    off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, options, expected = CASES[off]
    plain = model().inference(
        list(IMAGES[2 : 2 + LENGTH]), process_res=SIZE[1], ref_view_strategy='first'
    )
    switch(monkeypatch)
    network = torch_window_network(model())
    for start in (0, 1):
        network.run(window(start, **options))
    counts = counted(monkeypatch)
    got = network.run(window(2, **options))
    assert {what: counts[what] for what in expected} == expected
    assert plain.conf is not None
    alone = [plain.depth[-1], plain.conf[-1], plain.extrinsics, plain.intrinsics]
    for ours, theirs in zip(last_of(got), alone, strict=True):
        assert theirs is not None
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
