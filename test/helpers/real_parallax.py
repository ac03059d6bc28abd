"""How right metres by parallax are on real pictures: the counts of `parallax_coverage.py`.

For every window: depth in a unit that is looked for 40 % off, or made-up depth in any unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import math

import numpy as np

from da3_ros.geometry.parallax import Parallax, metres_by_parallax
from da3_ros.geometry.se3 import invert
from helpers.depth_shapes import Shape, shaped
from helpers.real_sets import MOTORCYCLE, RealFrame, RealSet, groups

SHAPES: tuple[Shape, ...] = ('measured', 'smooth', 'constant', 'rows')
MADE_UP: tuple[Shape, ...] = ('constant', 'rows')

_LOG_GUESS = math.log(1.4)
_LOG_VAGUE_GUESS = 0.3
_SIGMAS = 2.0


@dataclass(frozen=True, slots=True)
class Said:
    """What was found in a window."""

    error: float
    """Absolute, of the logarithm."""
    sigma: float

    @property
    def is_inside(self) -> bool:
        """Whether two sigma reach the truth."""
        return self.error <= _SIGMAS * self.sigma


@dataclass(frozen=True, slots=True)
class Row:
    """A set's figures."""

    name: str
    shape: Shape
    windows: int
    said: tuple[Said, ...]
    """Of the windows that were answered."""

    @property
    def inside(self) -> int:
        """How many answers reach the truth within two sigma."""
        return sum(said.is_inside for said in self.said)

    @property
    def median_error(self) -> float:
        """Of the logarithm; NaN without answers."""
        return float(np.median([said.error for said in self.said])) if self.said else math.nan

    @property
    def median_sigma(self) -> float:
        """NaN without answers."""
        return float(np.median([said.sigma for said in self.said])) if self.said else math.nan

    @property
    def worst(self) -> float:
        """Largest error of the logarithm; NaN without answers."""
        return max((said.error for said in self.said), default=math.nan)


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows of a set that are measured."""

    name: str
    set_name: str
    length: int
    stride: int = 1
    step: int = 1

    def windows(self, pictures: int) -> list[list[int]]:
        """Return the indices of pictures, window by window."""
        return groups(pictures, self.length, self.stride, self.step)


PLANS = (
    Plan('7-Scenes, 0.13 m', '7scenes_redkitchen', 4, 1, 10),
    Plan('7-Scenes, 0.41 m', '7scenes_redkitchen', 4, 3, 9),
    Plan('HoloLens', 'hololens_office', 4, 1, 4),
    Plan('Kinect', 'kinect_desk_five', 5),
    Plan('Motorcycle', MOTORCYCLE, 2),
)
"""The windows of `parallax_coverage.py`."""


def measure(
    plan: Plan, pictures: RealSet, shapes: Sequence[Shape] = SHAPES, seed: int = 0
) -> list[Row]:
    """Return a row per shape of depth."""
    windows = plan.windows(len(pictures))
    said: dict[Shape, list[Said]] = {shape: [] for shape in shapes}
    for number, indices in enumerate(windows):
        frames = pictures.frames(indices)
        for shape in shapes:
            answer = _asked(frames, shape, np.random.default_rng((seed, number)))
            if answer is not None:
                said[shape].append(answer)
    return [Row(plan.name, shape, len(windows), tuple(said[shape])) for shape in shapes]


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a table of Markdown; errors and sigma in per cent."""
    lines = [
        '| depth | set | windows | answered | within two sigma | median error | median sigma '
        '| worst |',
        '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ]
    for row in rows:
        cells = [row.shape, row.name, str(row.windows), str(len(row.said)), str(row.inside)]
        cells += [_percent(value) for value in (row.median_error, row.median_sigma, row.worst)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def _percent(log_value: float) -> str:
    return '' if math.isnan(log_value) else f'{100 * math.expm1(log_value):.1f} %'


def _asked(frames: Sequence[RealFrame], shape: Shape, rng: np.random.Generator) -> Said | None:
    depth = shaped(np.stack([frame.depth for frame in frames]), shape, rng)
    is_made_up = shape in MADE_UP
    found: Parallax | None = metres_by_parallax(
        np.stack([frame.image for frame in frames]),
        depth,
        [frame.camera for frame in frames],
        invert(np.stack([frame.world_from_camera for frame in frames])),
        _LOG_VAGUE_GUESS if is_made_up else _LOG_GUESS,
        is_vague=is_made_up,
    )
    return None if found is None else Said(abs(found.log_metres), found.sigma)
