"""Laws of the figures by which training is judged."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.synthetic.family_scene import Split
from helpers.training import TINY, TINY_SIZE
from tools.train_nano.accuracy import (
    ALONE,
    ALONE_ONE_SCALE,
    CONSTANT,
    FREE,
    FREE_OVERLAP,
    STILL,
    STILL_OVERLAP,
    TOGETHER,
    Row,
    markdown,
    measure_estimates,
    overlapping,
)
from tools.train_nano.evaluate import draw_scenes, table
from tools.train_nano.metrics import (
    area_under_curve,
    depth_figures,
    evaluation_set,
    measure,
    metric_error,
    pose_figures,
    relative_errors,
)
from tools.train_nano.scenes import FamilyBatch, make_batch
from tools.train_nano.targets import Targets, make_targets
from tools.train_nano.weights import initial_network


@pytest.fixture(scope='module')
def targets() -> Targets:
    return make_targets(make_batch(Split.VALIDATION, range(5), 3, TINY_SIZE))


def about_y(angle_rad: float) -> Tensor:
    turn = torch.eye(4)
    turn[0, 0] = turn[2, 2] = math.cos(angle_rad)
    turn[0, 2], turn[2, 0] = math.sin(angle_rad), -math.sin(angle_rad)
    return turn


def test_depth_is_judged_up_to_one_scale_per_scene(targets: Targets) -> None:
    scales = torch.tensor([0.1, 1.0, 3.0, 20.0, 0.5])[:, None, None, None]
    assert depth_figures(targets.depth * scales, targets)['absrel'] < 1e-6
    per_view = torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    assert depth_figures(targets.depth * per_view, targets)['absrel'] > 0.2


def test_depth_errors_have_their_textbook_values(targets: Targets) -> None:
    # Half of the columns 1.2 times too far: the median is in between or on one side.
    depth = targets.depth.clone()
    depth[..., ::2] *= 1.2
    figures = depth_figures(depth, targets)
    assert figures['delta1'] == pytest.approx(1.0)
    assert 0.08 < figures['absrel'] < 0.11


def test_the_truth_is_perfect_in_any_world(targets: Targets) -> None:
    moved = targets.extrinsics @ about_y(1.0)
    moved[..., :3, 3] *= 4.0
    figures = pose_figures(moved, targets.extrinsics)
    # Angles of nothing are resolved to about 0.02 degrees from float32 matrices.
    assert figures['rotation_deg'] < 0.1
    assert figures['auc30_rotation'] == 100.0
    assert figures['auc30'] > 99.0


def test_a_known_turn_is_measured(targets: Targets) -> None:
    wrong = targets.extrinsics.clone()
    wrong[:, 2] = about_y(math.radians(10.0)) @ wrong[:, 2]
    rotation, _ = relative_errors(wrong, targets.extrinsics)
    pairs = rotation.reshape(5, 3)
    torch.testing.assert_close(
        pairs, torch.tensor([0.0, 10.0, 10.0]).double().expand(5, 3), atol=0.1, rtol=0
    )


def test_standing_cameras_have_no_direction(targets: Targets) -> None:
    still = torch.eye(4).expand_as(targets.extrinsics)
    _, direction = relative_errors(still, targets.extrinsics)
    assert torch.all(direction == 90.0)
    assert pose_figures(still, targets.extrinsics)['auc30'] == 0.0


def test_known_cameras_give_depth_its_scale(targets: Targets) -> None:
    """What counts is whether depth and the cameras' distances agree, not their unit."""
    cameras = targets.extrinsics[..., :3, :].clone()
    cameras[..., 3] *= 4.0
    assert metric_error(4.0 * targets.depth, cameras, targets) < 1e-5
    assert metric_error(4.8 * targets.depth, cameras, targets) == pytest.approx(0.2, rel=1e-4)
    cameras[..., 3] /= 0.8
    assert metric_error(4.0 * targets.depth, cameras, targets) == pytest.approx(0.2, rel=1e-4)


def test_area_under_curve() -> None:
    assert area_under_curve([0.0]) == 100.0
    assert area_under_curve([31.0]) == 0.0
    # Right from 15 degrees on: thresholds 15 to 30 of 30.
    assert area_under_curve([14.5]) == pytest.approx(100 * 16 / 30)


def test_baselines_are_measured_with_the_network() -> None:
    data = evaluation_set(Split.VALIDATION, 2, 4, TINY_SIZE)
    figures = measure(initial_network(TINY, 0), data)
    assert {'absrel', 'delta1', 'absrel_posed', 'absrel_metric', 'auc30'} <= set(figures)
    assert figures['absrel_row'] < figures['absrel_constant']
    assert figures['rotation_deg_still'] > 1.0
    assert figures['auc30_still'] == 0.0


def test_the_table_has_every_figure_and_the_picture_every_scene(tmp_path: Path) -> None:
    network = initial_network(TINY, 0).eval()
    sets = {views: evaluation_set(Split.TEST, views, 2, TINY_SIZE) for views in (1, 2)}
    lines = table(network, sets).splitlines()
    assert lines[0] == '| figure | 1 views | 2 views |'
    assert any(line.startswith('| auc30 |  | ') for line in lines)
    draw_scenes(network, Split.TEST, tmp_path / 'scenes.png')
    picture = cv2.imread(str(tmp_path / 'scenes.png'))
    assert picture is not None
    assert picture.shape == (8 * 70 * 2, 6 * 98 * 2, 3)


def test_the_table_of_accuracy_has_a_row_for_every_estimate() -> None:
    network = initial_network(TINY, 0).eval()
    data = evaluation_set(Split.TEST, 2, 6, TINY_SIZE, profile_scenes=2)
    found = measure_estimates(network, data)
    lines = markdown([Row('test', 2, name, figures) for name, figures in found.items()])
    assert lines.count('\n') == 1 + len(found)
    assert found[STILL].auc30 == 0.0
    assert found[STILL].absrel is None
    assert found[CONSTANT].rotation_deg is None
    # A scale for every view helps, if not every single scene.
    together, free = found[TOGETHER].absrel, found[FREE].absrel
    assert together is not None
    assert free is not None
    assert together < 1.01 * free


def test_views_overlap_when_they_show_the_same() -> None:
    """One camera twice and once turned round, in the order (0, 1), (0, 2), (1, 2)."""
    batch = make_batch(Split.VALIDATION, range(4), 1, TINY_SIZE)
    behind = make_batch(Split.VALIDATION, range(4), 3, TINY_SIZE)
    images = np.repeat(batch.images, 3, axis=1)
    depth = np.repeat(batch.depth, 3, axis=1)
    poses = np.repeat(batch.world_from_camera, 3, axis=1)
    poses[:, 2] = poses[:, 2] @ about_y(math.pi).double().numpy()
    twice = FamilyBatch(images, depth, np.repeat(batch.intrinsics, 3, axis=1), poses, TINY_SIZE)
    # At least a quarter of every one of these images is no sky.
    assert np.isfinite(batch.depth).mean(axis=(1, 2, 3)).min() > 0.5
    pairs = overlapping(make_targets(twice)).view(4, 3)
    assert pairs.tolist() == [[True, False, False]] * 4
    # Both have to see the other.
    assert len(overlapping(make_targets(behind))) == 12


def test_pairs_that_overlap_are_judged_alone() -> None:
    data = evaluation_set(Split.VALIDATION, 4, 6, TINY_SIZE, profile_scenes=4)
    found = measure_estimates(initial_network(TINY, 0).eval(), data)
    pairs = overlapping(data.targets)
    assert 0 < int(pairs.sum()) < len(pairs)
    still = torch.eye(4).expand_as(data.targets.extrinsics)
    rotation, _ = relative_errors(still, data.targets.extrinsics)
    assert found[STILL_OVERLAP].rotation_deg == pytest.approx(float(rotation[pairs].mean()))
    assert found[STILL].rotation_deg == pytest.approx(float(rotation.mean()))
    assert found[FREE_OVERLAP].absrel is None
    assert found[ALONE_ONE_SCALE].absrel != found[ALONE].absrel
