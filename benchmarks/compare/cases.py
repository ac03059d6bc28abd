"""What is measured, and how the time that there is is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]
USUAL_SIZE: Size = (280, 504)
SMALL_SIZE: Size = (140, 252)
VIEWS = (1, 2, 4)
WINDOWS = ((4, 1), (8, 1))

_WEIGHTS = {'da3-nano': 0.1, 'da3-small': 1.0, 'da3-base': 3.5, 'da3-large': 12.0}


@dataclass(frozen=True, slots=True)
class Case:
    """A call with so many views, or a step of a sliding window."""

    preset: str
    size: Size
    """(H, W) of the images, px."""
    views: int
    stride: int = 0
    """New images of a step; 0 for a call."""

    @property
    def do(self) -> str:
        """Request of a worker."""
        return 'step' if self.stride else 'forward'

    @property
    def request(self) -> dict[str, Any]:
        """Arguments of the request, but the images."""
        if self.stride:
            return {'length': self.views, 'stride': self.stride}
        return {'views': self.views}

    @property
    def record(self) -> dict[str, Any]:
        """The case in the results."""
        kind = 'window' if self.stride else 'call'
        return {'kind': kind, 'preset': self.preset, 'size': list(self.size), **self.request}

    @property
    def weight(self) -> float:
        """How much time it takes, about, relative to others."""
        pixels = self.size[0] * self.size[1] / (USUAL_SIZE[0] * USUAL_SIZE[1])
        return _WEIGHTS.get(self.preset, 30.0) * pixels * self.views

    def __str__(self) -> str:
        what = f'{self.views} views' if not self.stride else f'window {self.views}/{self.stride}'
        return f'{self.preset} {self.size[1]}x{self.size[0]} {what}'


def plan(
    presets: Sequence[str],
    sizes: Sequence[Size],
    views: Sequence[int],
    windows: Sequence[tuple[int, int]],
) -> list[Case]:
    """Return the cases: calls, and windows of the largest size.

    Of all networks but the first only the largest size and the first window are measured.
    """
    cases = []
    largest = max(sizes)
    for preset in presets:
        is_first = preset == presets[0]
        for size in sizes if is_first else [largest]:
            cases += [Case(preset, size, count) for count in views]
        chosen = windows if is_first else windows[:1]
        cases += [Case(preset, largest, length, stride) for length, stride in chosen]
    return cases


def budget_s(case: Case, left: Sequence[Case], left_s: float) -> float:
    """Return the time for a case, of what is left for it and those behind it."""
    return left_s * case.weight / sum(other.weight for other in left)
