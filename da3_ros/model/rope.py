"""Two-dimensional rotary position embedding.

Tables are built from the patch grid alone, on the device of the tokens, and kept for the next
forward pass: no position tensor is ever read back to the host.

Source: Su et al., "RoFormer" (2021), section 3.2.2, applied separately to rows (first half of a
head's channels) and columns (second half), with base 100 and half-split pairing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from da3_ros.model.kept import Kept

FREQUENCY_BASE = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class RotaryTable:
    """Cosines and sines for a sequence of tokens."""

    cos: Tensor
    """(T, D) cosine per token and channel of a head, D = head channels."""

    sin: Tensor
    """(T, D) sine per token and channel of a head."""

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate queries or keys x (B, heads, T, D)."""
        quarters = torch.unflatten(x, -1, (2, 2, -1))
        first, second = quarters.unbind(-2)
        rotated = torch.stack((-second, first), dim=-2).flatten(-3)
        return x * self.cos + rotated * self.sin

    def rows(self, rows: Sequence[slice]) -> 'RotaryTable':
        """Return the table of some rows of the sequence, one after another."""
        return RotaryTable(
            torch.cat([self.cos[some] for some in rows]),
            torch.cat([self.sin[some] for some in rows]),
        )

    def repeat(self, views: int) -> 'RotaryTable':
        """Return the table for `views` copies of the sequence, one after another."""
        return RotaryTable(self.cos.repeat(views, 1), self.sin.repeat(views, 1))


@dataclass(frozen=True, slots=True)
class RotaryTables:
    """Tables of one forward pass."""

    within_view: RotaryTable
    """For one view's tokens [special, patches]: patch (r, c) stands at (r + 1, c + 1)."""

    across_views: RotaryTable
    """For all views' tokens, view-major: every patch stands at (1, 1), wherever it is."""


_KEPT = Kept[RotaryTables]()


def build_tables(
    grid: tuple[int, int],
    views: int,
    head_dim: int,
    like: Tensor,
    rounding: torch.dtype = torch.float32,
) -> RotaryTables:
    """Build the tables for a patch grid.

    Args:
        grid: (h, w) patches.
        views: Views that attend to one another.
        head_dim: D, channels of a head; a multiple of 4.
        like: Tensor whose device and dtype the tables take.
        rounding: Format in which angles are formed, see `arithmetic`.

    Returns:
        Tables for attention within a view and across views.
    """
    key = (grid, views, head_dim, like.device, like.dtype, rounding)
    return _KEPT.get(key, like, lambda: _tables(grid, views, head_dim, like, rounding))


def _tables(
    grid: tuple[int, int], views: int, head_dim: int, like: Tensor, rounding: torch.dtype
) -> RotaryTables:
    h, w = grid
    device = like.device
    rows = torch.arange(1, h + 1, device=device).repeat_interleave(w)
    cols = torch.arange(1, w + 1, device=device).repeat(h)
    patches = torch.stack((rows, cols), dim=-1)
    # The special token in front of the patches stands at (0, 0) in both kinds of attention.
    local = torch.cat((patches.new_zeros(1, 2), patches))
    across = torch.cat((patches.new_zeros(1, 2), torch.ones_like(patches)))
    return RotaryTables(
        within_view=_table(local, head_dim, like.dtype, rounding),
        across_views=_table(across, head_dim, like.dtype, rounding).repeat(views),
    )


def _table(
    positions: Tensor, head_dim: int, dtype: torch.dtype, rounding: torch.dtype
) -> RotaryTable:
    axis_dim = head_dim // 2
    exponents = torch.arange(0, axis_dim, 2, device=positions.device, dtype=torch.float32)
    frequencies = 1.0 / FREQUENCY_BASE ** (exponents / axis_dim)
    # (T, 2 axes, axis_dim / 2) -> each axis holds its angles twice, one per element of a pair.
    angles = positions.to(rounding)[..., None] * frequencies.to(rounding)
    angles = torch.cat((angles, angles), dim=-1).flatten(1).to(dtype)
    return RotaryTable(angles.cos(), angles.sin())
