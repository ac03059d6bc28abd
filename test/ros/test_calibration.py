"""What is believed of a CameraInfo, against its definition and what lenses are like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from sensor_msgs.msg import CameraInfo

from da3_ros.geometry.camera import ImageSize
from da3_ros.reasons import Reason
from da3_ros.ros.calibration import Calibration, judge_calibration, kind_of_images

pytestmark = pytest.mark.ros
SIZE = ImageSize(120, 160)
K = [100.0, 0, 79.5, 0, 102, 59.5, 0, 0, 1]
P = [80.0, 0, 75, 0, 0, 82, 57, 0, 0, 0, 1, 0]
IDENTITY = [1.0, 0, 0, 0, 1, 0, 0, 0, 1]
P_IDENTITY = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
NAN = float('nan')
ROTATION = [0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1]


def info_of(**fields: Any) -> CameraInfo:
    info = CameraInfo(width=160, height=120, distortion_model='plumb_bob')
    info.k, info.p = K, P
    info.r = IDENTITY
    for name, value in fields.items():
        if name == 'roi':
            roi = info.roi
            roi.x_offset, roi.y_offset, roi.width, roi.height = value
        else:
            setattr(info, name, value)
    return info


def focal(judged: Calibration) -> float | None:
    return None if judged.camera is None else float(judged.camera.K[0, 0])


def reason(judged: Calibration) -> Reason | None:
    return None if judged.problem is None else judged.problem.reason


def test_k_holds_for_raw_and_p_for_rectified_images() -> None:
    info = info_of(d=[-0.3, 0.1, 0.0, 0.0, 0.0], r=ROTATION)
    raw = judge_calibration(info, SIZE, 'raw')
    assert raw.camera is not None
    np.testing.assert_array_equal(raw.camera.K, np.reshape(K, (3, 3)))
    assert (raw.source, raw.problem) == ('K', None)
    assert raw.distortion == "'plumb_bob' [-0.3, 0.1, 0, 0, 0]"
    rectified = judge_calibration(info, SIZE, 'rectified')
    assert rectified.camera is not None
    np.testing.assert_array_equal(rectified.camera.K, [[80, 0, 75], [0, 82, 57], [0, 0, 1]])
    assert (rectified.source, rectified.problem, rectified.distortion) == ('P', None, '')
    assert rectified.ideal is None


@pytest.mark.parametrize('d', [[], [0.0] * 5, [0.0] * 14])
def test_zeros_are_no_distortion_whatever_the_model(d: list[float]) -> None:
    judged = judge_calibration(info_of(d=d, distortion_model=''), SIZE, 'raw')
    assert (judged.distortion, judged.ideal, judged.problem) == ('', None, None)


IMPLAUSIBLE = {
    'zeros': ([0.0] * 9, 'focal length 0'),
    'identity': (IDENTITY, 'it is the identity'),
    'nan': ([*K[:2], NAN, *K[3:]], 'not finite'),
    'infinite': ([float('inf'), *K[1:]], 'not finite'),
    'short': ([31.0, *K[1:]], '0.194 image widths'),
    'long': ([3300.0, *K[1:]], '20.6 image widths'),
    'negative': ([-100.0, *K[1:]], 'image widths'),
    'mirrored': ([*K[:4], -102.0, *K[5:]], 'fy/fx is -1.02'),
    'flat': ([*K[:4], 500.0, *K[5:]], 'fy/fx is 5'),
    'skewed': ([100.0, 40.0, *K[2:]], 'skew 40 px'),
    'left': ([*K[:2], -90.0, *K[3:]], 'principal point (-90, 59.5)'),
    'below': ([*K[:5], 185.0, *K[6:]], 'principal point (79.5, 185)'),
    'corner': ([100.0, 0, 0, 0, 102, 0, 0, 0, 1], 'principal point (0, 0)'),
    'no projection': ([*K[:8], 2.0], 'expected [fx s cx'),
    'transposed': ([100.0, 0, 0, 0, 102, 0, 79.5, 59.5, 1], 'expected [fx s cx'),
    'huge': ([1e308] * 9, 'expected [fx s cx'),
}


@pytest.mark.parametrize('name', IMPLAUSIBLE)
def test_an_implausible_k_gives_way_to_p_and_then_to_the_network(name: str) -> None:
    k, text = IMPLAUSIBLE[name]
    judged = judge_calibration(info_of(k=k, d=[0.1] * 5), SIZE, 'raw')
    assert focal(judged) == 80
    assert reason(judged) is Reason.CALIBRATION_IMPLAUSIBLE
    assert judged.problem is not None
    assert text in judged.problem.text
    assert judged.problem.used == 'P is used'
    # D is relative to K: without one it cannot be undone.
    assert judged.ideal is None
    assert judged.distortion
    p = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
    judged = judge_calibration(info_of(k=k, p=p), SIZE, 'raw')
    assert (judged.camera, judged.source) == (None, 'network')
    assert judged.problem is not None
    assert 'field k' in judged.problem.text
    assert 'field p' in judged.problem.text


@pytest.mark.parametrize(
    'k',
    [
        [32.0, 0, 79.5, 0, 32, 59.5, 0, 0, 1],
        [3200.0, 0, 79.5, 0, 3200, 59.5, 0, 0, 1],
        [100.0, 0, -75.0, 0, 100, 175.0, 0, 0, 1],
        [100.0, 5.0, 79.5, 0, 390, 59.5, 0, 0, 1],
    ],
)
def test_odd_lenses_are_believed(k: list[float]) -> None:
    judged = judge_calibration(info_of(k=k), SIZE, 'raw')
    assert (judged.source, judged.problem) == ('K', None)


@pytest.mark.parametrize('p', [[0.0] * 12, P_IDENTITY])
def test_rectified_images_take_k_where_it_is_the_same_as_p(p: list[float]) -> None:
    judged = judge_calibration(info_of(p=p), SIZE, 'rectified')
    assert (judged.source, reason(judged)) == ('K', Reason.CALIBRATION_IMPLAUSIBLE)
    for other in ({'d': [0.1] * 5}, {'r': ROTATION}):
        judged = judge_calibration(info_of(p=p, **other), SIZE, 'rectified')
        assert (judged.source, reason(judged)) == ('network', Reason.CALIBRATION_IMPLAUSIBLE)


def test_region_and_binning_move_k_so_that_a_ray_meets_its_pixel() -> None:
    info = info_of(roi=(8, 4, 40, 24), binning_x=2, binning_y=3)
    for kind, (fx, cx, fy, cy) in (
        ('raw', (100, 79.5, 102, 59.5)),
        ('rectified', (80, 75, 82, 57)),
    ):
        judged = judge_calibration(info, ImageSize(8, 20), kind)  # type: ignore[arg-type]
        assert judged.camera is not None
        assert judged.problem is None
        u, v = fx * 0.1 + cx, fy * -0.07 + cy
        # Pixel borders are at -0.5: binning keeps borders on borders.
        wanted = [(u - 8 + 0.5) / 2 - 0.5, (v - 4 + 0.5) / 3 - 0.5]
        np.testing.assert_allclose(judged.camera.project([0.1, -0.07, 1.0]), wanted, atol=1e-12)


@pytest.mark.parametrize('size', [ImageSize(60, 80), ImageSize(60, 81)])
def test_a_last_part_of_a_bin_may_be_kept(size: ImageSize) -> None:
    judged = judge_calibration(info_of(width=161, binning_x=2, binning_y=2), size, 'raw')
    assert judged.problem is None
    assert judged.camera is not None
    assert judged.camera.size == size


def test_what_is_applied_already_is_not_applied_again() -> None:
    """Width and height are those of the image, and the message asks for half of them."""
    for fields in ({'binning_x': 2, 'binning_y': 2}, {'roi': (160, 120, 160, 120)}):
        judged = judge_calibration(info_of(**fields), SIZE, 'raw')
        assert (focal(judged), judged.source) == (100, 'K')
        assert reason(judged) is Reason.CALIBRATION_IMPLAUSIBLE
        # K is of the whole image, twice as large: its principal point is a corner of this one.
        twice = [200.0, 0, 159.5, 0, 204, 119.5, 0, 0, 1]
        judged = judge_calibration(info_of(k=twice, **fields), SIZE, 'raw')
        assert (focal(judged), judged.source) == (80, 'P')
        p = [200.0, 0, 159.5, 0, 0, 204, 119.5, 0, 0, 0, 1, 0]
        judged = judge_calibration(info_of(k=twice, p=p, **fields), SIZE, 'raw')
        assert judged.source == 'network'


@pytest.mark.parametrize(
    'fields',
    [
        {'width': 320, 'height': 240},
        {'width': 0, 'height': 0},
        {'width': 120, 'height': 160},
        {'width': 320, 'height': 240, 'binning_x': 2**32 - 1, 'binning_y': 2**32 - 1},
        {'width': 640, 'height': 480, 'roi': (600, 0, 160, 120)},
    ],
)
def test_another_size_is_not_used_and_names_both(fields: dict[str, Any]) -> None:
    judged = judge_calibration(info_of(**fields), SIZE, 'raw')
    assert (judged.camera, judged.source) == (None, 'network')
    assert reason(judged) is Reason.CALIBRATION_SIZE
    assert judged.problem is not None
    assert f'{fields["width"]}x{fields["height"]}' in judged.problem.text
    assert '160x120' in judged.problem.text


def test_no_values_do_more_than_make_a_problem() -> None:
    rng = np.random.default_rng(5)
    odd = [0.0, -1.0, NAN, float('inf'), -float('inf'), 1e308, -1e308, 1e-320, 100.0, 60.0, 1.0]
    sides = [0, 1, 120, 160, 2**31, 2**32 - 1]

    def draw(pool: list[Any], count: int) -> list[Any]:
        return [pool[i] for i in rng.integers(0, len(pool), count)]

    seen = set()
    for _ in range(3000):
        width, height, across, down = draw(sides, 4)
        info = info_of(width=width, height=height, binning_x=across, binning_y=down)
        info.d = draw(odd, int(rng.integers(0, 20)))
        for field in ('k', 'r', 'p'):
            if rng.random() < 0.6:
                values = list(getattr(info, field))
                for place in rng.integers(0, len(values), 2):
                    values[place] = draw(odd, 1)[0]
                setattr(info, field, values)
        if rng.random() < 0.5:
            info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = draw(sides, 4)
        for kind in ('raw', 'rectified'):
            judged = judge_calibration(info, SIZE, kind)
            seen.add((judged.source, reason(judged)))
            if judged.camera is not None:
                assert judged.camera.size == SIZE
                assert np.isfinite(judged.camera.K).all()
                assert (judged.camera.K[(0, 1), (0, 1)] > 0).all()
            else:
                assert judged.problem is not None
    assert len(seen) >= 6


def test_ten_thousand_coefficients_are_named_shortly() -> None:
    judged = judge_calibration(info_of(d=[0.1] * 10_000), SIZE, 'raw')
    assert judged.distortion.endswith(', ...]')
    assert len(judged.distortion) < 100


@pytest.mark.parametrize(
    ('topic', 'kind'),
    [
        ('/front/image_raw', 'raw'),
        ('/front/image_rect', 'rectified'),
        ('/front/image_rect_raw', 'rectified'),
        ('/front/image_rect_color/compressed', 'rectified'),
        ('/front/image_raw/compressed', 'raw'),
        ('/image_rect/image', 'raw'),
        ('/front/my_image_rect', 'raw'),
    ],
)
def test_auto_goes_by_the_last_part_of_the_topic(topic: str, kind: str) -> None:
    assert kind_of_images('auto', topic) == kind
    assert kind_of_images('raw', topic) == 'raw'
    assert kind_of_images('rectified', topic) == 'rectified'
