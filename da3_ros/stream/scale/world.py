"""The unit of the world: which source tells the metre, and how windows follow it.

A Kalman filter of one number, the logarithm of the world's unit in metres. The chain of shared
views carries it from window to window and adds its variance; what measures metres bounds the
drift. The scale never jumps unsaid:

- A measurement within three standard deviations of what is expected pulls by its weight.
- Beyond that it still pulls, but with a variance that makes it plausible, and a note says so.
- When it stays beyond for five windows in a row, always on the same side, the world follows it at
  once, and a note says by how much.
- A world without metres becomes metric when something measures it; a note gives the factor.

Source: Kalman 1960, in one dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import Literal

from da3_ros.notes import Note
from da3_ros.options.choices import ScaleChoice
from da3_ros.stream.scale.measurements import FUSED_FLOOR, LogScale
from da3_ros.types import ScaleSource

MetricSource = Literal['odometry', 'rig', 'estimator', 'camera_info']

METRIC_SIGMA = 0.05
"""Assumed standard deviation of log(scale) of a network that says its output is metric."""

_NAMES: dict[MetricSource, ScaleChoice] = {
    'odometry': 'odometry',
    'rig': 'rig',
    'estimator': 'metric_model',
    'camera_info': 'camera_info',
}
_IN_WORDS: dict[MetricSource, str] = {
    'odometry': 'odometry',
    'rig': 'the known distances between the cameras',
    'estimator': 'the metric network',
    'camera_info': 'the known focal length',
}
_NO_METRES = Note(
    'no_metric_source',
    'no metric source: nothing says how long a metre is, so that depth and positions are in the '
    'unit of the first window',
)
_KEPT = Note(
    'scale_kept',
    'how large things are could not be measured in this window: the scale of the one before was '
    'kept',
)
_LOST_SIGMA = 0.7
_GATE_SIGMAS = 3.0
_PERSISTENT = 5


@dataclass(frozen=True, slots=True)
class MetricCandidate:
    """One source of metres in one window."""

    source: MetricSource
    measured: LogScale | None
    """log(metres per unit of the window); None when it says nothing about this window."""
    problem: str = ''
    """Why the source is not there; empty when it is, even if it has nothing to say for now, as
    odometry of a robot that stands."""
    is_gathering: bool = False
    """Whether the window adds to a measurement that several windows make together."""
    doubt: Note | None = None
    """Why what it says does not count; None where it says nothing or is believed."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The measurement that counts in a window."""

    source: MetricSource
    measured: LogScale


@dataclass(frozen=True, slots=True)
class WorldScale:
    """The scale of the newest window and how well the world's unit is known."""

    log_scale: float
    variance: float
    """Of the logarithm of the world's unit: against the metre when metric, else against the
    first window."""
    is_metric: bool
    source: ScaleSource
    has_jumped: bool = False
    """Whether the world's unit changed, so that older geometry is in another one."""
    is_new_unit: bool = False
    """Whether what was handed out before is in another unit (a jump between two metric windows
    that share nothing is none)."""
    factor: float = 1.0
    """New world units per old one, for the places of cameras that the world goes on from."""
    note: Note | None = None
    anchor: ScaleSource = 'none'
    """What measured metres last."""
    disputed: int = 0
    """Windows in a row whose measurement was beyond the gate: above (+) or below (-)."""

    @property
    def scale(self) -> float:
        """World units per unit of the window."""
        return math.exp(self.log_scale)

    @property
    def log_sigma(self) -> float:
        """Standard deviation of the logarithm; NaN when it was set rather than measured."""
        return math.sqrt(self.variance) if self.source != 'none' else math.nan


def choose_metric(
    choice: ScaleChoice, candidates: Mapping[MetricSource, MetricCandidate], *, is_metric: bool
) -> tuple[Metric | None, tuple[Note, ...]]:
    """Return the measurement that counts, and notes when it is not the one asked for.

    The order is odometry, rig, metric_model, camera_info. `auto` takes the first that measures
    this window; a name takes that source, or the first after it in the order. A source that is
    there but silent (odometry of a standing robot) is waited for once the world is metric: a
    weaker source does not pull the scale away meanwhile.

    Args:
        choice: the option `scale_source`.
        candidates: all sources.
        is_metric: whether the world is metric already.
    """
    if choice == 'none':
        return None, ()
    order = list(_NAMES)
    allowed = order if choice == 'auto' else order[list(_NAMES.values()).index(choice) :]
    problem = ''
    for source in allowed:
        candidate = candidates[source]
        is_wanted = choice in ('auto', _NAMES[source])
        if candidate.measured is not None:
            text = f'{problem}, {_NAMES[source]} gives the scale instead'
            notes = () if is_wanted else (Note('scale_source_replaced', text),)
            return Metric(source, candidate.measured), notes
        if not candidate.problem and is_metric:
            return None, ()
        if is_wanted and choice != 'auto':
            reason = candidate.problem or 'it cannot tell yet (too little movement, too few views)'
            problem = f'scale_source is {choice}, but {reason}'
    if problem:
        text = f'{problem}, and nothing after it in the order gives one'
        return None, (Note('scale_source_missing', text),)
    doubts = [candidates[source].doubt for source in allowed]
    return None, () if is_metric else tuple(doubt for doubt in doubts if doubt is not None)


def next_scale(
    world: WorldScale | None,
    chain: LogScale | None,
    metric: Metric | None,
    gathering: MetricSource | None = None,
) -> WorldScale:
    """Return the scale of a window from the world before it and what could be measured.

    Args:
        world: the scale after the window before; None for the first window.
        chain: measured against shared views.
        metric: measured in metres.
        gathering: the source to which this window adds, but not enough yet.
    """
    if world is None:
        if metric is None:
            return WorldScale(0.0, 0.0, is_metric=False, source='none', note=_NO_METRES)
        return _set_anew(metric, has_jumped=False)
    if metric is None:
        return _carried(world, chain, gathering)
    if not world.is_metric:
        return _becoming(world, chain, metric)
    if chain is None:
        return _set_anew(metric)
    prior = LogScale(chain.value, math.hypot(math.sqrt(world.variance), chain.sigma))
    return _filtered(world, prior, metric)


def _set_anew(
    metric: Metric,
    *,
    has_jumped: bool = True,
    is_new_unit: bool = False,
    factor: float = 1.0,
    note: Note | None = None,
) -> WorldScale:
    """Return the scale that a measurement alone gives."""
    return WorldScale(
        metric.measured.value,
        metric.measured.sigma**2,
        is_metric=True,
        source=metric.source,
        has_jumped=has_jumped,
        is_new_unit=is_new_unit,
        factor=factor,
        note=note,
        anchor=metric.source,
    )


def _carried(
    world: WorldScale, chain: LogScale | None, gathering: MetricSource | None
) -> WorldScale:
    """Return the scale where nothing says what a metre is."""
    if chain is not None:
        variance = world.variance + chain.sigma**2
        is_anchored = world.is_metric and gathering == world.anchor
        return WorldScale(
            chain.value,
            variance,
            world.is_metric,
            source=world.anchor if is_anchored else 'chain',
            anchor=world.anchor,
            disputed=world.disputed,
        )
    return WorldScale(
        world.log_scale,
        world.variance + _LOST_SIGMA**2,
        is_metric=False,
        source='chain',
        note=_KEPT,
    )


def _becoming(world: WorldScale, chain: LogScale | None, metric: Metric) -> WorldScale:
    """Return the scale of a world that has no metres yet and gets some."""
    before = chain.value if chain else world.log_scale
    factor = math.exp(metric.measured.value - before)
    text = f'the world became metric: its unit was {factor:.4g} m until now'
    note = Note('became_metric', text, {'factor': factor})
    return _set_anew(metric, is_new_unit=True, factor=factor, note=note)


def _filtered(world: WorldScale, prior: LogScale, metric: Metric) -> WorldScale:
    measured = metric.measured
    difference = measured.value - prior.value
    expected = math.hypot(prior.sigma, measured.sigma)
    # A measurement beyond the gate pulls, but with a variance that makes it plausible.
    excess = max(abs(difference) / (_GATE_SIGMAS * expected), 1.0)
    note: Note | None = None
    disputed = 0
    if excess > 1.0:
        sign = 1 if difference > 0 else -1
        disputed = world.disputed + sign if world.disputed * sign > 0 else sign
        size = f'{100 * abs(math.expm1(difference)):.1f} % {"larger" if sign > 0 else "smaller"}'
        off = f'by {_IN_WORDS[metric.source]} everything is {size} than by the views before'
        sigmas = abs(difference) / expected
        numbers = {'share': math.expm1(difference), 'sigmas': sigmas, 'windows': abs(disputed)}
        if abs(disputed) >= _PERSISTENT:
            text = f'{off}, for {_PERSISTENT} windows in a row: the world follows it at once'
            note = Note('scale_followed', text, numbers)
            return _set_anew(metric, is_new_unit=True, note=note)
        text = f'{off} ({sigmas:.1f} standard deviations)'
        note = Note('scale_off', text, numbers)
    variance = (measured.sigma * excess) ** 2
    gain = prior.sigma**2 / (prior.sigma**2 + variance)
    return WorldScale(
        log_scale=prior.value + gain * difference,
        variance=max(gain * variance, FUSED_FLOOR**2, measured.common**2),
        is_metric=True,
        source=metric.source,
        note=note,
        anchor=metric.source,
        disputed=disputed,
    )
