"""What the report of a window says about cameras that disagree with the rig."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest

from da3_ros.stream.placing import Layout, PlacedSet
from da3_ros.stream.rig import BasePose
from da3_ros.stream.window_report import refused, with_rig_residuals
from da3_ros.types import PosedSet

REPORT = replace(refused(None, 'x'), notes=())


def placed(angle_deg: float, distance: float, calibrated: int = 2) -> PlacedSet:
    base = BasePose(np.eye(4), math.radians(angle_deg), distance)
    return PlacedSet(PosedSet(0, (), np.eye(4)), {}, Layout({}, {}), base, calibrated)


@pytest.mark.parametrize(
    ('angle_deg', 'distance', 'is_noted'),
    [(1.9, 0.049, False), (2.1, 0.0, True), (0.0, 0.051, True), (2.1, 0.051, True)],
)
def test_two_degrees_or_five_hundredths_of_a_unit_are_worth_a_note(
    angle_deg: float, distance: float, is_noted: bool
) -> None:
    found = with_rig_residuals(REPORT, [placed(angle_deg, distance)])
    assert bool(found.notes) == is_noted
    assert found.rig_rotation_residual_rad == pytest.approx(math.radians(angle_deg))
    assert found.rig_translation_residual == distance


def test_the_worst_set_counts_and_one_calibrated_camera_cannot_disagree() -> None:
    sets = [placed(0.1, 0.03), placed(1.0, 0.01), placed(90.0, 9.0, calibrated=1)]
    found = with_rig_residuals(REPORT, sets)
    assert found.rig_rotation_residual_rad == pytest.approx(math.radians(1.0))
    assert found.rig_translation_residual == 0.03
    assert found.notes == ()
    assert with_rig_residuals(REPORT, sets[2:]) == REPORT
    assert with_rig_residuals(REPORT, []) == REPORT


@pytest.mark.parametrize(
    ('is_metric', 'distance', 'words'),
    [
        (True, 0.0589, 'disagree by 6 cm and 0.9 degrees'),
        (True, 1.26, 'disagree by 1.3 m and'),
        (True, 0.003, 'disagree by 3 mm and'),
        (False, 0.0589, 'disagree by 0.059 scene units and'),
    ],
)
def test_the_note_has_lengths_as_people_say_them(
    is_metric: bool, distance: float, words: str
) -> None:
    report = replace(REPORT, is_metric=is_metric)
    sets = [placed(0.86, distance), placed(2.1 if distance < 0.05 else 0.1, 0.0)]
    [note] = with_rig_residuals(report, sets).notes
    assert words in note.text
