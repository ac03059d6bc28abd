"""Depth as 8-bit grey pictures, read back by Pillow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from da3_ros.export.registry import export_scene
from helpers.export_scenes import scene_of, view_of


def read(path: Path) -> NDArray[Any]:
    with Image.open(path) as picture:
        assert picture.mode == 'L'
        return np.asarray(picture)


def test_depth_images_go_from_black_to_white_over_the_whole_scene(tmp_path: Path) -> None:
    near, far = (np.arange(start, start + 100.0).reshape(10, 10) for start in (1, 101))
    scene = scene_of(view_of(near.tolist()), view_of(far.tolist()))
    report = export_scene(scene, 'depth_image', tmp_path)
    low, high = np.percentile(np.arange(1, 201), [2, 98])
    for depth, path in zip((near, far), report.files, strict=True):
        expected = 1 + 254 * np.clip((depth - low) / (high - low), 0, 1)
        assert np.abs(read(path) - expected).max() <= 0.5 + 1e-6
    assert report.points == 0


def test_depth_images_are_0_where_nothing_is_known_and_white_where_it_is_farthest(
    tmp_path: Path,
) -> None:
    sky = np.array([[False, True]] * 2)
    view = replace(view_of([[np.nan, 5.0], [np.inf, 1.0]]), sky=sky)
    other = view_of([[2.0, -1.0], [2.0, 0.0]])
    files = export_scene(scene_of(view, other), 'depth_image', tmp_path).files
    # All known depth is 2: middle grey.
    assert [read(f).tolist() for f in files] == [[[0, 255], [255, 255]], [[128, 0], [128, 0]]]
    nothing = export_scene(scene_of(view_of([[np.nan, np.nan]])), 'depth_image', tmp_path / 'x')
    assert read(nothing.files[0]).tolist() == [[0, 0]]


def test_depth_images_carry_the_caution_below_their_pixels(tmp_path: Path) -> None:
    view = view_of([[1.0] * 200, [2.0] * 200])
    plain, marked = (
        read(
            export_scene(replace(scene_of(view), caution=text), 'depth_image', tmp_path / n).files[
                0
            ]
        )
        for n, text in (('a', ''), ('b', 'random weights'))
    )
    assert len(marked) > len(plain) == 2
    np.testing.assert_array_equal(marked[:2], plain)
