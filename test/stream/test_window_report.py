"""Notes of a window's report: said where there is something to say, with the number in them."""

from __future__ import annotations

import math

import pytest

from da3_ros.stream.scale.world import WorldScale
from da3_ros.stream.window_report import changed_depth, refused, views_contradict


@pytest.mark.parametrize('factor', [1.6, 1 / 1.6, 3.0])
def test_depth_that_changes_by_more_than_half_is_said_with_the_factor(factor: float) -> None:
    (note,) = changed_depth(2.0, 2.0 * factor)
    assert note.code == 'depth_changed'
    assert note.numbers == {'factor': pytest.approx(factor)}
    assert f'{factor:.2g} times' in note.text


@pytest.mark.parametrize(
    ('before', 'now'),
    [(2.0, 2.9), (2.0, 1.4), (math.nan, 2.0), (2.0, math.nan), (0.0, 1.0), (1.0, 0.0)],
)
def test_depth_that_stays_or_is_not_known_is_not_worth_a_note(before: float, now: float) -> None:
    assert changed_depth(before, now) == ()


def test_views_that_contradict_are_counted() -> None:
    note = views_contradict(3)
    assert note.numbers == {'views': 3}
    assert note.text.startswith('3 shared views')


def test_a_refused_window_keeps_the_unit_that_was_and_says_why() -> None:
    world = WorldScale(math.log(2.0), 0.01, is_metric=True, source='rig')
    report = refused(world, 'view 1: no pose')
    assert report.scale == pytest.approx(2.0)
    assert report.is_metric
    assert report.shared_views == 0
    assert report.scale_log_sigma == pytest.approx(0.1)
    assert (report.scale_source, report.method) == ('chain', 'dead_reckoning')
    (note,) = report.notes
    assert (note.code, note.text.endswith(': view 1: no pose')) == ('window_refused', True)
    first = refused(None, 'view 1: no pose')
    assert (first.scale, first.is_metric, first.method) == (1.0, False, 'first')
