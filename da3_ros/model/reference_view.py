"""Choice of the view that defines the window's frame, and the reordering that follows."""

from collections.abc import Callable

import torch
from torch import Tensor

from da3_ros.model.plain.reference_view import unknown_strategy


def select_reference(
    class_tokens: Tensor, strategy: str, rounding: torch.dtype = torch.float32
) -> Tensor:
    """Choose one reference view per scene.

    Args:
        class_tokens: (B, V, C) class tokens of the views.
        strategy: One of `options.choices.REFERENCE_STRATEGIES`.
        rounding: Format in which similarities are formed, see `arithmetic`.

    Returns:
        (B,) int64 view indices.

    Raises:
        ValueError: The strategy is not known.
    """
    if strategy not in _RULES:
        raise ValueError(unknown_strategy(strategy))
    if class_tokens.shape[1] <= 1:
        return _first(class_tokens)
    return _RULES[strategy](class_tokens, rounding)


def _first(tokens: Tensor, rounding: torch.dtype = torch.float32) -> Tensor:
    del rounding
    return torch.zeros(tokens.shape[0], dtype=torch.int64, device=tokens.device)


def _middle(tokens: Tensor, rounding: torch.dtype) -> Tensor:
    del rounding
    return torch.full_like(_first(tokens), tokens.shape[1] // 2)


def _similarity(tokens: Tensor, rounding: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return unit tokens (B, V, C) and their cosine similarities (B, V, V), minus identity."""
    unit = tokens / tokens.norm(dim=-1, keepdim=True)
    identity = torch.eye(tokens.shape[1], dtype=torch.float32, device=tokens.device)
    rounded = unit.to(rounding)
    return unit, rounded @ rounded.transpose(1, 2) - identity


def _saddle_balanced(tokens: Tensor, rounding: torch.dtype) -> Tensor:
    """Prefer the view that is average in similarity, token length and channel spread."""
    unit, similarity = _similarity(tokens, rounding)
    views = tokens.shape[1]
    measures = torch.stack(
        (similarity.sum(dim=-1) / (views - 1), tokens.norm(dim=-1), unit.var(dim=-1)), dim=-1
    )
    low = measures.amin(dim=1, keepdim=True)
    high = measures.amax(dim=1, keepdim=True)
    relative = (measures - low) / (high - low + 1e-8)
    return (relative - 0.5).abs().sum(dim=-1).argmin(dim=1)


def _saddle_sim_range(tokens: Tensor, rounding: torch.dtype) -> Tensor:
    """Prefer the view whose similarities spread most.

    The lowered diagonal takes part in the minimum, as in the reference behaviour, so the two most
    similar views tie and rounding decides between them.
    """
    _, similarity = _similarity(tokens, rounding)
    return (similarity.amax(dim=-1) - similarity.amin(dim=-1)).argmax(dim=1)


_RULES: dict[str, Callable[[Tensor, torch.dtype], Tensor]] = {
    'saddle_balanced': _saddle_balanced,
    'saddle_sim_range': _saddle_sim_range,
    'first': _first,
    'middle': _middle,
}
