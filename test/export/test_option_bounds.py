"""Options at their bounds, as their descriptions name them, and just beyond."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from da3_ros.errors import ExportError
from da3_ros.export.depth_colours import coloured_depth
from da3_ros.export.depth_png import depth_in_mm
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.options import ExportOptions
from da3_ros.export.spectral import spectral
from da3_ros.options.export import GlbOptions, GsPlyOptions
from helpers.export_scenes import make_view

BOUNDS: list[tuple[type[Any], str, list[object], list[object]]] = [
    (GsPlyOptions, 'views_interval', [None, 1, 1000], [0, -1]),
    (GsPlyOptions, 'border_share', [0.0, 0.5], [-0.001, 0.501]),
    (GsPlyOptions, 'depth_quantile', [0.0, 1.0], [-0.001, 1.001]),
    (GsPlyOptions, 'min_opacity', [0.0, 1.0], [-0.001, 1.001]),
    (
        GsVideoOptions,
        'out_image_hw',
        [None, (1, 1), (16384, 16384), (1, 16384)],
        [(0, 1), (1, 0), (16385, 1), (1, 16385), (5, 5, 5), (5,)],
    ),
    (
        GsVideoOptions,
        'output_name',
        [None, 'a', 'x' * 100, '-a', '_a.b-c', '0'],
        ['', 'x' * 101, '.a', 'a/b', 'a b', 'ä'],
    ),
    (GsVideoOptions, 'chunk_size', [1, 100], [0, -1]),
    (GsVideoOptions, 'cameras', [None], [()]),
    (GsVideoOptions, 'vis_depth', [None, 'hcat', 'vcat'], ['left']),
    (ExportOptions, 'conf_thresh_percentile', [0.0, 100.0], [-0.001, 100.001, float('nan')]),
    (ExportOptions, 'num_max_points', [1], [0, -1]),
    (ExportOptions, 'feat_vis_fps', [1, 240], [0, 241]),
    (GlbOptions, 'conf_thresh', [0.0, 1e9], [-0.001, float('nan')]),
    (GlbOptions, 'ensure_thresh_percentile', [0.0, 100.0], [-0.001, 100.001]),
    (GlbOptions, 'camera_size', [1e-9, 0.5, 1e5], [0.0, -1.0]),
]


@pytest.mark.parametrize(('group', 'name', 'good', 'bad'), BOUNDS, ids=lambda value: str(value))
def test_values_up_to_the_bound_are_taken_and_beyond_refused(
    group: type[Any], name: str, good: list[object], bad: list[object]
) -> None:
    for value in good:
        assert getattr(group(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ExportError, match=name):
            group(**{name: value})


def test_what_single_formats_change_is_checked_with_the_rest() -> None:
    options = ExportOptions(num_max_points=5, by_format={'glb': {'num_max_points': 3}})
    assert options.of('glb').num_max_points == 3
    assert options.of('ply').num_max_points == 5
    assert not options.of('glb').by_format
    with pytest.raises(ExportError, match='num_max_points'):
        ExportOptions(by_format={'glb': {'num_max_points': 0}})


def test_millimetres_are_rounded_and_what_does_not_fit_is_zero() -> None:
    view = make_view()
    depth = view.depth.copy()
    values = [0.0004, 0.0006, 0.0014, 1.2346, 65.535, 65.5354, 65.536, 70.0, np.inf, -1.0]
    depth[3, :10] = values
    got = depth_in_mm(replace(view, depth=depth))[3, :10]
    assert got.dtype == np.uint16
    assert got.tolist() == [0, 1, 1, 1235, 65535, 65535, 0, 0, 0, 0]


def test_the_colours_of_depth_are_those_of_colorbrewer_from_near_to_far() -> None:
    """Spectral with eleven classes begins with (158, 1, 66) and ends with (94, 79, 162)."""
    shares = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    near, first, middle, last, far = spectral(shares).tolist()
    assert near == first == [158, 1, 66]
    assert far == last == [94, 79, 162]
    np.testing.assert_allclose(middle, [255, 255, 191], atol=2)
    # A class of the scheme lies at every tenth.
    np.testing.assert_allclose(
        spectral(np.array([0.1, 0.9])), [[213, 62, 79], [50, 136, 189]], atol=4
    )


def test_sheets_are_linear_in_nearness_between_their_percentiles() -> None:
    view = make_view()
    nearness = np.linspace(0.1, 1.0, 12 * 16).reshape(12, 16)
    view = replace(view, depth=(1 / nearness).astype(np.float32))
    colours = coloured_depth(view.depth).reshape(-1, 3)
    low, high = np.percentile(nearness, [2, 98])
    wanted = spectral(1 - (nearness.ravel() - low) / (high - low))
    assert np.abs(colours.astype(int) - wanted).max() <= 3
    assert colours[-1].tolist() == [158, 1, 66]  # the nearest
    assert colours[0].tolist() == [94, 79, 162]
