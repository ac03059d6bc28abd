"""Gaussians are made for the formats that write them, once, and for no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from helpers.export_scenes import complete, two_walls


def with_other_depth(scene: ExportScene) -> ExportScene:
    """Return the scene with Gaussians, and with depth that tells it from the one before."""
    views = tuple(replace(view, depth=view.depth * 2) for view in scene.views)
    return complete(replace(scene, views=views))


@pytest.mark.parametrize('formats', ['mini_npz', 'gs_ply-mini_npz', 'mini_npz-gs_ply'])
def test_other_formats_get_the_scene_as_it_is(tmp_path: Path, formats: str) -> None:
    asked: list[ExportScene] = []

    def add(scene: ExportScene) -> ExportScene:
        asked.append(scene)
        return with_other_depth(scene)

    scene = two_walls()
    report = export_scene(scene, formats, tmp_path, add_gaussians=add)
    assert asked == ([scene] if 'gs_ply' in formats else [])
    (file,) = (path for path in report.files if path.suffix == '.npz')
    with np.load(file) as arrays:
        np.testing.assert_array_equal(arrays['depth'], [view.depth for view in scene.views])
    assert any(path.suffix == '.ply' for path in report.files) == ('gs_ply' in formats)


def test_a_scene_that_has_some_keeps_them(tmp_path: Path) -> None:
    def add(scene: ExportScene) -> ExportScene:
        raise AssertionError('it has Gaussians')

    export_scene(complete(two_walls()), 'gs_ply', tmp_path, add_gaussians=add)
