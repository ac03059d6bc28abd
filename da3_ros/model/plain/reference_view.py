"""Choice of the view that defines the window's frame."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from da3_ros.options.choices import REFERENCE_STRATEGIES

MIN_VIEWS_TO_REORDER = 3
"""With fewer views the first one is always the reference."""


def select_reference(class_tokens: NDArray[np.float32], strategy: str) -> int:
    """Choose the reference view of a window, in float32 whatever computed the tokens.

    Args:
        class_tokens: (V, C) class tokens of the views; V >= 1.
        strategy: One of `REFERENCE_STRATEGIES`.

    Returns:
        Its index; 0 for fewer than `MIN_VIEWS_TO_REORDER` views.

    Raises:
        ValueError: The strategy is not known.
    """
    if strategy not in _RULES:
        raise ValueError(unknown_strategy(strategy))
    if len(class_tokens) < MIN_VIEWS_TO_REORDER:
        return 0
    return _RULES[strategy](np.asarray(class_tokens, np.float32))


def unknown_strategy(strategy: str) -> str:
    """Return what is wrong with a strategy that does not exist."""
    return f'unknown reference view strategy {strategy!r}, expected {REFERENCE_STRATEGIES}'


def _first(tokens: NDArray[np.float32]) -> int:
    del tokens
    return 0


def _middle(tokens: NDArray[np.float32]) -> int:
    return len(tokens) // 2


def _similarity(tokens: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit tokens (V, C) and their cosine similarities (V, V), minus identity."""
    unit = tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
    return unit, unit @ unit.T - np.eye(len(tokens), dtype=np.float32)


def _saddle_balanced(tokens: NDArray[np.float32]) -> int:
    """Prefer the view that is average in similarity, token length and channel spread."""
    unit, similarity = _similarity(tokens)
    measures = np.stack(
        (
            similarity.sum(axis=-1) / (len(tokens) - 1),
            np.linalg.norm(tokens, axis=-1),
            unit.var(axis=-1, ddof=1),
        ),
        axis=-1,
    )
    low, high = measures.min(axis=0), measures.max(axis=0)
    relative = (measures - low) / (high - low + np.float32(1e-8))
    return int(np.abs(relative - np.float32(0.5)).sum(axis=-1).argmin())


def _saddle_sim_range(tokens: NDArray[np.float32]) -> int:
    """Prefer the view whose similarities spread most.

    The lowered diagonal takes part in the minimum, as in the reference behaviour, so the two most
    similar views tie and rounding decides between them.
    """
    _, similarity = _similarity(tokens)
    return int((similarity.max(axis=-1) - similarity.min(axis=-1)).argmax())


_RULES: dict[str, Callable[[NDArray[np.float32]], int]] = {
    'saddle_balanced': _saddle_balanced,
    'saddle_sim_range': _saddle_sim_range,
    'first': _first,
    'middle': _middle,
}
