"""Features as colours: against an independent decomposition, and read back."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
from PIL import Image
import pytest

from da3_ros.errors import ExportError
from da3_ros.export.feat_vis import Features, feature_colours
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene, StillImages
from helpers.export_scenes import two_walls


def features(channels: int = 12, views: int = 2) -> Features:
    """Return features that vary most in directions that differ clearly."""
    rng = np.random.default_rng(3)
    spread = 2.0 ** -np.arange(channels)
    turn, _ = np.linalg.qr(rng.normal(size=(channels, channels)))
    values = rng.normal(size=(views, 3, 4, channels)) * spread @ turn + rng.normal(size=channels)
    return np.asarray(values, np.float32)


def scene_with_features(**layers: Features) -> ExportScene:
    return replace(two_walls(), stills=StillImages(features=layers))


@pytest.mark.parametrize('channels', [2, 3, 4, 12])
def test_colours_are_the_principal_components(channels: int) -> None:
    """The oracle is the singular value decomposition of all features, centred."""
    found = features(channels)
    tokens = found.reshape(-1, channels).astype(np.float64)
    _, _, axes = np.linalg.svd(tokens - tokens.mean(axis=0), full_matrices=False)
    values = (tokens - tokens.mean(axis=0)) @ axes[:3].T
    values *= np.sign(axes[:3, :][np.arange(min(3, channels)), np.abs(axes[:3]).argmax(axis=1)])
    low, high = np.quantile(values, [0.1, 0.9], axis=0)
    wanted = np.clip((values - low) / (high - low), 0, 1) * 255
    got = feature_colours(found).reshape(-1, 3).astype(np.float64)
    assert np.abs(got[:, : wanted.shape[1]] - wanted).max() <= 1.0
    assert not got[:, wanted.shape[1] :].any()


def test_what_varies_nowhere_or_is_not_finite_has_a_colour() -> None:
    flat = np.full((2, 3, 4, 8), 5.0, np.float32)
    assert len(np.unique(feature_colours(flat))) == 1
    broken = features()
    broken[0, 0, 0] = np.nan
    assert feature_colours(broken).shape == (2, 3, 4, 3)


def test_adding_a_constant_or_scaling_changes_no_colour() -> None:
    found = features()
    before = feature_colours(found).astype(int)
    after = feature_colours(found * 4 + 1).astype(int)
    assert np.abs(after - before).max() <= 1


def test_pictures_and_video_show_colour_beside_features(tmp_path: Path) -> None:
    scene = scene_with_features(feat_layer_5=features(), feat_layer_11=features(8))
    report = export_scene(scene, 'feat_vis', tmp_path, options=ExportOptions(feat_vis_fps=7))
    root = tmp_path.resolve() / 'feat_vis'
    assert [path.relative_to(root).as_posix() for path in report.files] == [
        'feat_layer_5/000000.jpg', 'feat_layer_5/000001.jpg', 'feat_layer_5.mp4',
        'feat_layer_11/000000.jpg', 'feat_layer_11/000001.jpg', 'feat_layer_11.mp4',
    ]  # fmt: skip
    height, width = scene.views[0].depth.shape
    with Image.open(root / 'feat_layer_5' / '000001.jpg') as picture:
        # Small pictures are enlarged to 504 pixels a view.
        factor = 504 / max(height, width)
        height, width = round(factor * height), round(factor * width)
        assert picture.size == (2 * width, height)
        assert picture.format == 'JPEG'
    with av.open(str(root / 'feat_layer_5.mp4')) as video:
        stream = video.streams.video[0]
        assert stream.average_rate == 7
        assert stream.codec_context.name == 'h264'
        frames = [frame.to_ndarray(format='rgb24') for frame in video.decode(stream)]
    assert [frame.shape for frame in frames] == [(height, 2 * width, 3)] * 2


def test_without_features_the_option_that_gives_them_is_named(tmp_path: Path) -> None:
    for scene in (two_walls(), scene_with_features()):
        with pytest.raises(ExportError, match='export_feat_layers'):
            export_scene(scene, 'feat_vis', tmp_path)
