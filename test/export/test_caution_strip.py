"""A caution is on every picture, below it, and changes no pixel of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from da3_ros.export.caution_strip import stamp_caution
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import StillImages
from helpers.export_scenes import two_walls

CAUTION = 'random weights: output means nothing'


@pytest.mark.parametrize('shape', [(1, 1), (7, 16), (40, 30), (100, 504), (60, 3000)])
@pytest.mark.parametrize('channels', [(), (3,)])
def test_the_picture_stays_and_the_caution_is_below_it(
    shape: tuple[int, int], channels: tuple[int, ...]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, *channels)).astype(np.uint8)
    stamped = stamp_caution(image, CAUTION)
    assert stamped.dtype == np.uint8
    assert stamped.shape[1:] == image.shape[1:]
    np.testing.assert_array_equal(stamped[: len(image)], image)
    strip = stamped[len(image) :]
    assert len(strip) >= 8
    if shape[1] >= 30:
        # White letters on a dark strip.
        assert strip.max() > 230
        assert np.median(strip) < 160
        assert len(np.unique(stamp_caution(image, CAUTION[:9]), axis=0)) > 1


def test_without_a_caution_the_picture_is_itself() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    assert stamp_caution(image, '') is image
    assert stamp_caution(image, ' ') is image


def test_other_words_give_another_strip() -> None:
    image = np.zeros((40, 504), np.uint8)
    one, other = stamp_caution(image, 'not for flying'), stamp_caution(image, 'not for diving')
    assert one.shape == other.shape
    assert (one != other).any()


def _pixels(path: Path) -> NDArray[Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize('is_plain', [False, True])
def test_sheets_of_depth_carry_the_caution_of_the_scene(tmp_path: Path, is_plain: bool) -> None:
    options = ExportOptions(depth_vis_suffix='png', depth_vis_plain=is_plain)
    scene = two_walls()
    for name, caution in (('with', CAUTION), ('without', '')):
        cautious = replace(scene, caution=caution)
        export_scene(cautious, 'depth_vis', tmp_path / name, options=options)
    with_it, without = (
        _pixels(tmp_path / n / 'depth_vis' / '0000.png') for n in ('with', 'without')
    )
    np.testing.assert_array_equal(with_it, stamp_caution(without, CAUTION))


def test_pictures_and_frames_of_features_carry_it(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype(np.float32)
    scene = replace(
        two_walls(), stills=StillImages(features={'feat_layer_5': features}), caution=CAUTION
    )
    export_scene(scene, 'feat_vis', tmp_path)
    sheet = _pixels(tmp_path / 'feat_vis' / 'feat_layer_5' / '000000.jpg')
    height, width = scene.views[0].depth.shape
    plain = round(504 * height / max(height, width))
    assert len(sheet) > plain
    with av.open(str(tmp_path / 'feat_vis' / 'feat_layer_5.mp4')) as video:
        frame = next(video.decode(video=0)).to_ndarray(format='rgb24')
    assert len(frame) - len(sheet) in (0, 1)
    assert frame[plain + 2 :].max() > 200
