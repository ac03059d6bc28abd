"""Laws of the truth a network is trained towards, and of the losses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from da3_ros.geometry.camera import ImageSize
from da3_ros.model.camera_decoder import CameraDecoder
from da3_ros.model.heads import RayMaps
from da3_ros.model.pose_encoding import decode_cameras, invert_rigid
from da3_ros.model.ray_pose import cameras_from_rays
from da3_ros.synthetic.family_scene import Split
from tools.train_nano.config import TrainConfig
from tools.train_nano.losses import (
    all_losses,
    camera_loss,
    compared_depth,
    compass_loss,
    direction_loss,
    gradient_loss,
    idle_loss,
    ray_error,
    spread_loss,
    with_confidence,
)
from tools.train_nano.scenes import FamilyBatch, make_batch
from tools.train_nano.targets import Targets, make_targets

SIZE = ImageSize(42, 56)


@pytest.fixture(scope='module')
def batch() -> FamilyBatch:
    return make_batch(Split.VALIDATION, range(4), 3, SIZE)


@pytest.fixture(scope='module')
def targets(batch: FamilyBatch) -> Targets:
    return make_targets(batch)


def perfect_losses(targets: Targets, config: TrainConfig, scale: float = 1.0) -> dict[str, float]:
    """Losses of the truth itself, its depth multiplied by a factor, at confidence one."""
    rays = RayMaps(targets.rays, torch.ones(targets.rays.shape[:-1]))
    losses = all_losses(
        targets.depth * scale,
        torch.ones_like(targets.depth),
        targets.encoding,
        targets.compass,
        rays,
        targets,
        config,
    )
    assert losses.ray is not None
    assert losses.point is not None
    return {
        'depth': float(losses.depth),
        'gradient': float(losses.gradient),
        'camera': float(losses.camera),
        'direction': float(losses.direction),
        'spread': float(losses.spread),
        'compass': float(losses.compass),
        'ray': float(losses.ray),
        'point': float(losses.point),
        'total': float(losses.total(config)),
    }


def test_the_first_view_is_the_world(targets: Targets) -> None:
    torch.testing.assert_close(
        targets.extrinsics[:, 0], torch.eye(4).expand(4, 4, 4), atol=1e-6, rtol=0
    )


def test_points_are_one_unit_away_on_average(targets: Targets, batch: FamilyBatch) -> None:
    """Unprojected with numpy, in the frame of the first view."""
    for scene in range(4):
        distances = []
        for view in range(3):
            k = batch.intrinsics[scene, view]
            v, u = np.indices((SIZE.height, SIZE.width))
            depth = targets.depth[scene, view].numpy()
            local = depth[..., None] * (np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(k).T)
            pose = np.linalg.inv(targets.extrinsics[scene, view].numpy())
            points = local @ pose[:3, :3].T + pose[:3, 3]
            known = targets.known[scene, view].numpy()
            distances.append(np.linalg.norm(points, axis=-1)[known])
        assert np.concatenate(distances).mean() == pytest.approx(1.0, abs=1e-4)


def test_rays_and_encodings_are_the_cameras(targets: Targets) -> None:
    """The project's own decoders, proved elsewhere, recover the cameras from both."""
    size = (SIZE.height, SIZE.width)
    confidence = torch.ones(targets.rays.shape[:-1])
    from_rays, k_rays = cameras_from_rays(targets.rays, confidence, size)
    from_encoding, k_encoding = decode_cameras(targets.encoding, size)
    wanted = targets.extrinsics[..., :3, :]
    torch.testing.assert_close(from_rays, wanted, atol=2e-4, rtol=0)
    torch.testing.assert_close(from_encoding, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(k_rays, targets.intrinsics, atol=0.02, rtol=1e-3)
    torch.testing.assert_close(k_encoding, targets.intrinsics, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize('views', [2, 3])
def test_poses_that_are_told_do_not_tell_the_scene_s_unit(views: int) -> None:
    """The true cameras up to scale; the farthest of two, the median of many is one unit away."""
    targets = make_targets(make_batch(Split.VALIDATION, range(6), views, SIZE))
    torch.testing.assert_close(
        targets.told[..., :3, :3], targets.extrinsics[..., :3, :3], atol=1e-6, rtol=0
    )
    told, true = (invert_rigid(p)[..., :3, 3] for p in (targets.told, targets.extrinsics))
    ratio = told.norm(dim=(1, 2)) / true.norm(dim=(1, 2))
    torch.testing.assert_close(told, ratio[:, None, None] * true, atol=1e-5, rtol=0)
    middle = told.norm(dim=-1).sort(dim=1).values[:, 1]
    torch.testing.assert_close(middle, torch.ones(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize('factor', [0.1, 7.0])
def test_the_size_of_the_world_does_not_matter(
    batch: FamilyBatch, targets: Targets, factor: float
) -> None:
    poses = batch.world_from_camera.copy()
    poses[..., :3, 3] *= factor
    depth = batch.depth * np.float32(factor)
    larger = make_targets(replace(batch, depth=depth, world_from_camera=poses))
    torch.testing.assert_close(larger.depth, targets.depth, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(larger.rays, targets.rays, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(larger.encoding, targets.encoding, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(larger.scale_m, targets.scale_m * factor, rtol=1e-6, atol=0)


def test_where_the_world_lies_does_not_matter(batch: FamilyBatch, targets: Targets) -> None:
    turn = np.array([[0.0, -1, 0, 4], [1, 0, 0, -2], [0, 0, 1, 1], [0, 0, 0, 1]])
    moved = make_targets(replace(batch, world_from_camera=turn @ batch.world_from_camera))
    torch.testing.assert_close(moved.rays, targets.rays, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved.depth, targets.depth, rtol=1e-5, atol=1e-6)


def test_wrong_distances_between_cameras_cost_the_logarithm_of_the_ratio(targets: Targets) -> None:
    """Whichever way; those far below 0.02 of the scene's unit have none."""
    wide, tiny = targets.extrinsics.clone(), targets.extrinsics.clone()
    wide[..., :3, 3] *= 100.0
    tiny[..., :3, 3] *= 1e-4
    encoding = targets.encoding.clone()
    for truth, factor, loss in (
        (wide, 3.0, np.log(3.0)),
        (wide, 0.5, np.log(2.0)),
        (tiny, 3.0, 0),
    ):
        encoding[..., :3] = factor * invert_rigid(truth)[..., :3, 3]
        assert float(spread_loss(encoding, truth)) == pytest.approx(loss, abs=1e-3)


@pytest.mark.parametrize('space', ['log', 'linear'])
def test_the_truth_has_no_loss(targets: Targets, space: str) -> None:
    config = TrainConfig(depth_space='log' if space == 'log' else 'linear')
    assert all(abs(loss) < 1e-6 for loss in perfect_losses(targets, config).values())


def test_a_wrong_scale_costs_depth_and_points_but_not_gradients_of_logarithms(
    targets: Targets,
) -> None:
    losses = perfect_losses(targets, TrainConfig(), scale=1.5)
    assert losses['depth'] == pytest.approx(np.log(1.5), rel=1e-5)
    assert losses['gradient'] == pytest.approx(0.0, abs=1e-6)
    assert losses['point'] > 0.05
    assert losses['camera'] == losses['compass'] == losses['ray'] == 0.0


def test_the_sky_costs_nothing() -> None:
    sky = make_targets(make_batch(Split.UNSEEN, range(3), 2, SIZE))
    assert not sky.known.all()
    depth = torch.where(sky.known, sky.depth, 123.0)
    config = TrainConfig()
    rays = RayMaps(sky.rays, torch.ones(sky.rays.shape[:-1]))
    losses = all_losses(
        depth, torch.ones_like(depth), sky.encoding, sky.compass, rays, sky, config
    )
    assert float(losses.total(config)) == pytest.approx(0.0, abs=1e-6)


def test_the_best_confidence_is_the_weight_over_the_error() -> None:
    errors = torch.tensor([0.02, 0.05, 0.1])
    confidence = torch.full((3,), 2.0, requires_grad=True)
    known = torch.ones(3, dtype=torch.bool)
    for _ in range(3000):
        loss = with_confidence(errors, confidence, known, 0.2)
        [slope] = torch.autograd.grad(loss, confidence)
        with torch.no_grad():
            confidence -= 2.0 * slope * confidence
    torch.testing.assert_close(confidence.detach(), 0.2 / errors, rtol=1e-3, atol=0)


def test_a_quaternion_and_its_negative_are_the_same(targets: Targets) -> None:
    turned = targets.encoding.clone()
    turned[..., 3:7] *= -1
    assert float(camera_loss(turned, targets.encoding)) == 0.0
    assert float(camera_loss(targets.encoding.flip(1), targets.encoding)) > 0.01


def test_directions_do_not_see_the_length_of_motions(targets: Targets) -> None:
    """Five times as far, all directions are right; turned back, all that count are opposite."""
    far = targets.encoding.clone()
    far[..., :3] *= 5
    right = float(direction_loss(far, targets.extrinsics))
    assert right < 0.05
    back = targets.encoding.clone()
    back[..., :3] *= -1
    wrong = float(direction_loss(back, targets.extrinsics))
    assert 1.0 < wrong <= 2.0
    assert float(direction_loss(targets.encoding, targets.extrinsics)) < 1e-6
    alone = targets.encoding[:, :1]
    assert float(direction_loss(alone, targets.extrinsics[:, :1])) == 0.0


def test_directions_are_in_the_axes_of_the_camera_that_looks(targets: Targets) -> None:
    """A camera that thinks it looks elsewhere has the others elsewhere, by that angle."""
    angle = 0.4
    turned = targets.encoding.clone()
    quaternion = torch.tensor([0.0, np.sin(angle / 2), 0.0, np.cos(angle / 2)])
    turned[..., 3:7] = quaternion.to(turned)
    level = torch.eye(4).expand_as(targets.extrinsics).clone()
    level[..., 0, 3] = -10 * torch.arange(3.0)
    turned[..., :3] = 0.0
    turned[..., 0] = 10 * torch.arange(3.0)
    chord = 2 * np.sin(angle / 2)
    assert float(direction_loss(turned, level)) == pytest.approx(chord, rel=0.1)


def test_small_errors_of_origins_count_by_their_squares_and_large_ones_by_their_size() -> None:
    truth = torch.zeros(1, 6)

    def error(part: int, size: float) -> float:
        guess = truth.clone()
        guess[0, part] = size
        return float(ray_error(guess, truth))

    assert error(4, 0.02) == pytest.approx(4 * error(4, 0.01), rel=1e-5)
    assert error(4, 3.0) - error(4, 2.0) == pytest.approx(1 / 6, rel=1e-5)
    assert error(1, 0.02) == pytest.approx(2 * error(1, 0.01), rel=1e-5) == 0.02 / 6


def test_the_compass_is_the_camera_in_the_world(batch: FamilyBatch, targets: Targets) -> None:
    axes = torch.unflatten(targets.compass, -1, (3, 2)).numpy()
    np.testing.assert_allclose(axes[..., 0], batch.world_from_camera[..., :3, 0], atol=1e-6)
    np.testing.assert_allclose(axes[..., 1], batch.world_from_camera[..., :3, 2], atol=1e-6)
    assert float(compass_loss(targets.compass, targets.compass)) == 0.0
    assert float(compass_loss(-targets.compass, targets.compass)) > 0.5


def test_gradients_see_shape_and_not_offset() -> None:
    truth = torch.linspace(0.0, 1.0, 30).reshape(1, 1, 5, 6)
    known = torch.ones_like(truth, dtype=torch.bool)
    assert float(gradient_loss(truth + 3.0, truth, known)) == pytest.approx(0.0, abs=1e-6)
    assert float(gradient_loss(2 * truth, truth, known)) > 0.01
    wrong = truth.clone()
    wrong[..., 2, 3] = 50.0
    known[..., 2, 3] = False
    assert float(gradient_loss(wrong, truth, known)) == 0.0


def test_logarithms_compare_ratios() -> None:
    near, far = torch.tensor([0.1, 0.2]), torch.tensor([10.0, 20.0])
    for pair in (near, far):
        steps = compared_depth(pair, 'log').diff()
        torch.testing.assert_close(steps, torch.tensor([np.log(2.0)], dtype=torch.float32))


def test_choosing_views_keeps_the_cameras(targets: Targets) -> None:
    chosen = targets.of_views([2])
    torch.testing.assert_close(chosen.depth[:, 0], targets.depth[:, 2])
    torch.testing.assert_close(chosen.rays[:, 0], targets.rays[:, 2])
    assert chosen.encoding is targets.encoding
    back = invert_rigid(invert_rigid(targets.extrinsics))
    torch.testing.assert_close(back, targets.extrinsics, atol=1e-6, rtol=0)


def test_idle_units_of_the_camera_decoder_are_woken() -> None:
    decoder = CameraDecoder(8)
    features = torch.randn(40, 10, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for name, value in decoder.backbone.named_parameters():
            if name.endswith('bias'):
                value.fill_(-20.0)
    first = float(idle_loss(decoder, features).detach())
    assert float(decoder.backbone(features).detach().max()) == 0.0
    optimiser = torch.optim.Adam(decoder.backbone.parameters(), lr=0.1)
    for _ in range(400):
        optimiser.zero_grad()
        loss = idle_loss(decoder, features)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert float(loss.detach()) < first / 50
    answers = (decoder.backbone[:2](features) > 0).flatten(0, 1)
    assert bool(answers.any(dim=0).all())
    assert bool((decoder.backbone(features) > 0).any())
