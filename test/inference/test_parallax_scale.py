"""Depth in the unit of given cameras, where their centres cannot tell it but images do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import torch
from torch import Tensor

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert
from da3_ros.geometry.umeyama import similarity_from_points
from da3_ros.inference.api import DepthAnything3, Prediction
from da3_ros.inference.parallax_scale import FREEDOM
from da3_ros.inference.pose_alignment import PoseAlignment
from da3_ros.inference.random_weights import random_network
from da3_ros.model.outputs import NetworkOutput
from da3_ros.model.presets import NANO
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.trajectory import START_NS

SIZE = ImageSize(70, 98)
TOO_FAR = 1.4
"""How much too far apart the network of these tests sees cameras, relative to its depth."""


@dataclass(frozen=True)
class Scene:
    """Images of a room, and the truth about them in metres."""

    images: NDArray[np.uint8]
    depth: FloatArray
    intrinsics: FloatArray
    world_from_camera: FloatArray

    def cameras(self, unit_m: float = 1.0) -> dict[str, Any]:
        """Return what is given to `inference`, lengths in some unit."""
        extrinsics = invert(self.world_from_camera)
        extrinsics[:, :3, 3] /= unit_m
        return {'extrinsics': extrinsics, 'intrinsics': self.intrinsics}

    def log_error(self, depth: NDArray[np.float32], unit_m: float = 1.0) -> float:
        known = np.isfinite(self.depth)
        return float(np.median(np.log(depth[known] * unit_m / self.depth[known])))


def rendered(poses: FloatArray, number: int = 1) -> Scene:
    world = make_family_world(number, SIZE)
    camera = world.rig.cameras['front']
    views = [world.renderer.render(camera, pose) for pose in poses]
    return Scene(
        np.stack([view.image for view in views]),
        np.stack([view.depth for view in views]).astype(np.float64),
        np.tile(camera.to_corner_origin(), (len(views), 1, 1)),
        poses,
    )


def driven(views: Sequence[tuple[str, float]], number: int = 1) -> Scene:
    """Return what cameras of a robot see after some seconds."""
    world = make_family_world(number, SIZE)
    base_from_camera = world.rig.calibration.base_from_camera
    poses = [
        world.world_from_base(START_NS + round(seconds * 1e9)) @ base_from_camera[camera]
        for camera, seconds in views
    ]
    return rendered(np.stack(poses), number)


def placed(centres: Sequence[Sequence[float]]) -> Scene:
    """Return what a camera sees that looks aside from places given in its own axes."""
    world = make_family_world(1, SIZE)
    start = world.world_from_base(START_NS) @ world.rig.calibration.base_from_camera['left']
    poses = np.tile(start, (len(centres), 1, 1))
    poses[:, :3, 3] += np.array(centres) @ start[:3, :3].T
    return rendered(poses)


class TellingModel(DepthAnything3):
    """Answers with exact depth in a unit of its own and with cameras that are too far apart."""

    def __init__(self, scene: Scene, unit_m: float, *, too_far: float = TOO_FAR) -> None:
        config = replace(NANO, name='telling')
        super().__init__(network=random_network(config, seed=0))
        seen = invert(invert(scene.world_from_camera[0]) @ scene.world_from_camera)
        seen[:, :3, 3] *= too_far / unit_m
        self.answer = NetworkOutput(
            depth=_tensor(np.minimum(scene.depth, 1e4) / unit_m),
            depth_conf=None,
            sky=None,
            extrinsics=_tensor(seen[:, :3]),
            intrinsics=_tensor(scene.intrinsics),
        )

    def forward(self, image: Tensor, *_: Any, **__: Any) -> NetworkOutput:
        assert tuple(image.shape[-2:]) == (SIZE.height, SIZE.width)
        return self.answer


def _tensor(values: FloatArray) -> Tensor:
    return torch.from_numpy(values[None].astype(np.float32))


def alignment_of(prediction: Prediction) -> PoseAlignment:
    assert prediction.alignment is not None
    return prediction.alignment


def centres(extrinsics: NDArray[np.float32] | None) -> FloatArray:
    assert extrinsics is not None
    bottom = np.tile([[[0.0, 0.0, 0.0, 1.0]]], (len(extrinsics), 1, 1))
    return np.asarray(invert(np.concatenate([extrinsics, bottom], axis=1))[:, :3, 3])


WITHOUT_FREEDOM = [
    pytest.param(driven([('front', 0.0), ('front', 0.6)], 2), id='two views, driving ahead'),
    pytest.param(driven([('left', 0.0), ('left', 0.8)]), id='two views, driving past'),
    pytest.param(driven([('front', 0.0), ('left', 0.0)]), id='two cameras at one instant'),
    pytest.param(placed([[0, 0, 0], [0.2, 0, 0], [0.5, 0, 0]]), id='a line'),
    pytest.param(placed([[0, 0, 0], [0.3, 0, 0]] * 3), id='six views at two places'),
]


@pytest.mark.parametrize('scene', WITHOUT_FREEDOM)
@pytest.mark.parametrize(('network_unit_m', 'given_unit_m'), [(0.3, 1.0), (7.0, 1.0), (2.0, 0.01)])
def test_depth_comes_in_the_given_unit(
    scene: Scene, network_unit_m: float, given_unit_m: float
) -> None:
    cameras = scene.cameras(given_unit_m)
    model = TellingModel(scene, network_unit_m)
    got = model.inference(scene.images, **cameras, process_res=98)
    found = alignment_of(got)
    assert found.method == 'parallax'
    assert found.log_scale_sigma is not None
    error = abs(scene.log_error(got.depth, given_unit_m))
    assert error < 0.03
    assert error < 3 * found.log_scale_sigma
    assert found.scale == pytest.approx(given_unit_m / network_unit_m, rel=0.03)
    assert got.notes == ()
    assert got.extrinsics is not None
    np.testing.assert_array_equal(got.extrinsics, cameras['extrinsics'][:, :3].astype(np.float32))


def test_what_images_tell_badly_has_a_large_spread() -> None:
    """Ahead of a camera that drives half a metre, little moves."""
    scene = driven([('front', 0.0), ('front', 0.4)])
    got = TellingModel(scene, 0.5).inference(scene.images, **scene.cameras(), process_res=98)
    sigma = alignment_of(got).log_scale_sigma
    assert sigma is not None
    assert sigma > 0.1
    assert abs(scene.log_error(got.depth)) < sigma


@pytest.mark.parametrize('scene', WITHOUT_FREEDOM)
def test_cameras_in_the_networks_world_stand_as_far_apart_as_its_depth_says(scene: Scene) -> None:
    model = TellingModel(scene, 2.5)
    got = model.inference(
        scene.images, **scene.cameras(), process_res=98, align_to_input_ext_scale=False
    )
    assert alignment_of(got).method == 'parallax'
    np.testing.assert_array_equal(got.depth, model.answer.depth[0].numpy())
    moved = centres(got.extrinsics)
    true = scene.world_from_camera[:, :3, 3]
    distances = np.linalg.norm(moved[1:] - moved[0], axis=1)
    true_m = np.linalg.norm(true[1:] - true[0], axis=1)
    np.testing.assert_allclose(2.5 * distances, true_m, rtol=0.03, atol=1e-5)
    assert alignment_of(got).residual > 0.1 * distances.max()


@pytest.mark.parametrize('align', [True, False])
@pytest.mark.parametrize(
    ('places', 'note'),
    [([[0.0, 0, 0]], 'one view'), ([[0.0, 0, 0]] * 4, 'given cameras stand in one place')],
)
def test_one_view_and_cameras_that_stand_tell_nothing(
    places: list[list[float]], note: str, align: bool
) -> None:
    scene = placed(places)
    model = TellingModel(scene, 2.0)
    got = model.inference(
        scene.images, **scene.cameras(), process_res=98, align_to_input_ext_scale=align
    )
    found = alignment_of(got)
    assert (found.method, found.log_scale_sigma) == ('orientations_unit_scale', None)
    assert found.scale == 1.0
    assert len(got.notes) == 1
    assert note in got.notes[0]
    assert np.isfinite(centres(got.extrinsics)).all()
    np.testing.assert_array_equal(got.depth, model.answer.depth[0].numpy())


def test_a_standstill_that_only_the_network_sees_is_said() -> None:
    scene = placed([[0, 0, 0], [0.3, 0, 0]])
    got = TellingModel(scene, 2.0, too_far=0.0).inference(
        scene.images, **scene.cameras(), process_res=98
    )
    found = alignment_of(got)
    assert (found.method, found.log_scale_sigma) == ('orientations_unit_scale', None)
    assert 'the network sees the given cameras in one place' in got.notes[0]
    assert np.isfinite(got.depth).all()


@pytest.mark.parametrize('scene', WITHOUT_FREEDOM)
def test_without_texture_the_given_distances_count_and_a_note_says_so(scene: Scene) -> None:
    grey = np.full_like(scene.images, 128)
    got = TellingModel(scene, 2.0).inference(grey, **scene.cameras(), process_res=98)
    found = alignment_of(got)
    assert (found.method, found.log_scale_sigma) == ('orientations', None)
    assert found.scale == pytest.approx(TOO_FAR / 2.0, rel=1e-4)
    assert len(got.notes) == 1
    assert 'the given cameras stand on a line' in got.notes[0]


@pytest.mark.parametrize(
    ('aside', 'method'), [(0.8 * FREEDOM, 'parallax'), (1.3 * FREEDOM, 'umeyama')]
)
def test_the_published_way_stays_from_some_freedom_on(aside: float, method: str) -> None:
    half = 0.3
    # Second extent over first: sqrt(2 / 3) of the height, over sqrt(2) of half the base.
    scene = placed([[-half, 0, 0], [half, 0, 0], [0, math.sqrt(3) * aside * half, 0]])
    given = scene.cameras()
    model = TellingModel(scene, 2.0)
    got = model.inference(scene.images, **given, process_res=98)
    found = alignment_of(got)
    assert found.method == method
    assert (found.log_scale_sigma is None) == (method == 'umeyama')
    assert got.notes == ()
    if method == 'umeyama':
        told = centres(given['extrinsics'][:, :3].astype(np.float32))
        published = similarity_from_points(told, centres(found.predicted_extrinsics))
        assert found.scale == pytest.approx(published.scale, rel=1e-12)
        depth = model.answer.depth[0].numpy() / np.float32(published.scale)
        np.testing.assert_allclose(got.depth, depth, rtol=1e-6)
        assert scene.log_error(got.depth) == pytest.approx(-math.log(TOO_FAR), abs=1e-3)


def test_predicted_intrinsics_do_and_a_note_says_so() -> None:
    scene = driven([('left', 0.0), ('left', 0.8)])
    got = TellingModel(scene, 0.5).inference(
        scene.images, scene.cameras()['extrinsics'], process_res=98
    )
    assert alignment_of(got).method == 'parallax'
    assert abs(scene.log_error(got.depth)) < 0.03
    assert 'predicted intrinsics' in got.notes[-1]


def test_sky_is_no_evidence() -> None:
    """Depth is made up there."""
    scene = driven([('front', 0.0), ('left', 0.0)])
    model = TellingModel(scene, 0.5)
    depth, sky = model.answer.depth.clone(), torch.zeros_like(model.answer.depth)
    depth[:, :, :28], sky[:, :, :28] = 1.2, 1.0
    model.answer = replace(model.answer, depth=depth, sky=sky)
    got = model.inference(scene.images, **scene.cameras(), process_res=98)
    assert alignment_of(got).method == 'parallax'
    assert abs(scene.log_error(got.depth)) < 0.03


@pytest.mark.parametrize('number', range(4))
@pytest.mark.parametrize(
    'views', [[('left', 0.0), ('left', 0.8)], [('front', 0.0), ('left', 0.0)]]
)
def test_a_trained_network_gives_metres_of_two_views(
    number: int, views: list[tuple[str, float]]
) -> None:
    """Its own distances are off by a third and more."""
    scene = driven(views, number)
    model = DepthAnything3.from_pretrained('da3-nano')
    got = model.inference(scene.images, **scene.cameras())
    found = alignment_of(got)
    assert found.method == 'parallax'
    assert found.log_scale_sigma is not None
    error = abs(scene.log_error(got.depth))
    assert error < 0.1
    assert error < 3 * found.log_scale_sigma
