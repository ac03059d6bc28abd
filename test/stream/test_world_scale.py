"""Which source gives the scale, and how the world follows it."""

from __future__ import annotations

from dataclasses import replace
import itertools
import math

import pytest

from da3_ros.notes import joined
from da3_ros.options.choices import ScaleChoice
from da3_ros.stream.scale.measurements import LogScale
from da3_ros.stream.scale.world import (
    Metric,
    MetricCandidate,
    MetricSource,
    WorldScale,
    choose_metric,
    next_scale,
)

SOURCES: tuple[MetricSource, ...] = ('odometry', 'rig', 'estimator', 'camera_info')
SAID = LogScale(0.1, 0.02)
METRIC = WorldScale(0.0, 0.01**2, is_metric=True, source='rig', anchor='rig')


def candidates(**states: str) -> dict[MetricSource, MetricCandidate]:
    """Return sources that measure ('yes'), are silent ('silent') or not there (default)."""
    found: dict[MetricSource, MetricCandidate] = {}
    for source in SOURCES:
        state = states.get(source, 'no')
        found[source] = MetricCandidate(
            source,
            SAID if state == 'yes' else None,
            f'{source} is not there' if state == 'no' else '',
        )
    return found


@pytest.mark.parametrize('states', list(itertools.product(['yes', 'no'], repeat=4)))
def test_auto_takes_the_first_in_the_order_and_says_nothing(states: tuple[str, ...]) -> None:
    found, notes = choose_metric(
        'auto', candidates(**dict(zip(SOURCES, states, strict=True))), is_metric=False
    )
    first = next((s for s, state in zip(SOURCES, states, strict=True) if state == 'yes'), None)
    assert (found.source if found else None) == first
    assert notes == ()


@pytest.mark.parametrize(
    ('choice', 'there', 'expected'),
    [
        ('odometry', {'rig'}, 'rig'),
        ('odometry', {'camera_info'}, 'camera_info'),
        ('rig', {'odometry', 'estimator'}, 'estimator'),
        ('rig', {'odometry'}, None),
        ('metric_model', {'rig', 'camera_info'}, 'camera_info'),
        ('camera_info', {'estimator', 'rig'}, None),
    ],
)
def test_a_source_that_is_not_there_falls_back_down_the_order_and_says_so(
    choice: ScaleChoice, there: set[str], expected: str | None
) -> None:
    found, notes = choose_metric(
        choice, candidates(**dict.fromkeys(there, 'yes')), is_metric=False
    )
    assert (found.source if found else None) == expected
    (note,) = notes
    assert note.code == ('scale_source_missing' if expected is None else 'scale_source_replaced')
    assert note.text.startswith(f'scale_source is {choice}, but ')
    assert 'is not there' in note.text
    assert ('instead' in note.text) == (expected is not None)
    wanted: MetricSource = 'estimator' if choice == 'metric_model' else choice  # type: ignore[assignment]
    assert choose_metric(choice, candidates(**{wanted: 'yes'}), is_metric=False)[1] == ()


def test_none_takes_nothing() -> None:
    everything = candidates(**dict.fromkeys(SOURCES, 'yes'))
    assert choose_metric('none', everything, is_metric=True) == (None, ())


def test_a_silent_source_is_waited_for_once_the_world_is_metric() -> None:
    found = candidates(odometry='silent', estimator='yes')
    for choice in ('auto', 'odometry'):
        assert choose_metric(choice, found, is_metric=True) == (None, ())
        metric, notes = choose_metric(choice, found, is_metric=False)
        assert metric is not None
        assert metric.source == 'estimator'
        assert ('cannot tell yet' in joined(notes)) == (choice == 'odometry')


def test_a_gathering_source_is_named_only_where_it_is_the_one_that_counts() -> None:
    chain = LogScale(0.0, 1e-3)
    anchored = replace(METRIC, anchor='odometry')
    assert next_scale(anchored, chain, None, 'odometry').source == 'odometry'
    assert next_scale(anchored, chain, None).source == 'chain'
    assert next_scale(METRIC, chain, None, 'odometry').source == 'chain'


def follow(measured: list[float], sigma: float = 0.02) -> list[WorldScale]:
    """Return the world's scale, window by window, with a chain that says nothing changed."""
    worlds = [METRIC]
    for value in measured:
        metric = Metric('odometry', LogScale(value, sigma))
        worlds.append(next_scale(worlds[-1], LogScale(worlds[-1].log_scale, 1e-3), metric))
    return worlds[1:]


def test_a_wild_measurement_pulls_a_little_and_is_named() -> None:
    (world,) = follow([math.log(2)])
    assert 0 < world.log_scale < 0.01
    assert world.note is not None
    assert 'by odometry everything is 100.0 % larger' in world.note.text
    assert world.note.numbers['share'] == pytest.approx(1.0)
    assert not world.has_jumped


def test_a_lasting_disagreement_is_followed_at_once_and_said() -> None:
    worlds = follow([math.log(2)] * 10)
    assert [world.is_new_unit for world in worlds] == [False] * 4 + [True] + [False] * 5
    assert max(world.log_scale for world in worlds[:4]) < 0.1
    assert worlds[4].note is not None
    assert 'follows it at once' in worlds[4].note.text
    assert worlds[4].log_scale == pytest.approx(math.log(2))
    assert worlds[4].factor == 1.0
    said = [world.note.code if world.note else None for world in worlds[:6]]
    assert said == ['scale_off'] * 4 + ['scale_followed', None]


def test_disagreement_to_both_sides_is_no_reason_to_follow() -> None:
    worlds = follow([0.6, -0.6] * 8)
    assert not any(world.has_jumped for world in worlds)
    assert max(abs(world.log_scale) for world in worlds) < 0.05


def test_small_disagreement_is_smoothed_without_a_word() -> None:
    worlds = follow([0.03] * 60)
    steps = [b.log_scale - a.log_scale for a, b in itertools.pairwise(worlds)]
    assert not any(world.note or world.has_jumped for world in worlds)
    assert max(steps) < 0.01
    assert worlds[-1].log_scale == pytest.approx(0.03, abs=3e-3)
