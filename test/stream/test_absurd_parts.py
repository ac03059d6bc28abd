"""What is said of each absurd number, and what each costs: no more than what hangs on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import GeometryError, StreamError
from da3_ros.geometry.arrays import FloatArray, as_float
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.parallax import metres_between_cameras
from da3_ros.geometry.resample import PixelMap
from da3_ros.geometry.se3 import require_rigid, rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.notes import Note
from da3_ros.stream.placing import Layout
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.robust_mean import mean_rotation
from da3_ros.stream.world import World
from da3_ros.types import (
    FrameSet,
    PosePrior,
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
    WindowResult,
)
from helpers.stream_builders import (
    ODOM_FROM_WORLD,
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    sets_of,
    windows_of,
    with_odometry,
)

CAMERAS = tuple(THREE_CAMERAS.base_from_camera)
WORLD = BoxWorld(THREE_CAMERAS)
SIZE = WORLD.camera.size
HALF_TURNS = [np.diag(np.roll([1.0, -1.0, -1.0], axis)) for axis in range(3)]


def window(**change: object) -> WindowResult:
    """Return the result of one window whose second view, of the camera left, is changed."""

    def spoil(_: Window, said: WindowPrediction) -> WindowPrediction:
        first, second, third = said.views
        return replace(said, views=(first, replace(second, **change), third))  # type: ignore[arg-type]

    estimator = BoxEstimator(WORLD, spoil=spoil)
    reconstructor = Reconstructor(estimator, THREE_CAMERAS, lambda: 0.0)
    return reconstructor.process(Window(7, tuple(sets_of(CAMERAS, 1)), 1))


def focal(fx: float, fy: float, cx: float = 15.5) -> PinholeCamera:
    return PinholeCamera.from_focal(fx, fy, cx, 11.5, SIZE)


@pytest.mark.parametrize(
    ('change', 'value', 'limit'),
    [
        ({'window_from_camera': rigid(np.eye(3), [0, -3e12, 0])}, 3e12, 1e9),
        ({'camera': focal(1e7, 20)}, 1e7, 32e3),
        ({'camera': focal(20, 1e-3)}, 1e-3, 0.32),
        ({'camera': focal(20, 20, 1e30)}, 1e30, 32e4),
        ({'calibrated_camera': focal(20, 20, -1e30)}, -1e30, -32e4),
        ({'pixel_map': PixelMap(1e9, 0, 1, 0)}, 1e9, 1e5),
        ({'pixel_map': PixelMap(1, 0, 0, 0)}, 0, 1e-5),
        ({'pixel_map': PixelMap(1, 1e9, 1, 0)}, 1e9, 1e7),
        ({'pixel_map': PixelMap(1, math.nan, 1, 0)}, math.nan, 1e7),
    ],
)
def test_a_number_that_cannot_be_is_named_with_its_camera_and_its_limit(
    change: dict[str, object], value: float, limit: float
) -> None:
    result = window(**change)
    (note,) = result.alignment.notes
    assert result.new_sets == ()
    assert note.code == 'window_refused'
    assert 'view 1 (camera left, stamp 0): expected ' in note.text
    assert f'{limit:.4g}' in note.text
    assert f'{value:.4g}' in note.text
    assert dict(note.numbers) == pytest.approx({'value': value, 'limit': limit}, nan_ok=True)


@pytest.mark.parametrize('sigma', [math.nan, -1.0, 11.0, math.inf])
def test_an_error_of_the_unit_that_cannot_be_refuses_the_window(sigma: float) -> None:
    estimator = BoxEstimator(WORLD, spoil=lambda _, said: replace(said, unit_sigma=sigma))
    reconstructor = Reconstructor(estimator, THREE_CAMERAS, lambda: 0.0)
    result = reconstructor.process(Window(0, tuple(sets_of(CAMERAS, 1)), 1))
    (note,) = result.alignment.notes
    assert 'unit_sigma' in note.text
    assert dict(note.numbers) == pytest.approx(
        {'value': sigma, 'limit': 0.0 if sigma < 0 else 10.0}, nan_ok=True
    )


@pytest.mark.parametrize('value', [1e10, 1e30, 1e-12, 1e-30])
def test_pixels_of_absurd_depth_are_unknown_and_counted(value: float) -> None:
    depth = np.full((SIZE.height, SIZE.width), 2.0, np.float32)
    depth[:3, :5] = value
    result = window(depth=depth)
    view = result.new_sets[0].views[1]
    np.testing.assert_array_equal(np.isnan(view.depth), depth != 2)
    (note,) = (n for n in result.alignment.notes if n.code == 'pixels_left_out')
    assert note.text.startswith('camera left: 15 of 768 pixels have a depth as ')
    assert dict(note.numbers) == pytest.approx({'pixels': 15, 'of': 768, 'value': value})


@pytest.mark.parametrize('value', [0.0, -1.0, math.inf, -math.inf, math.nan])
def test_the_usual_ways_to_say_unknown_are_not_worth_a_note(value: float) -> None:
    depth = np.full((SIZE.height, SIZE.width), 2.0, np.float32)
    depth[0] = value
    result = window(depth=depth)
    assert np.isnan(result.new_sets[0].views[1].depth[0]).all()
    assert [n for n in result.alignment.notes if n.code == 'pixels_left_out'] == []


@pytest.mark.parametrize('value', [math.nan, math.inf, -3.0, 0.5])
def test_confidence_that_is_none_counts_as_the_least(value: float) -> None:
    confidence = np.full((SIZE.height, SIZE.width), 3.0)
    confidence[1, :4] = value
    result = window(confidence=confidence)
    given = result.new_sets[0].views[1].confidence
    assert given is not None
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given[1, :5], [1, 1, 1, 1, 3])
    (note,) = (n for n in result.alignment.notes if n.code == 'pixels_left_out')
    assert '4 of 768 pixels have a confidence' in note.text


@pytest.mark.parametrize('kind', [np.float64, np.float16, np.int32, np.uint8])
def test_depth_of_another_type_is_depth(kind: type[np.generic]) -> None:
    depth = np.full((SIZE.height, SIZE.width), 2, kind)
    depth.flags.writeable = False
    result, wanted = window(depth=depth), window(depth=depth.astype(np.float32))
    for view, other in zip(result.new_sets[0].views, wanted.new_sets[0].views, strict=True):
        np.testing.assert_array_equal(view.depth, other.depth)


def test_rotations_that_are_opposite_have_one_of_them_as_their_mean() -> None:
    given = Rotation.random(random_state=1).as_matrix()
    for count in (1, 3):
        rotations = np.array([given, *(given @ turn for turn in HALF_TURNS[:count])])
        mean, used = mean_rotation(rotations)
        assert used.tolist() == [True] + [False] * count
        np.testing.assert_allclose(mean, given, atol=1e-12)


@pytest.mark.parametrize('degrees', [80.0, 100.0])
def test_two_rotations_further_apart_than_a_quarter_contradict(degrees: float) -> None:
    other = Rotation.from_euler('x', degrees, degrees=True).as_matrix()
    _, used = mean_rotation(np.array([np.eye(3), other]))
    assert used.all() == (degrees < 90)


@pytest.mark.parametrize(
    'value', [np.eye(4) * 1j, np.full((4, 4), 'x'), [[None] * 4] * 4, {}, 'x', [[1, 2], [3]]]
)
def test_what_is_no_array_of_numbers_is_an_error_of_geometry(value: object) -> None:
    with pytest.raises(GeometryError, match='pose'):
        as_float('pose', value, (4, 4))


def test_entries_beyond_all_products_are_no_rotation_and_no_overflow() -> None:
    with pytest.raises(GeometryError, match='entries up to 1e\\+200'):
        require_rigid('pose', rigid(1e200 * np.eye(3), np.zeros(3)))


def test_images_of_one_row_have_no_parallax() -> None:
    size = ImageSize(1, 4000)
    camera = PinholeCamera.from_focal(2000, 2000, 2000, 0, size)
    poses = np.array([np.eye(4), rigid(np.eye(3), [0.1, 0, 0])])
    images = np.zeros((2, 1, 4000, 3), np.uint8)
    depth = np.ones((2, 1, 4000), np.float32)
    assert metres_between_cameras(images, depth, [camera] * 2, poses, poses[:, :3, 3]) is None


# ---- odometry and rigs


def run(sets: list[FrameSet], rig: RigCalibration) -> tuple[BoxEstimator, list[WindowResult]]:
    estimator = BoxEstimator(WORLD, position_noise_m=0.002, depth_noise=0.02)
    reconstructor = Reconstructor(estimator, rig, lambda: 0.0)
    return estimator, [reconstructor.process(w) for w in windows_of(sets, 3, 1)]


def not_rigid(pose: FloatArray) -> FloatArray:
    return pose @ np.diag([1.0, 1, -1, 1])


NO_POSES: list[Callable[[FloatArray], FloatArray]] = [
    lambda pose: pose * np.nan,
    np.zeros_like,
    not_rigid,
    lambda pose: rigid(pose[:3, :3], [1e12, 0, 0]),
    lambda pose: rigid(1e200 * pose[:3, :3], pose[:3, 3]),
]
JUMPS: list[Callable[[FloatArray], FloatArray]] = [
    lambda pose: rigid(pose[:3, :3], pose[:3, 3] + [1e6, -3e5, 0]),
    lambda pose: rigid(HALF_TURNS[2], [0, 0, 0]) @ pose,
    lambda pose: pose @ rigid(HALF_TURNS[0], [0, 0, 0]),
    lambda _: np.eye(4),
]


@pytest.mark.parametrize('at', [0, 1, 9])
@pytest.mark.parametrize('absurd', [*NO_POSES, *JUMPS])
def test_absurd_odometry_of_one_set_costs_no_depth_and_no_metre(
    absurd: Callable[[FloatArray], FloatArray], at: int
) -> None:
    sets = with_odometry(
        sets_of(CAMERAS, 24), WORLD, change=lambda n, pose: absurd(pose) if n == at else pose
    )
    estimator, results = run(sets, RigCalibration())
    stamps = [posed.stamp_ns for result in results for posed in result.new_sets]
    assert stamps == [i * PERIOD_NS for i in range(24)]
    touched = [r for r, w in zip(results, windows_of(sets, 3, 1), strict=True) if has(w, at)]
    codes = [{note.code for note in result.alignment.notes} for result in touched]
    if absurd in NO_POSES:
        assert all('prior_left_out' in said for said in codes)
        assert 'odometry_from_camera of front' in text_of(touched[0], 'prior_left_out')
    for result in results:
        scale = result.alignment.scale * estimator.scales[result.window_index]
        if result.alignment.is_metric:
            assert scale == pytest.approx(1.0, rel=0.03)
    assert results[-1].alignment.is_metric


def has(made: Window, number: int) -> bool:
    return any(item.stamp_ns == number * PERIOD_NS for item in made.sets)


def text_of(result: WindowResult, code: str) -> str:
    return next(note.text for note in result.alignment.notes if note.code == code)


def test_a_prior_says_once_what_it_leaves_out_and_makes_the_rest_exact() -> None:
    rough = np.eye(4)
    rough[:3, :3] += 2e-4
    prior = PosePrior(
        {'front': rough, 'left': np.zeros((4, 4))}, {'front': rigid(np.eye(3), [2e8, 0, 0])}
    )
    rotation = prior.base_from_camera['front'][:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert (list(prior.base_from_camera), prior.odometry_from_camera) == (['front'], {})
    (note,) = prior.notes
    assert 'base_from_camera of left' in note.text
    assert '(and 1 more)' in note.text
    assert replace(prior).notes == prior.notes
    far = PosePrior({}, {'front': rigid(np.eye(3), [2e8, 0, 0])})
    assert far.notes[0].text.endswith(
        'odometry_from_camera of front: expected a place within 1e+08 m, got 2e+08 m'
    )


def test_a_rig_beyond_the_earth_is_refused_by_name() -> None:
    rig = RigCalibration({'left': rigid(np.eye(3), [0, 1e9, 0])})
    with pytest.raises(StreamError, match=r'left: expected a place within 1e\+08 m, got 1e\+09'):
        Reconstructor(BoxEstimator(WORLD), rig, lambda: 0.0)


def test_a_unit_that_no_window_has_is_said_and_not_believed() -> None:
    """Odometry that goes ten thousand kilometres where the network sees atoms."""

    def tiny(view: ViewPrediction) -> ViewPrediction:
        pose = Sim3(1e-8, np.eye(3), np.zeros(3)).apply_to_pose(view.window_from_camera)
        return replace(view, depth=view.depth * np.float32(1e-8), window_from_camera=pose)

    estimator = BoxEstimator(
        WORLD, spoil=lambda _, said: replace(said, views=tuple(map(tiny, said.views)))
    )
    odometry = Sim3(1e6, np.eye(3), np.zeros(3))
    sets = [
        replace(
            item,
            prior=PosePrior(
                {},
                {
                    c: odometry.apply_to_pose(
                        ODOM_FROM_WORLD @ WORLD.world_from_camera(c, item.stamp_ns)
                    )
                    for c in CAMERAS
                },
            ),
        )
        for item in sets_of(CAMERAS, 4)
    ]
    reconstructor = Reconstructor(estimator, RigCalibration(), lambda: 0.0)
    results = [reconstructor.process(w) for w in windows_of(sets, 3, 1)]
    assert not any(result.alignment.is_metric for result in results)
    assert any(note.code == 'scale_absurd' for note in results[-1].alignment.notes)
    assert len(results[-1].new_sets) == 1


@pytest.mark.parametrize(('factor', 'stays'), [(3.0, 'start'), (1e11, 'base')])
def test_a_new_unit_moves_the_base_unless_that_is_beyond_all_sense(
    factor: float, stays: str
) -> None:
    start, base, other = np.array([1.0, 2, 3]), [101.0, 2, 3], [103.0, 2, 3]
    world = World(Layout({}, {}), start=start, world_from_base=rigid(np.eye(3), base))
    moved = world.in_new_unit(factor).world_from_base
    assert moved is not None
    beside = world.stretched(rigid(np.eye(3), other), factor)
    fixed = start if stays == 'start' else np.array(base)
    np.testing.assert_allclose(moved[:3, 3], fixed + factor * (base - fixed))
    np.testing.assert_allclose(beside[:3, 3] - moved[:3, 3], [2 * factor, 0, 0])


def test_skew_of_a_camera_that_lies_on_its_side_costs_the_calibration_only() -> None:
    skewed = PinholeCamera(np.array([[22, 0.5, 15.5], [0, 22, 11.5], [0, 0, 1.0]]), SIZE)
    (item,) = sets_of(CAMERAS, 1)
    image = np.zeros((SIZE.height, SIZE.width, 3), np.uint8)
    frames = tuple(replace(f, image=image, calibration=skewed) for f in item.frames)
    reconstructor = Reconstructor(
        BoxEstimator(WORLD), THREE_CAMERAS, lambda: 0.0, quarter_turns={'left': 1, 'right': 2}
    )
    result = reconstructor.process(Window(0, (replace(item, frames=frames),), 1))
    assert [view.id.camera for view in result.new_sets[0].views] == list(CAMERAS)
    said: list[Note] = [n for n in result.alignment.notes if n.code == 'calibration_left_out']
    assert [note.text[:12] for note in said] == ['camera left:']
