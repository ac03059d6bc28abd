"""A model of image files: key points lie where the file shows what the view shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from da3_ros.export import colmap_binary, colmap_text
from da3_ros.export.colmap_model import ColmapCamera, ColmapImage, ColmapModel
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene, OriginalImage, StillImages
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from helpers.colmap_files import read_binary, rotation
from helpers.export_scenes import make_view


def test_key_points_are_the_images_of_their_points_in_files_larger_than_the_views(
    tmp_path: Path,
) -> None:
    """The file is twice as wide and three times as high; the view is a crop of it made smaller."""
    view = make_view()
    size = view.camera.size
    left, top = 5, 3
    resized = ImageSize(size.height + 6, size.width + 9)
    whole = PinholeCamera(
        view.camera.K + np.array([[0, 0, left], [0, 0, top], [0, 0, 0]]), resized
    )
    corner = np.diag([2.0, 3.0, 1.0]) @ whole.to_corner_origin()
    K = corner - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    camera = PinholeCamera(K, ImageSize(3 * resized.height, 2 * resized.width))
    original = OriginalImage('a.jpg', resized, left, top, camera)
    scene = ExportScene((view,), is_metric=True, stills=StillImages(originals=(original,)))
    export_scene(scene, 'colmap', tmp_path, options=ExportOptions(conf_thresh_percentile=0.0))
    model = read_binary(tmp_path)
    ((pose, camera_id, name, keys),) = model.images.values()
    assert name == 'a.jpg'
    assert model.cameras[camera_id][:2] == (camera.size.width, camera.size.height)
    assert len(keys) == size.width * size.height - 1
    fx, fy, cx, cy = model.cameras[camera_id][2]
    xyz = np.array([model.points[key[2]][0] for key in keys])
    x, y, z = (xyz @ rotation(pose).T + pose[4:]).T
    pixels = np.array([key[:2] for key in keys])
    np.testing.assert_allclose(pixels[:, 0], fx * x / z + cx, atol=1e-5)
    np.testing.assert_allclose(pixels[:, 1], fy * y / z + cy, atol=1e-5)


@pytest.mark.parametrize('encoding', [colmap_binary, colmap_text])
def test_the_share_of_a_written_model_begins_above_zero_and_ends_at_one(
    tmp_path: Path, encoding: object
) -> None:
    camera = ColmapCamera(1, ImageSize(4, 4), (1.0, 1.0, 2.0, 2.0))
    image = ColmapImage(
        image_id=1,
        camera_id=1,
        name='a.png',
        pose=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        pixels=np.ones((1, 2)),
        first_point_id=1,
        xyz=np.ones((1, 3)),
        rgb=np.ones((1, 3), np.uint8),
    )
    other = replace(image, image_id=2, first_point_id=2)
    shares: list[float] = []
    encoding.write_model(  # type: ignore[attr-defined]
        ColmapModel((camera,), (image, other)), tmp_path, shares.append
    )
    assert shares == sorted(set(shares))
    assert shares[0] > 0
    assert shares[-1] == pytest.approx(1.0)
