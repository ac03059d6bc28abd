"""The sheet of a demo run: units, ranges of single pictures, the scale of the view from above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from da3_ros.cli.demo_results import CameraResults, DemoResults, DemoTruth, WindowLine
from da3_ros.cli.demo_sheet import write_sheet
from da3_ros.cli.demo_top_view import ScenePoints, scale_bar
from da3_ros.export.picture_text import INK

NEAREST, FARTHEST = (158, 1, 66), (94, 79, 162)


def _results(*, is_metric: bool, factor: float = 1.0) -> DemoResults:
    """Return a near and a far camera: one range for both would leave few colours to either."""
    cameras = {}
    for name, nearest in (('near', 0.5), ('far', 20.0)):
        depth = np.linspace(nearest, 2 * nearest, 40, dtype=np.float32) * factor
        image = np.full((30, 40, 3), 90, np.uint8)
        tiled = np.tile(depth, (30, 1))
        cameras[name] = CameraResults({1: image}, {1: tiled}, {1: np.ones_like(tiled)})
    window = WindowLine(1, 1, 1.0, 'odometry', is_metric, 0.1, 0.2, 0, 0, '')
    return DemoResults(cameras, {1: np.eye(4)}, [window])


def _sheet(path: Path, results: DemoResults, warning: str = '') -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    points = ScenePoints(
        rng.uniform(-2, 2, (500, 3)).astype(np.float32), np.full((500, 3), 99, np.uint8)
    )
    truth = DemoTruth({name: {} for name in results.cameras}, {})
    write_sheet(path, results, truth, points, 'a title', ['a figure'], warning)
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_every_picture_of_depth_spans_the_palette(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path / 'sheet.png', _results(is_metric=True))
    for end in (NEAREST, FARTHEST):
        rows = np.flatnonzero((sheet == end).all(axis=2).any(axis=1))
        # Two pictures and their two bars, each apart from the next.
        assert (np.diff(rows) > 1).sum() == 3


def test_unit_numbers_and_warning_are_on_it(tmp_path: Path) -> None:
    """The same colours with another unit, other numbers or a warning give another sheet."""
    metric = _sheet(tmp_path / 'a.png', _results(is_metric=True))
    others = [
        _sheet(tmp_path / 'b.png', _results(is_metric=False)),
        _sheet(tmp_path / 'c.png', _results(is_metric=True, factor=3.0)),
        _sheet(tmp_path / 'd.png', _results(is_metric=True), 'not for real pictures'),
    ]
    for other in others:
        assert metric.shape != other.shape or (metric != other).any()


@pytest.mark.parametrize('span', [0.03, 1.0, 11.3, 29.9, 30.1, 5000.0])
def test_the_bar_of_the_view_from_above_is_as_long_as_it_says(span: float) -> None:
    side = 900
    strip = scale_bar(span, side, 'm')
    # The bar is the longest run of ink in any row.
    ink = (strip == INK).all(axis=2)
    rows = [np.flatnonzero(row) for row in ink]
    lengths = [len(run) for row in rows for run in _runs(row)]
    length_units = max(lengths) / side * span
    leading = length_units / 10 ** np.floor(np.log10(length_units) + 0.02)
    assert min(abs(leading - round_one) for round_one in (1, 2, 5, 10)) < 0.1
    assert span / 8 < length_units <= span / 3 * 1.02
    assert (strip != scale_bar(span, side, 'scene units')).any()


def _runs(columns: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    parts = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    return [part for part in parts if len(part)]
