"""COLMAP's camera models, against numbers of pycolmap 4.2.1 and against OpenCV."""

import cv2
import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.colmap_cameras import MODELS, ColmapCamera
from da3_ros.sources.rectification import rectify

SIZE = ImageSize(480, 640)
RAYS = np.array([[0.0, 0.0], [0.1, 0.2], [-0.5, 0.3], [0.6, -0.45]])
# Parameters, and where pycolmap.Camera.img_from_cam puts the RAYS.
PYCOLMAP: dict[str, tuple[tuple[float, ...], tuple[tuple[float, float], ...]]] = {
    'SIMPLE_PINHOLE': (
        (500.0, 320.0, 240.0),
        ((320.0, 240.0), (370.0, 340.0), (70.0, 390.0), (620.0, 15.0)),
    ),
    'PINHOLE': (
        (500.0, 510.0, 321.0, 239.0),
        ((321.0, 239.0), (371.0, 341.0), (71.0, 392.0), (621.0, 9.5)),
    ),
    'SIMPLE_RADIAL': (
        (500.0, 320.0, 240.0, -0.1),
        ((320.0, 240.0), (369.75, 339.5), (78.5, 384.9), (603.125, 27.65625)),
    ),
    'RADIAL': (
        (500.0, 320.0, 240.0, -0.1, 0.02),
        ((320.0, 240.0), (369.7525, 339.505), (77.922, 385.2468), (605.0234375, 26.232421875)),
    ),
    'OPENCV': (
        (500.0, 510.0, 321.0, 239.0, -0.1, 0.02, 0.001, -0.002),
        ((321.0, 239.0), (370.7025, 340.5206), (77.932, 387.722936), (604.4709375, 22.001295312)),
    ),
    'OPENCV_FISHEYE': (
        (500.0, 510.0, 321.0, 239.0, -0.01, 0.02, 0.003, -0.002),
        (
            (321.0, 239.0),
            (370.169321752, 339.305416373),
            (94.933367203, 377.352779272),
            (578.257006269, 42.198390205),
        ),
    ),
    'FULL_OPENCV': (
        (500.0, 510.0, 321.0, 239.0, -0.1, 0.02, 0.001, -0.002, 0.01, 0.03, -0.01, 0.005),
        (
            (321.0, 239.0),
            (370.62925455, 340.371179282),
            (80.051085152, 386.426055887),
            (600.895498643, 24.736506038),
        ),
    ),
    'FOV': (
        (500.0, 510.0, 321.0, 239.0, 0.9),
        (
            (321.0, 239.0),
            (373.860470531, 346.835359884),
            (76.603603797, 388.570594476),
            (599.682019636, 25.808254979),
        ),
    ),
    'SIMPLE_RADIAL_FISHEYE': (
        (500.0, 320.0, 240.0, 0.02),
        (
            (320.0, 240.0),
            (369.238418666, 338.476837332),
            (92.404665055, 376.557200967),
            (579.53220144, 45.35084892),
        ),
    ),
    'RADIAL_FISHEYE': (
        (500.0, 320.0, 240.0, 0.02, -0.01),
        (
            (320.0, 240.0),
            (369.237266594, 338.474533187),
            (92.58043535, 376.45173879),
            (579.090827701, 45.681879224),
        ),
    ),
    'THIN_PRISM_FISHEYE': (
        (500.0, 510.0, 321.0, 239.0, -0.01, 0.02, 0.001, -0.002, 0.003, -0.002, 0.004, -0.003),
        (
            (321.0, 239.0),
            (370.217716462, 339.256053769),
            (94.679281196, 377.394580518),
            (577.942295074, 42.333550381),
        ),
    ),
    'RAD_TAN_THIN_PRISM_FISHEYE': (
        (
            500.0,
            510.0,
            321.0,
            239.0,
            -0.01,
            0.02,
            0.003,
            -0.002,
            0.001,
            -0.0005,
            0.001,
            -0.002,
            0.004,
            -0.003,
            0.002,
            -0.001,
        ),
        (
            (321.0, 239.0),
            (370.25768447, 339.245040649),
            (95.961879162, 377.038321731),
            (579.698769149, 41.602933239),
        ),
    ),
    'SIMPLE_DIVISION': (
        (500.0, 320.0, 240.0, -0.1),
        (
            (320.0, 240.0),
            (369.752469181, 339.504938362),
            (77.966883978, 385.219869613),
            (604.792482824, 26.405637882),
        ),
    ),
    'DIVISION': (
        (500.0, 510.0, 321.0, 239.0, -0.1),
        (
            (321.0, 239.0),
            (370.752469181, 340.495037129),
            (78.966883978, 387.124267005),
            (605.792482824, 21.13375064),
        ),
    ),
    'SIMPLE_FISHEYE': (
        (500.0, 320.0, 240.0),
        (
            (320.0, 240.0),
            (369.190807169, 338.381614338),
            (93.666136733, 375.80031796),
            (577.400443517, 46.949667362),
        ),
    ),
    'FISHEYE': (
        (500.0, 510.0, 321.0, 239.0),
        (
            (321.0, 239.0),
            (370.190807169, 339.349246625),
            (94.666136733, 377.516324319),
            (578.400443517, 42.088660709),
        ),
    ),
    'EUCM': (
        (500.0, 510.0, 321.0, 239.0, 0.6, 1.1),
        (
            (321.0, 239.0),
            (370.19908042, 339.366124056),
            (94.408381708, 377.674070394),
            (578.869170195, 41.730084801),
        ),
    ),
}


def camera(model: str) -> ColmapCamera:
    return ColmapCamera(1, model, SIZE, PYCOLMAP[model][0])


def test_every_model_is_compared() -> None:
    assert set(PYCOLMAP) == set(MODELS)


@pytest.mark.parametrize('model', MODELS)
def test_rays_meet_the_image_where_pycolmap_says(model: str) -> None:
    # COLMAP counts from the image's corner, half a pixel before the first centre.
    places = camera(model).project(RAYS) + 0.5
    np.testing.assert_allclose(places, PYCOLMAP[model][1], atol=1e-8)


@pytest.mark.parametrize('model', MODELS)
def test_a_resized_camera_scales_pixels(model: str) -> None:
    half = camera(model).resized(ImageSize(240, 320))
    from_corner = camera(model).project(RAYS) + 0.5
    np.testing.assert_allclose(half.project(RAYS) + 0.5, from_corner / 2, atol=1e-9)


@pytest.mark.parametrize('model', MODELS)
def test_only_pinholes_are_undistorted(model: str) -> None:
    assert camera(model).is_distorted == ('PINHOLE' not in model)


def test_coefficients_of_zero_are_no_distortion() -> None:
    assert not ColmapCamera(1, 'OPENCV', SIZE, (500, 500, 320, 240, 0, 0, 0, 0)).is_distorted


@pytest.mark.parametrize(
    ('model', 'params'),
    [
        ('EQUIRECTANGULAR', (640.0, 480.0)),
        ('PINHOLE', (500.0, 320.0, 240.0)),
        ('PINHOLE', (500.0, float('nan'), 320.0, 240.0)),
        ('SIMPLE_PINHOLE', (-500.0, 320.0, 240.0)),
    ],
)
def test_what_is_no_camera_is_refused(model: str, params: tuple[float, ...]) -> None:
    with pytest.raises(SourceError, match='camera 7'):
        ColmapCamera(7, model, SIZE, params)


def texture(rays: np.ndarray) -> np.ndarray:
    """Return a smooth picture of the directions x / z, y / z, uint8 (..., 3)."""
    x, y = rays[..., 0], rays[..., 1]
    waves = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y - 3 * x), np.sin(5 * x * y + x)], -1)
    return np.asarray(np.round(127 + 100 * waves), np.uint8)


def undistorted_pixels(model: str, params: tuple[float, ...]) -> np.ndarray:
    """Return the ray of every pixel, (H, W, 2), by OpenCV's own inversion."""
    v, u = np.indices((SIZE.height, SIZE.width), dtype=np.float64)
    pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
    fx, fy, cx, cy = params[:4]
    K = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
    undo = cv2.fisheye.undistortPoints if 'FISHEYE' in model else cv2.undistortPoints
    rays = undo(pixels, K, np.array(params[4:]))
    return np.asarray(rays, np.float64).reshape(SIZE.height, SIZE.width, 2)


@pytest.mark.parametrize(
    ('model', 'params'),
    [
        ('OPENCV', (500, 510, 321, 239, -0.2, 0.04, 0.001, -0.002)),
        ('OPENCV', (500, 510, 321, 239, 0.15, 0.02, 0.001, -0.002)),
        ('OPENCV_FISHEYE', (400, 410, 321, 239, -0.01, 0.02, 0.003, -0.002)),
    ],
)
def test_a_rectified_image_is_the_picture_of_a_pinhole(
    model: str, params: tuple[float, ...]
) -> None:
    seen = texture(undistorted_pixels(model, params))
    done = rectify(ColmapCamera(1, model, SIZE, params))
    expected = texture(done.camera.rays()[..., :2])
    difference = np.abs(done.apply(seen).astype(int) - expected.astype(int))
    assert np.percentile(difference, 99) <= 2
    # Up to the border: nothing of it is made up.
    assert difference.max() <= 12


def test_an_ideal_lens_is_left_alone() -> None:
    done = rectify(ColmapCamera(1, 'PINHOLE', SIZE, (500, 510, 321, 239)))
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    np.testing.assert_array_equal(done.apply(image), image)
    np.testing.assert_allclose(done.camera.K[:2, 2], (320.5, 238.5))


def test_a_lens_that_folds_the_image_is_refused() -> None:
    with pytest.raises(SourceError, match='cannot be undone'):
        rectify(ColmapCamera(3, 'SIMPLE_RADIAL', SIZE, (50, 320, 240, -40.0)))
