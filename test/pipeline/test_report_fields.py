"""What a report says is what its definition names, in words that it has for it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from da3_ros.pipeline.pipeline import Losses
from da3_ros.pipeline.report_fields import report_fields
from da3_ros.sinks.definitions import MessageDefinitions
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.types import AlignmentMethod, Conditioning, ScaleSource, WindowResult
from helpers.posed_results import drive

WINDOW, VIEW = 'da3_ros/msg/WindowReport', 'da3_ros/msg/ViewReport'


@pytest.fixture(scope='module', name='result')
def result_fixture() -> WindowResult:
    return drive(make_family_world(), 1)[0]


@pytest.fixture(scope='module', name='definitions')
def definitions_fixture() -> MessageDefinitions:
    definitions = MessageDefinitions()
    definitions.require(WINDOW)
    return definitions


def names(definitions: MessageDefinitions, msgtype: str) -> set[str]:
    _, fields = definitions.typestore.fielddefs[msgtype]
    return {name for name, _ in fields}


def constants(definitions: MessageDefinitions, msgtype: str, prefix: str) -> set[str]:
    found, _ = definitions.typestore.fielddefs[msgtype]
    # What follows a text in its line belongs to it in ROS 1, and is a comment in ROS 2.
    return {
        str(value).partition('#')[0].strip() for name, _, value in found if name.startswith(prefix)
    }


def test_every_field_is_said_once(result: WindowResult, definitions: MessageDefinitions) -> None:
    """By the report, or by whoever makes the message."""
    fields = report_fields(result, Losses(0, 0, ()))
    clocks = {'estimate_s', 'stamp_to_publish_s'}
    assert set(fields.plain) == names(definitions, WINDOW) - clocks - {'header', 'views'}
    for view in fields.views:
        assert set(view.plain) == names(definitions, VIEW) - {'stamp', 'world_from_camera'}


def test_words_are_the_constants_of_the_definition(
    result: WindowResult, definitions: MessageDefinitions
) -> None:
    said = set()
    for source in get_args(ScaleSource):
        alignment = replace(result.alignment, scale_source=source)
        fields = report_fields(replace(result, alignment=alignment), Losses(0, 0, ()))
        said.add(fields.plain['scale_source'])
    assert said == constants(definitions, WINDOW, 'SCALE_')
    assert set(get_args(AlignmentMethod)) == constants(definitions, WINDOW, 'ALIGNMENT_')
    assert set(get_args(Conditioning)) == constants(definitions, WINDOW, 'CONDITIONING_')
    [posed] = result.new_sets
    guessed = tuple(replace(view, is_calibrated=False) for view in posed.views[:1])
    both = replace(result, new_sets=(replace(posed, views=(*posed.views[1:], *guessed)),))
    views = report_fields(both, Losses(0, 0, ())).views
    assert {view.plain['k_source'] for view in views} == constants(definitions, VIEW, 'K_')
