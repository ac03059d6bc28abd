"""Laws of the patches that show the same surface, and of attention that finds them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from da3_ros.geometry.camera import ImageSize
from da3_ros.model.forward import ForwardOptions
from da3_ros.synthetic.family_scene import Split
from helpers.rounding import DEEP, assert_equal_to_rounding
from helpers.training import TINY
from tools.train_nano.matching import (
    HEAD,
    AttentionRecord,
    match_loss,
    matches,
    recorded_attention,
)
from tools.train_nano.scenes import FamilyBatch, make_batch
from tools.train_nano.targets import PATCH, make_targets
from tools.train_nano.weights import initial_network

SIZE = ImageSize(42, 56)
VIEWS = 3


@pytest.fixture(scope='module')
def batch() -> FamilyBatch:
    return make_batch(Split.VALIDATION, range(6), VIEWS, SIZE)


def test_a_patch_is_matched_to_where_its_middle_is_seen(batch: FamilyBatch) -> None:
    """Projected one by one with numpy from what the renderer says, in metres."""
    shares = matches(make_targets(batch)).numpy()
    rows, columns = SIZE.height // PATCH, SIZE.width // PATCH
    found = 0
    for scene, home, patch in np.ndindex(6, VIEWS, rows * columns):
        v, u = (PATCH * i + PATCH // 2 for i in divmod(patch, columns))
        depth = batch.depth[scene, home, v, u]
        for view in range(VIEWS):
            got = shares[scene, home, patch, view]
            wanted = None
            if view != home and np.isfinite(depth):
                local = depth * (np.linalg.inv(batch.intrinsics[scene, home]) @ (u, v, 1.0))
                world = batch.world_from_camera[scene, home] @ (*local, 1.0)
                there = np.linalg.inv(batch.world_from_camera[scene, view]) @ world
                x, y, _ = batch.intrinsics[scene, view] @ there[:3] / there[2]
                x, y = round(x), round(y)
                if there[2] > 0 and 0 <= x < SIZE.width and 0 <= y < SIZE.height:
                    seen = batch.depth[scene, view, y, x]
                    wanted = y // PATCH * columns + x // PATCH
                    if abs(seen / there[2] - 1) >= 0.049:
                        # Hidden; just at the limit either answer is right.
                        assert got.sum() == 0 or abs(seen / there[2] - 1) < 0.051
                        continue
            if wanted is None:
                assert got.sum() == 0
            else:
                found += 1
                assert got[wanted] == got.sum() == 1.0
    assert found > 60


def test_the_size_of_the_world_changes_no_match(batch: FamilyBatch) -> None:
    poses = batch.world_from_camera.copy()
    poses[..., :3, 3] *= 5
    larger = replace(batch, depth=batch.depth * np.float32(5), world_from_camera=poses)
    assert torch.equal(matches(make_targets(larger)), matches(make_targets(batch)))


def test_a_single_view_matches_nothing() -> None:
    shares = matches(make_targets(make_batch(Split.VALIDATION, [0], 1, SIZE)))
    assert float(shares.sum()) == 0.0
    keys = torch.zeros(1, 1 + shares.shape[2], 4)
    assert float(match_loss(AttentionRecord([(keys, keys)]), shares)) == 0.0


def test_looking_at_the_match_costs_nothing_and_looking_everywhere_its_logarithm() -> None:
    generator = torch.Generator().manual_seed(3)
    views, patches = 2, 6
    shares = torch.zeros(1, views, patches, views, patches)
    places = [torch.randperm(patches, generator=generator) for _ in range(views)]
    keys = torch.zeros(1, views, 1 + patches, patches)
    queries = torch.zeros_like(keys)
    keys[:, :, 1:] = torch.eye(patches)
    for home in range(views):
        for patch in range(patches):
            shares[0, home, patch, 1 - home, places[home][patch]] = 1.0
            queries[0, home, 1 + patch, places[home][patch]] = 100.0
    key = keys.flatten(1, 2)
    sharp = AttentionRecord([(queries.flatten(1, 2), key)])
    assert float(match_loss(sharp, shares)) == pytest.approx(0.0, abs=1e-6)
    blind = AttentionRecord([(torch.zeros_like(key), key)] * 2)
    assert float(match_loss(blind, shares)) == pytest.approx(np.log(patches))


def test_recording_sees_the_blocks_across_views_and_changes_nothing() -> None:
    network = initial_network(TINY, 0)
    targets = make_targets(make_batch(Split.VALIDATION, range(2), VIEWS, SIZE))
    attentions = [m for m in network.modules() if hasattr(m, 'kernel')]
    before = [m.kernel for m in attentions]
    with torch.no_grad():
        plain = network(targets.images, options=ForwardOptions(ref_view_strategy='first'))
        with recorded_attention(network) as record:
            recorded = network(targets.images, options=ForwardOptions(ref_view_strategy='first'))
    assert_equal_to_rounding(recorded.depth, plain.depth, DEEP)
    assert [m.kernel for m in attentions] == before
    # Blocks 1 and 3 of 5 look across views.
    assert len(record.pairs) == 2
    tokens = VIEWS * (1 + SIZE.height * SIZE.width // PATCH**2)
    assert all(x.shape == (2, tokens, 16) for pair in record.pairs for x in pair)


def test_only_the_taught_head_learns_from_matches() -> None:
    network = initial_network(TINY, 0)
    targets = make_targets(make_batch(Split.VALIDATION, range(2), VIEWS, SIZE))
    with recorded_attention(network) as record:
        network(targets.images, options=ForwardOptions(ref_view_strategy='first'))
    match_loss(record, matches(targets)).backward()  # type: ignore[no-untyped-call]
    gradient = network.get_parameter('backbone.pretrained.blocks.3.attn.qkv.weight').grad
    assert gradient is not None
    # (query, key, value) by (head, channel)
    sizes = gradient.view(3, 2, 16, 32).abs().amax(dim=(2, 3))
    assert float(sizes[:2, HEAD].min()) > 0
    assert float(sizes[2].max()) == float(sizes[:, 1 - HEAD].max()) == 0
