"""How far a rectified image zooms in, against the roots of the lens's own polynomial."""

import math

import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.colmap_cameras import ColmapCamera
from da3_ros.sources.rectification import Rectification, rectify

SIZE = ImageSize(480, 640)
CENTRE = (320.0, 240.0)


def zoom_of(camera: ColmapCamera) -> float:
    done = rectify(camera).camera
    assert done.size == camera.size
    np.testing.assert_allclose(done.K[:2, 2], camera.pinhole.K[:2, 2])
    zoom = done.K[0, 0] / camera.pinhole.K[0, 0]
    assert done.K[1, 1] / camera.pinhole.K[1, 1] == pytest.approx(zoom)
    return float(zoom)


def border(camera: ColmapCamera, done: Rectification, shrink: float = 1.0) -> np.ndarray:
    """Return where the lens puts the border of the rectified image, (N, 2) pixels."""
    u = np.linspace(0, SIZE.width, 65)
    v = np.linspace(0, SIZE.height, 65)
    pixels = np.concatenate(
        [np.stack([u, 0 * u + edge], -1) for edge in (0, SIZE.height)]
        + [np.stack([0 * v + edge, v], -1) for edge in (0, SIZE.width)]
    )
    K = done.camera.to_corner_origin()
    rays = (pixels - K[:2, 2]) / (K[0, 0], K[1, 1])
    return np.asarray(camera.project(rays / shrink))


@pytest.mark.parametrize('k', [0.02, 0.1, 0.5])
@pytest.mark.parametrize('focal', [300.0, 700.0])
@pytest.mark.parametrize('centre', [(320.0, 240.0), (250.0, 190.0), (390.0, 290.0)])
@pytest.mark.parametrize('is_upright', [False, True])
def test_a_lens_that_stretches_corners_zooms_in_until_they_are_inside(
    k: float, focal: float, centre: tuple[float, float], is_upright: bool
) -> None:
    """At zoom z the corner at radius r goes to r / z (1 + k r^2 / z^2) = r: z^3 = z^2 + k r^2.

    Pixel centres are what has to be inside: the corner's is half a pixel within. The corner that
    is farthest from the lens's axis decides, by the longer of its sides.
    """
    size, place = (ImageSize(640, 480), centre[::-1]) if is_upright else (SIZE, centre)
    camera = ColmapCamera(1, 'SIMPLE_RADIAL', size, (focal, *place, k))
    across = max(place[0], size.width - place[0]) - 0.5
    down = max(place[1], size.height - place[1]) - 0.5
    longer = max(across, down)
    radius2 = (across**2 + down**2) / focal**2
    roots = np.roots([(longer + 0.5) / longer, -1.0, 0.0, -k * radius2])
    wanted = max(root.real for root in roots if abs(root.imag) < 1e-9)
    assert zoom_of(camera) == pytest.approx(wanted, rel=1e-5)


def test_a_lens_that_shows_more_than_a_pinhole_keeps_the_focal_length() -> None:
    assert zoom_of(ColmapCamera(1, 'SIMPLE_RADIAL', SIZE, (500.0, *CENTRE, -0.1))) == 1


@pytest.mark.parametrize(
    ('model', 'params'),
    [
        ('OPENCV', (500.0, 510.0, 330.0, 228.0, 0.2, 0.05, 0.002, -0.003)),
        ('OPENCV', (500.0, 480.0, 300.0, 260.0, 0.1, 0.0, -0.004, 0.003)),
        ('SIMPLE_RADIAL', (500.0, 400.0, 200.0, 0.1)),
        ('SIMPLE_RADIAL', (500.0, 250.0, 290.0, 0.1)),
    ],
)
def test_the_image_is_full_and_would_not_be_with_less_zoom(
    model: str, params: tuple[float, ...]
) -> None:
    camera = ColmapCamera(1, model, SIZE, params)
    done = rectify(camera)
    assert zoom_of(camera) > 1
    # The border of the outermost pixels may be half a pixel and its stretching outside.
    high = np.array([SIZE.width, SIZE.height])
    inside = border(camera, done)
    assert (inside > -2).all()
    assert (inside < high + 2).all()
    outside = border(camera, done, shrink=0.98)
    assert ((outside < -1) | (outside > high + 1)).any()


@pytest.mark.parametrize('focal', [250.0, 300.0])
@pytest.mark.parametrize('height', [160, 480])
def test_a_lens_that_folds_outside_zooms_in_until_the_fold_is_out_of_sight(
    focal: float, height: int
) -> None:
    """r (1 + k r^2) turns back where 1 + 3 k r^2 is zero; beyond it everything is seen twice."""
    k = -0.3
    size = ImageSize(height, 640)
    camera = ColmapCamera(1, 'SIMPLE_RADIAL', size, (focal, 320.0, height / 2, k))
    fold = 1 / math.sqrt(-3 * k)
    corner = math.hypot(319.5, (height - 1) / 2) / focal
    assert corner > fold
    assert zoom_of(camera) == pytest.approx(corner / fold, rel=0.03)


def test_a_lens_that_shows_the_image_upside_down_is_none() -> None:
    """Beyond half a turn the tangent of FOV changes its sign: all is mirrored at the centre."""
    with pytest.raises(SourceError, match='cannot be undone'):
        rectify(ColmapCamera(3, 'FOV', SIZE, (500.0, 500.0, *CENTRE, 4.0)))


def test_an_image_of_another_size_is_refused() -> None:
    done = rectify(ColmapCamera(1, 'SIMPLE_RADIAL', SIZE, (500.0, *CENTRE, 0.1)))
    for shape in ((640, 480, 3), (480, 641, 3), (481, 640, 3)):
        with pytest.raises(SourceError, match='expected an image'):
            done.apply(np.zeros(shape, np.uint8))


@pytest.mark.parametrize('k', [-0.1, 0.1])
def test_pixels_come_from_where_the_lens_puts_them(k: float) -> None:
    """The source image says where each of its pixels is; cubic interpolation keeps slopes."""
    size = ImageSize(100, 120)
    camera = ColmapCamera(1, 'SIMPLE_RADIAL', size, (150.0, 60.0, 50.0, k))
    v, u = np.indices((100, 120))
    source = np.stack([2 * u, 2 * v, 0 * u], -1).astype(np.uint8)
    done = rectify(camera)
    seen = done.apply(source)[2:-2, 2:-2, :2] / 2
    K = done.camera.K
    rays = (np.stack([u, v], -1) - K[:2, 2]) / (K[0, 0], K[1, 1])
    radius2 = (rays**2).sum(-1, keepdims=True)
    wanted = 150.0 * rays * (1 + k * radius2) + (59.5, 49.5)
    np.testing.assert_allclose(seen, wanted[2:-2, 2:-2], atol=0.3)


@pytest.mark.parametrize('place', [(32.5, 32.5), (0.5, 0.5), (0.5, 32.5)])
def test_a_pixel_may_look_along_the_axis_of_the_lens(place: tuple[float, float]) -> None:
    """There a ray has no direction away from the middle."""
    camera = ColmapCamera(1, 'SIMPLE_RADIAL', ImageSize(64, 64), (200.0, *place, -0.1))
    assert zoom_of(camera) == 1
