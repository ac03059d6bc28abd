"""Pictures of Gaussians: against formulas, against a slow and simple renderer, and laws."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from da3_ros.errors import ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.harmonics import harmonic_basis
from da3_ros.export.splat_project import prepare, project
from da3_ros.export.splat_render import cpu_backend
from da3_ros.export.splat_types import PosedCamera, SplatImage
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert, rigid, transform_points
from da3_ros.inference.pixel_rule import posed_cameras
from da3_ros.synthetic import make_world
from helpers.export_scenes import synthetic_scene
from helpers.gaussian_scenes import (
    CAMERA,
    SIZE,
    balls,
    cloud_of,
    pixel_gaussians,
    random_cloud,
)

GOLDEN = Path(__file__).parents[1] / 'data' / 'golden' / 'unit__gsplat_projection.npz'


def render(cloud: GaussianCloud, camera: PosedCamera = CAMERA) -> SplatImage:
    (image,) = cpu_backend(cloud)([camera])
    return image


def pixel_grid(size: ImageSize) -> FloatArray:
    v, u = np.indices((size.height, size.width)).astype(np.float64)
    return np.stack([u, v], axis=-1)


def round_alpha(mean: FloatArray, scale: float, opacity: float) -> FloatArray:
    """Return what one round Gaussian on the optical axis covers, by formula."""
    (fx, _, cx), (_, fy, cy), _ = CAMERA.camera.K
    offset = pixel_grid(SIZE) - (cx, cy)
    variance = (np.array([fx, fy]) * scale / mean[2]) ** 2 + 0.3
    alpha = np.minimum(opacity * np.exp(-(offset**2 / (2 * variance)).sum(axis=-1)), 0.999)
    return np.where(alpha >= 1 / 255, alpha, 0.0)


@pytest.mark.parametrize('opacity', [1.0, 0.7, 0.05])
@pytest.mark.parametrize('scale', [0.001, 0.1, 0.5])
def test_one_gaussian_is_its_formula(opacity: float, scale: float) -> None:
    mean, colour = np.array([0.0, 0, 2]), np.array([0.2, 0.5, 0.9])
    image = render(balls([mean], scale, [colour], [opacity]))
    alpha = round_alpha(mean, np.float32(scale), np.float32(opacity))
    np.testing.assert_allclose(image.alpha, alpha, atol=1e-7)
    np.testing.assert_allclose(image.colour, alpha[..., None] * colour, atol=1e-7)
    np.testing.assert_allclose(image.depth, np.where(alpha > 0, 2.0, 0.0), atol=1e-6)


def test_the_nearer_of_two_stands_before_the_other() -> None:
    near, far = np.array([0.0, 0, 1]), np.array([0.0, 0, 3])
    red, blue = np.array([1.0, 0, 0]), np.array([0.0, 0, 1])
    first, second = round_alpha(near, 0.05, 0.6), round_alpha(far, 0.4, 0.9)
    share = np.stack([first, (1 - first) * second], axis=-1)
    image = render(
        cloud_of(
            [far, near],
            [[0.4] * 3, [0.05] * 3],
            [[1, 0, 0, 0]] * 2,
            (np.array([blue, red])[:, :, None] - 0.5) * np.sqrt(4 * np.pi),
            [0.9, 0.6],
        )
    )
    np.testing.assert_allclose(image.colour, share @ np.array([red, blue]), atol=1e-6)
    np.testing.assert_allclose(image.alpha, share.sum(axis=-1), atol=1e-6)
    seen = image.alpha > 0
    expected = (share @ (1.0, 3.0))[seen] / share.sum(axis=-1)[seen]
    np.testing.assert_allclose(image.depth[seen], expected, atol=1e-6)


def test_nothing_is_added_once_almost_no_light_is_left() -> None:
    # Two opaque ones let 1e-6 through, so that the second, as in gsplat, is left out already.
    means = [[0.0, 0.0, z] for z in (1, 2, 3)]
    image = render(balls(means, 500.0, list(np.eye(3)), [1.0, 1.0, 1.0]))
    np.testing.assert_allclose(image.alpha, 0.999, atol=1e-7)
    np.testing.assert_allclose(image.depth, 1.0, atol=1e-6)


def test_hundreds_of_faint_ones_in_one_pixel_add_up_in_order() -> None:
    count = 500
    rng = np.random.default_rng(2)
    opacity, brightness = rng.uniform(0.005, 0.02, count), rng.uniform(0.1, 1, count)
    z = np.linspace(1, 3, count)
    cloud = balls(
        list(np.stack([0 * z, 0 * z, z], axis=1)),
        1000.0,
        list(np.repeat(brightness[:, None], 3, axis=1)),
        list(opacity),
    )
    before = np.concatenate([[1], np.cumprod(1 - opacity)[:-1]])
    expected = (before * opacity * brightness).sum()
    image = render(chosen(cloud, rng.permutation(count)))
    np.testing.assert_allclose(image.colour, expected, atol=1e-4)
    np.testing.assert_allclose(image.alpha, 1 - np.prod(1 - opacity), atol=1e-4)


def test_of_equal_depths_the_first_one_is_nearer() -> None:
    count = 60
    colours = np.zeros((count, 3))
    colours[0] = 1
    cloud = balls([[0.0, 0.0, 2.0]] * count, 1000.0, list(colours), [0.9] * count)
    np.testing.assert_allclose(render(cloud).colour, 0.9, atol=1e-4)


def dense_reference(cloud: GaussianCloud, camera: PosedCamera) -> tuple[FloatArray, FloatArray]:
    """Return colours with depth (H, W, 4) and what is left of the light, pixel by pixel.

    Every part is done another way than in the renderer: slopes of the projection by finite
    differences, densities and rotations by scipy, one Gaussian after the other.
    """
    pixels = pixel_grid(camera.camera.size)
    camera_from_world = invert(camera.world_from_camera)
    in_camera = transform_points(camera_from_world, cloud.means)
    total = np.zeros((*pixels.shape[:2], 4))
    light = np.ones(pixels.shape[:2])
    stopped = np.zeros(pixels.shape[:2], bool)
    for index in np.argsort(in_camera[:, 2]):
        point = in_camera[index]
        if point[2] <= 0.01:
            continue
        slopes = np.stack(
            [
                (camera.camera.project(point + step) - camera.camera.project(point - step)) / 2e-6
                for step in 1e-6 * np.eye(3)
            ],
            axis=1,
        )
        wxyz = cloud.rotations_wxyz[index].astype(float)
        turn = camera_from_world[:3, :3] @ Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
        covariance = turn @ np.diag(cloud.scales[index].astype(float) ** 2) @ turn.T
        spread = multivariate_normal(
            camera.camera.project(point), slopes @ covariance @ slopes.T + 0.3 * np.eye(2)
        )
        density = np.reshape(spread.pdf(pixels), light.shape)
        alpha = np.minimum(cloud.opacities[index] * density / spread.pdf(spread.mean), 0.999)
        alpha[alpha < 1 / 255] = 0
        stopped |= light * (1 - alpha) <= 1e-4
        alpha[stopped] = 0
        direction = cloud.means[index] - camera.world_from_camera[:3, 3]
        basis = harmonic_basis(direction[None] / np.linalg.norm(direction), cloud.degree)[0]
        colour = np.maximum(cloud.harmonics[index] @ basis + 0.5, 0)
        total += (light * alpha)[..., None] * [*colour, point[2]]
        light *= 1 - alpha
    return total, light


@pytest.mark.parametrize(('degree', 'skew'), [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (2, 9.0)])
def test_pictures_agree_with_a_slow_and_simple_renderer(degree: int, skew: float) -> None:
    pose = rigid(Rotation.from_rotvec([0.1, -0.15, 0.3]).as_matrix(), [0.1, -0.05, -0.4])
    matrix = CAMERA.camera.K.copy()
    matrix[0, 1] = skew
    camera = PosedCamera(pose, PinholeCamera(matrix, SIZE))
    cloud = random_cloud(300, degree, seed=degree)
    # The slope of the projection is clipped outside of the image, where the reference does not.
    uv = camera.camera.project(transform_points(invert(pose), cloud.means))
    cloud = chosen(cloud, np.flatnonzero(camera.camera.contains(uv)))
    assert len(cloud.means) > 150
    image = render(cloud, camera)
    expected, light = dense_reference(cloud, camera)
    np.testing.assert_allclose(image.colour, expected[..., :3], atol=1e-6)
    np.testing.assert_allclose(image.alpha, 1 - light, atol=1e-6)
    seen = image.alpha > 0
    np.testing.assert_allclose(image.depth[seen], expected[seen, 3] / (1 - light)[seen], rtol=1e-5)


def chosen(cloud: GaussianCloud, index: NDArray[np.intp]) -> GaussianCloud:
    return cloud_of(
        cloud.means[index],
        cloud.scales[index],
        cloud.rotations_wxyz[index],
        cloud.harmonics[index],
        cloud.opacities[index],
    )


def test_projection_is_that_of_gsplat() -> None:
    """Also outside of the image, where gsplat clips the slope of the projection."""
    with np.load(GOLDEN) as data:
        golden = dict(data)
    size = ImageSize(*json.loads(str(golden['size'])))
    cloud = cloud_of(
        golden['means'],
        golden['scales'],
        golden['quats'],
        golden['harmonics'],
        golden['opacities'],
    )
    camera = PosedCamera(
        invert(golden['viewmat']), PinholeCamera.from_corner_origin(golden['K'], size)
    )
    splats = project(prepare(cloud), camera)
    order = golden['nearest_first']
    np.testing.assert_allclose(splats.mean_px + 0.5, golden['means2d'][order], atol=1e-9)
    np.testing.assert_allclose(splats.precision, golden['conics'][order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(splats.depth, golden['depths'][order], atol=1e-9)
    np.testing.assert_allclose(splats.colour, golden['colours'][order], atol=1e-9)


def test_the_order_of_the_gaussians_does_not_matter() -> None:
    cloud = random_cloud(500)
    order = np.random.default_rng(1).permutation(500)
    image, other = render(cloud), render(chosen(cloud, order))
    np.testing.assert_array_equal(image.colour, other.colour)
    np.testing.assert_array_equal(image.depth, other.depth)


def rotated_harmonics(harmonics: FloatArray, rotation: FloatArray) -> FloatArray:
    """Return coefficients of the functions rotated by a rotation, by a fit to their values."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(200, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    degree = round(harmonics.shape[2] ** 0.5) - 1
    values = harmonic_basis(vectors, degree) @ harmonics.reshape(-1, harmonics.shape[2]).T
    fit = np.linalg.lstsq(harmonic_basis(vectors @ rotation.T, degree), values, rcond=None)[0]
    return np.asarray(fit.T.reshape(harmonics.shape))


def test_moving_world_and_camera_together_changes_nothing() -> None:
    cloud = random_cloud(300, degree=3)
    other_from_world = rigid(Rotation.from_rotvec([0.5, -1.2, 2.0]).as_matrix(), [3, -7, 2])
    turn = Rotation.from_matrix(other_from_world[:3, :3])
    before = Rotation.from_quat(np.roll(cloud.rotations_wxyz, -1, axis=1))
    moved = cloud_of(
        transform_points(other_from_world, cloud.means),
        cloud.scales,
        np.roll((turn * before).as_quat(), 1, axis=1),
        rotated_harmonics(cloud.harmonics.astype(float), other_from_world[:3, :3]),
        cloud.opacities,
    )
    image = render(cloud)
    other = render(moved, PosedCamera(other_from_world, CAMERA.camera))
    # Means are stored in single precision, 1e-6 at the distance of 7; and a Gaussian that just
    # reaches 1 / 255 in one picture may just not in the other.
    for ours, theirs in ((image.colour, other.colour), (image.alpha, other.alpha)):
        difference = np.abs(ours - theirs)
        assert difference.max() < 1 / 255
        assert np.quantile(difference, 0.99) < 2e-5
    unrotated = render(
        replace(moved, harmonics=cloud.harmonics), PosedCamera(other_from_world, CAMERA.camera)
    )
    assert np.abs(unrotated.colour - image.colour).max() > 0.01


def test_the_picture_of_a_part_is_the_part_of_the_picture() -> None:
    cloud = random_cloud(400)
    part = CAMERA.camera.cropped(5, 3, ImageSize(13, 19))
    # What lies beside the part is clipped differently: only means inside keep their shape.
    uv = part.project(cloud.means)
    cloud = chosen(cloud, np.flatnonzero(part.contains(uv)))
    whole, cut = render(cloud), render(cloud, PosedCamera(np.eye(4), part))
    np.testing.assert_allclose(cut.colour, whole.colour[3:16, 5:24], atol=1e-7)
    np.testing.assert_allclose(cut.alpha, whole.alpha[3:16, 5:24], atol=1e-7)


def test_what_is_behind_or_broken_is_not_seen() -> None:
    good = balls([[0, 0, 2.0]], 0.1, [[1, 1, 1]], [0.8])
    broken = cloud_of(
        np.array([[0, 0, z] for z in (2, -2, 0.005, np.nan, 2, 2, 2)]),
        [[0.1] * 3] * 4 + [[np.inf, 0.1, 0.1]] + [[0.1] * 3] * 2,
        [[1, 0, 0, 0]] * 5 + [[0, 0, 0, 0]] + [[1, 0, 0, 0]],
        np.full((7, 3, 1), 0.5 * np.sqrt(4 * np.pi)),
        [0.8] * 6 + [0.003],
    )
    np.testing.assert_array_equal(render(broken).colour, render(good).colour)


def test_empty_pictures_are_black() -> None:
    image = render(balls([[0, 0, -2.0]], 0.1, [[1, 1, 1]], [0.8]))
    assert image.colour.shape == (24, 32, 3)
    assert image.alpha.dtype == image.colour.dtype == image.depth.dtype == np.float32
    assert not image.colour.any()
    assert not image.depth.any()


@pytest.mark.parametrize('size', [ImageSize(1, 1), ImageSize(8, 8), ImageSize(9, 23)])
def test_any_size_can_be_drawn(size: ImageSize) -> None:
    camera = PosedCamera(np.eye(4), CAMERA.camera.resized(size))
    cloud = random_cloud(50)
    uv = camera.camera.project(cloud.means)
    cloud = chosen(cloud, np.flatnonzero(camera.camera.contains(uv)))
    expected, _ = dense_reference(cloud, camera)
    np.testing.assert_allclose(render(cloud, camera).colour, expected[..., :3], atol=1e-6)


def test_gaussians_of_the_true_world_show_the_world() -> None:
    """A Gaussian per pixel, seen from where the pixels were, is the image, blurred a little."""
    scene = synthetic_scene(make_world(size=ImageSize(72, 96)))
    first = replace(scene, views=scene.views[:1])
    view = first.views[0]
    image = render(pixel_gaussians(first), PosedCamera(view.world_from_camera, view.camera))
    inner = (slice(2, -2), slice(2, -2))
    assert image.alpha[inner].min() > 0.95
    # Of a surface that slopes away, the nearer neighbours of a pixel stand before it.
    assert np.median(np.abs(image.depth / view.depth - 1)[inner]) < 0.03
    error = np.abs(image.colour[inner] / image.alpha[inner][..., None] - view.image[inner] / 255)
    assert error.mean() < 0.06


def test_cameras_of_the_python_api() -> None:
    pose = rigid(Rotation.from_rotvec([0.4, 0.2, -0.1]).as_matrix(), [1, 2, 3])
    corner_k = CAMERA.camera.to_corner_origin()
    (camera,) = posed_cameras(invert(pose)[None, :3], corner_k[None], SIZE)
    np.testing.assert_allclose(camera.world_from_camera, pose, atol=1e-12)
    np.testing.assert_allclose(camera.camera.K, CAMERA.camera.K, atol=1e-12)


@pytest.mark.parametrize(
    ('extrinsics', 'intrinsics'),
    [
        (np.zeros((0, 4, 4)), np.zeros((0, 3, 3))),
        (np.eye(4)[None], np.zeros((2, 3, 3))),
        (np.eye(4), np.eye(3)),
        (np.full((1, 4, 4), np.nan), np.eye(3)[None]),
        (2 * np.eye(4)[None], np.eye(3)[None]),
        (np.eye(4)[None], -np.eye(3)[None]),
        (np.zeros((1, 2, 2)), np.eye(3)[None]),
    ],
)
def test_cameras_that_are_none_are_refused(extrinsics: FloatArray, intrinsics: FloatArray) -> None:
    with pytest.raises(ExportError):
        posed_cameras(extrinsics, intrinsics, SIZE)


@pytest.mark.parametrize('count', [0, 2, 17])
def test_harmonics_of_no_whole_degree_are_refused(count: int) -> None:
    with pytest.raises(ExportError, match='harmonics'):
        cloud_of([[0, 0, 1]], [[1] * 3], [[1, 0, 0, 0]], np.zeros((1, 3, count)), [1])
