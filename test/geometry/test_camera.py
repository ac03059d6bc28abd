"""Projection, the pixel-centre rule under resize and crop, and unprojection."""

import cv2
import numpy as np
import pytest

from da3_ros.errors import GeometryError
from da3_ros.geometry.camera import ImageSize, PinholeCamera, rotated_from_camera
from da3_ros.geometry.unproject import unproject, unproject_pixels

CAMERA = PinholeCamera.from_focal(200.0, 210.0, 79.3, 61.7, ImageSize(120, 160))


def test_projection_agrees_with_opencv() -> None:
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 4], (20, 3))
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), CAMERA.K, None)
    np.testing.assert_allclose(CAMERA.project(points), expected[:, 0], atol=1e-10)


def test_points_behind_the_camera_have_no_image() -> None:
    assert np.isnan(CAMERA.project([[0, 0, -1.0], [0, 0, 0.0]])).all()


def test_rays_project_onto_their_own_pixels() -> None:
    v, u = np.indices((120, 160))
    np.testing.assert_allclose(CAMERA.project(CAMERA.rays()), np.stack([u, v], -1), atol=1e-9)


def test_resized_camera_sees_a_blob_where_the_resized_image_shows_it() -> None:
    """The independent witness is cv2.resize: the blob's centroid moves as K says."""
    size = ImageSize(360, 320)
    point = np.array([0.1, -0.05, 1.3])
    u, v = CAMERA.project(point)
    grid_v, grid_u = np.indices((120, 160))
    blob = np.exp(-((grid_u - u) ** 2 + (grid_v - v) ** 2) / 18).astype(np.float32)
    large = cv2.resize(blob, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.indices(large.shape)
    centroid = [(large * columns).sum() / large.sum(), (large * rows).sum() / large.sum()]
    np.testing.assert_allclose(CAMERA.resized(size).project(point), centroid, atol=0.01)


def test_resizing_back_restores_K() -> None:
    there = CAMERA.resized(ImageSize(37, 411))
    np.testing.assert_allclose(there.resized(CAMERA.size).K, CAMERA.K, rtol=1e-12)


def test_crop_shifts_pixels_only() -> None:
    cropped = CAMERA.cropped(10, 20, ImageSize(50, 60))
    point = np.array([0.2, 0.1, 2.0])
    np.testing.assert_allclose(cropped.project(point), CAMERA.project(point) - (10, 20))


@pytest.mark.parametrize('turns', [-1, 0, 1, 2, 3, 5])
def test_rotated_camera_sees_a_point_where_the_rotated_image_shows_it(turns: int) -> None:
    """The witness is numpy's own turn of an image with one bright pixel."""
    row, column = 31, 17
    image = np.zeros((120, 160))
    image[row, column] = 1
    point = CAMERA.rays()[row, column] * 2.5
    camera, pose = CAMERA.rotated(turns), rotated_from_camera(turns)
    shown = np.argwhere(np.rot90(image, -turns))[0]
    np.testing.assert_allclose(camera.project(pose[:3, :3] @ point), shown[::-1], atol=1e-9)
    assert (camera.size.height, camera.size.width) == np.rot90(image, -turns).shape
    assert np.linalg.det(pose) == 1
    np.testing.assert_allclose(camera.rotated(-turns).K, CAMERA.K, rtol=1e-12)


def test_skew_survives_half_a_turn_only() -> None:
    skewed = PinholeCamera(CAMERA.K + np.diag([3.0, 0], k=1), CAMERA.size)
    point = np.array([0.1, 0.2, 1.0])
    wanted = np.array([159, 119]) - skewed.project(point)
    np.testing.assert_allclose(skewed.rotated(2).project(point * (-1, -1, 1)), wanted)
    with pytest.raises(GeometryError, match='skew'):
        skewed.rotated(1)


def test_corner_origin_puts_the_centre_of_a_symmetric_image_at_half_its_size() -> None:
    camera = PinholeCamera.from_corner_origin(
        [[50, 0, 32], [0, 50, 24], [0, 0, 1]], ImageSize(48, 64)
    )
    np.testing.assert_allclose(camera.K[:2, 2], [31.5, 23.5])
    np.testing.assert_allclose(camera.rays()[:, ::-1, 0], -camera.rays()[..., 0])
    np.testing.assert_allclose(camera.to_corner_origin()[:2, 2], [32, 24])


def test_unprojected_points_have_the_depth_as_z_and_project_back() -> None:
    depth = np.random.default_rng(2).uniform(0.5, 9, (120, 160)).astype(np.float32)
    depth[3, 4], depth[5, 6] = np.nan, np.inf
    points = unproject(depth, CAMERA)
    known = np.isfinite(depth)
    np.testing.assert_allclose(points[known][:, 2], depth[known], rtol=1e-6)
    v, u = np.indices(depth.shape)
    np.testing.assert_allclose(
        CAMERA.project(points[known]), np.stack([u, v], -1)[known], atol=1e-3
    )
    assert np.isnan(points[~known]).all()


def test_picked_pixels_are_unprojected_as_in_the_whole_image_also_with_skew() -> None:
    camera = PinholeCamera(np.array([[90.0, 4, 80], [0, 110, 60], [0, 0, 1]]), ImageSize(120, 160))
    depth = np.random.default_rng(3).uniform(0.5, 9, (120, 160)).astype(np.float32)
    uv = np.array([[0, 0], [159, 0], [7, 101], [159, 119]])
    points = unproject_pixels(uv, depth[uv[:, 1], uv[:, 0]], camera.K)
    # K points = z (u, v, 1), the definition.
    np.testing.assert_allclose(
        points @ camera.K.T, points[:, 2:] * np.c_[uv, np.ones(4)], atol=1e-9
    )
    np.testing.assert_allclose(points, unproject(depth, camera)[uv[:, 1], uv[:, 0]], rtol=1e-5)


def test_contains_follows_the_borders_of_pixels() -> None:
    inside = CAMERA.contains([[-0.5, -0.5], [159.5, 119.5], [159.6, 0], [0, -0.6]])
    assert inside.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ('matrix', 'message'),
    [
        (np.zeros((3, 3)), 'positive focal'),
        ([[1, 0, 0], [0.1, 1, 0], [0, 0, 1]], 'expected'),
        ([[1, 0, np.nan], [0, 1, 0], [0, 0, 1]], 'finite'),
        (np.eye(4), 'shape'),
    ],
)
def test_impossible_K_is_refused(matrix: object, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        PinholeCamera(np.asarray(matrix, dtype=np.float64), ImageSize(2, 2))


def test_depth_of_another_size_than_its_camera_is_refused() -> None:
    with pytest.raises(GeometryError, match='unproject'):
        unproject(np.ones((4, 4), np.float32), CAMERA)


def test_empty_image_is_refused() -> None:
    with pytest.raises(GeometryError, match='sides >= 1'):
        ImageSize(0, 5)
