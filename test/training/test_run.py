"""Laws of a training run: learning, resuming, data, what is left behind."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from da3_ros.inference.checkpoint import load_network
from da3_ros.model import chunks
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import NANO
from da3_ros.synthetic.family_scene import FAMILY_VERSION, Split
from helpers.rounding import assert_equal_pictures, assert_equal_to_rounding
from helpers.training import (
    SHARED_RUN,
    SHARED_STEPS,
    TINY,
    TINY_RUN,
    TINY_SIZE,
    agree_in_team,
    train_in_team,
)
from tools.train_nano.batches import batches, step_batch
from tools.train_nano.bundle import best_of_run, copy_weights
from tools.train_nano.config import TrainConfig
from tools.train_nano.curve import PANELS, draw_curve
from tools.train_nano.metrics import evaluation_set
from tools.train_nano.parallel import Team
from tools.train_nano.scenes import FamilyBatch, make_batch
from tools.train_nano.state import Progress, TrainState
from tools.train_nano.trainer import (
    STATE_NAME,
    Trainer,
    compute_views_together,
    decoded_views,
    export,
    learning_rate,
    train_step,
)
from tools.train_nano.weights import initial_network


def train(state: TrainState, steps: int) -> None:
    for _ in range(steps):
        train_step(state, step_batch(state.config, state.progress.step, TINY_SIZE))


def assert_equal(one: AnyViewNetwork, other: AnyViewNetwork) -> None:
    others = dict(other.named_parameters())
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, others[name]), name


def test_a_resumed_run_is_the_run_that_was_never_interrupted(tmp_path: Path) -> None:
    straight = TrainState(TINY, TINY_RUN)
    train(straight, 7)
    interrupted = TrainState(TINY, TINY_RUN)
    train(interrupted, 4)
    interrupted.save(tmp_path / STATE_NAME)
    resumed = TrainState.load(tmp_path / STATE_NAME, TINY)
    train(resumed, 3)
    assert resumed.progress == straight.progress
    assert resumed.config == TINY_RUN
    assert_equal(resumed.network, straight.network)
    assert_equal(resumed.mean, straight.mean)


def test_a_resumed_run_can_be_changed(tmp_path: Path) -> None:
    state = TrainState(TINY, TINY_RUN)
    state.save(tmp_path / STATE_NAME)
    changes = {'camera_rate': 0.0, 'weight_camera': 3.0}
    changed = TrainState.load(tmp_path / STATE_NAME, TINY, changes=changes)
    assert changed.config == replace(TINY_RUN, camera_rate=0.0, weight_camera=3.0)
    train(changed, 2)
    decoder = dict(state.network.cam_dec.named_parameters())
    for name, value in changed.network.cam_dec.named_parameters():
        assert torch.equal(value, decoder[name])
    head = 'head.projects.0.weight'
    assert not torch.equal(changed.network.get_parameter(head), state.network.get_parameter(head))


def test_the_best_score_is_forgotten_where_the_scenes_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = TrainState(TINY, TINY_RUN)
    state.progress = Progress(step=3, best_score=0.25)
    state.save(tmp_path / STATE_NAME)
    assert TrainState.load(tmp_path / STATE_NAME, TINY).progress.best_score == 0.25
    monkeypatch.setattr('tools.train_nano.state.FAMILY_VERSION', FAMILY_VERSION + 1)
    elsewhere = TrainState.load(tmp_path / STATE_NAME, TINY).progress
    assert (elsewhere.step, elsewhere.best_score) == (3, float('inf'))


@pytest.mark.slow
def test_one_batch_can_be_learned_by_heart() -> None:
    config = replace(TINY_RUN, learning_rate=3e-3, decoded_fraction=1.0, views_total=10**6)
    state = TrainState(TINY, config)
    batch = make_batch(Split.TRAIN, [4, 5], 2, TINY_SIZE)
    first, _ = train_step(state, batch)
    last = first
    for _ in range(180):
        last, _ = train_step(state, batch)
    assert last['camera'] < first['camera'] / 3
    # Confidence makes the best depth term negative: the error itself is bounded by it.
    assert last['depth'] < first['depth'] / 3
    assert last['gradient'] < first['gradient']


def test_every_part_learns_except_ray_levels_that_reach_no_output() -> None:
    state = TrainState(TINY, TINY_RUN)
    before = {name: value.clone() for name, value in state.network.named_parameters()}
    train(state, TINY_RUN.condition_every * 2)
    unused = ('output_conv1_aux.', 'output_conv2_aux.')
    still = [
        name
        for name, value in state.network.named_parameters()
        if torch.equal(value, before[name]) and not any(part in name for part in unused)
    ]
    assert still == []


def test_the_first_step_of_the_mean_forgets_the_initial_weights() -> None:
    state = TrainState(TINY, TINY_RUN)
    start = initial_network(TINY, TINY_RUN.seed)
    train(state, 1)
    name = 'cam_dec.backbone.0.weight'
    now = state.network.get_parameter(name)
    with torch.no_grad():
        moved = (state.mean.get_parameter(name) - start.get_parameter(name)).norm()
        share = moved / (now - start.get_parameter(name)).norm()
    assert 0.5 < float(share) < 1.0


def test_the_rate_rises_then_falls_to_its_end_with_the_views_seen() -> None:
    config = TrainConfig(views_total=32_000, views_per_step=32, warmup_steps=100)
    rates = [learning_rate(config, Progress(step=step, views=32 * step)) for step in range(1200)]
    assert rates[0] == pytest.approx(config.learning_rate / 100, rel=1e-4)
    assert rates[:95] == sorted(rates[:95])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    # Nearly all of it is reached, as few of the views were seen in the warm-up.
    assert 0.97 * config.learning_rate < max(rates) < config.learning_rate
    assert rates[1000] == rates[-1] == pytest.approx(0.03 * config.learning_rate)
    # A run that goes on with larger steps is as far as its views.
    later = learning_rate(replace(config, views_per_step=64), Progress(step=600, views=16_000))
    assert later == pytest.approx(rates[500])


def test_processes_share_the_scenes_of_a_step() -> None:
    config = replace(TINY_RUN, views_per_step=8)
    for step in range(3):
        whole = step_batch(config, step, TINY_SIZE)
        shares = [step_batch(config, step, TINY_SIZE, Team(rank, 2)) for rank in range(2)]
        assert len(shares[0].images) == len(shares[1].images) == len(whole.images) / 2
        for rank, share in enumerate(shares):
            assert_equal_pictures(share.images, whole.images[rank::2])


@pytest.mark.slow
def test_two_processes_stay_one_run(tmp_path: Path) -> None:
    """Each sees half of the scenes, yet both have learned the same, from both halves."""
    _in_two_processes(train_in_team, tmp_path)
    first, second = (TrainState.load(tmp_path / f'{rank}.safetensors', TINY) for rank in range(2))
    assert_equal(first.network, second.network)
    assert_equal(first.mean, second.mean)
    views = SHARED_STEPS * SHARED_RUN.views_per_step
    assert first.progress.step == second.progress.step == SHARED_STEPS
    assert first.progress.views == second.progress.views == views
    half = TrainState(TINY, SHARED_RUN)
    for step in range(SHARED_STEPS):
        train_step(half, step_batch(SHARED_RUN, step, TINY_SIZE, Team(0, 2)))
    name = 'head.projects.0.weight'
    assert not torch.equal(half.network.get_parameter(name), first.network.get_parameter(name))


@pytest.mark.slow
def test_processes_agree_on_means_and_on_stopping(tmp_path: Path) -> None:
    _in_two_processes(agree_in_team, tmp_path)


def _in_two_processes(work: Callable[[int, int, Path], None], folder: Path) -> None:
    context = multiprocessing.get_context('spawn')
    workers = [context.Process(target=work, args=(rank, 2, folder)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0


def test_all_views_are_decoded_in_turns() -> None:
    config = TrainConfig(decoded_fraction=0.5, view_counts=(4,))
    seen = [decoded_views(config, step, 4) for step in range(4)]
    assert all(len(views) == 2 for views in seen)
    assert {view for views in seen for view in views} == {0, 1, 2, 3}
    assert decoded_views(config, 7, 1) == [0]
    assert decoded_views(replace(config, decoded_fraction=1.0), 5, 4) == [0, 1, 2, 3]


def test_batches_made_ahead_are_those_made_in_place() -> None:
    ahead = list(islice(batches(TINY_RUN, 3, TINY_SIZE, ahead=2), 3))
    for step, batch in enumerate(ahead, start=3):
        in_place = step_batch(TINY_RUN, step, TINY_SIZE)
        assert_equal_pictures(batch.images, in_place.images)
        assert_equal_to_rounding(batch.world_from_camera, in_place.world_from_camera)


def test_no_step_repeats_a_scene() -> None:
    scenes = [
        step_batch(TINY_RUN, step, TINY_SIZE).world_from_camera[index].tobytes()
        for step in range(12)
        for index in range(TINY_RUN.views_per_step // TINY_RUN.view_counts[step % 3])
    ]
    assert len(set(scenes)) == len(scenes)


def test_exported_weights_load_as_the_network_they_are(tmp_path: Path) -> None:
    network = initial_network(NANO, 3)
    export(network, tmp_path)
    loaded = load_network(tmp_path)
    assert isinstance(loaded, AnyViewNetwork)
    assert loaded.config == NANO
    assert (tmp_path / 'model.safetensors').stat().st_size < 8_000_000
    others = dict(loaded.named_parameters())
    for name, value in network.named_parameters():
        torch.testing.assert_close(others[name], value.detach(), rtol=1e-3, atol=1e-4)


def test_bundled_weights_are_the_best_of_a_run_under_the_presets_name(tmp_path: Path) -> None:
    run, out = tmp_path / 'run', tmp_path / 'out'
    export(initial_network(NANO, 3), run / 'best')
    # As a run of before the preset wrote it: the configuration spelt out.
    spelt = {'kind': 'any_view', **asdict(replace(NANO, process_res=504))}
    content = {'model_name': 'da3-nano', 'network': spelt}
    (run / 'best/config.json').write_text(json.dumps(content))
    copy_weights(run / 'best', out)
    assert (out / 'config.json').read_text().strip() == '{"model_name": "da3-nano"}'
    ours, theirs = (folder / 'model.safetensors' for folder in (out, run / 'best'))
    assert ours.read_bytes() == theirs.read_bytes()
    assert ours.stat().st_mode & 0o777 == 0o644
    assert load_network(out).config == NANO
    log = [{'best': True, 'views': 1000, 'seconds': 60}, {'best': True, 'views': 2500}]
    log[1] |= {'seconds': 240}
    log.append({'best': False, 'views': 9000, 'seconds': 600})
    (run / 'log.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in log))
    assert best_of_run(run) == {'views': '2,500', 'seconds_text': '4 minutes'}


def test_a_stopped_run_stores_what_it_has(tmp_path: Path) -> None:
    sets = {views: evaluation_set(Split.VALIDATION, views, 1, TINY_SIZE) for views in (1, 2, 4)}
    trainer = Trainer(TrainState(TINY, TINY_RUN), tmp_path, sets)

    def stopping_after(steps: int) -> Iterator[FamilyBatch]:
        for step in range(TINY_RUN.views_total):
            if step == steps - 1:
                trainer.stop()
            yield step_batch(TINY_RUN, step, TINY_SIZE)

    trainer.run(stopping_after(3), seconds=3600.0)
    stored = TrainState.load(tmp_path / STATE_NAME, TINY)
    assert stored.progress.step == 3
    assert_equal(stored.network, trainer.state.network)


def test_views_computed_together_give_the_same_to_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, 'SMALL_VIEW', 128)
    network = initial_network(TINY, 0).eval()
    images = torch.randn(2, 2, 3, 28, 42, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        apart = network(images, options=ForwardOptions(ref_view_strategy='first'))
        compute_views_together()
        together = network(images, options=ForwardOptions(ref_view_strategy='first'))
    torch.testing.assert_close(together.depth, apart.depth, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.extrinsics, apart.extrinsics, rtol=1e-4, atol=1e-5)


def test_a_run_leaves_log_curve_state_and_best_weights(tmp_path: Path) -> None:
    config = replace(TINY_RUN, views_total=24)
    sets = {views: evaluation_set(Split.VALIDATION, views, 2, TINY_SIZE) for views in (1, 2, 4)}
    trainer = Trainer(TrainState(TINY, config), tmp_path, sets)
    trainer.run(batches(config, 0, TINY_SIZE, ahead=0), seconds=60.0, measure_every_s=0.0)
    lines = [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]
    assert [line['views'] for line in lines][:3] == [4, 8, 12]
    assert lines[-1]['views'] == 24
    assert lines[0]['best']
    assert lines[0]['family'] == FAMILY_VERSION
    assert {'absrel_v4', 'rotation_deg_v4', 'absrel_constant_v4'} <= set(lines[0]['figures'])
    assert load_network(tmp_path / 'best').config == TINY
    assert (tmp_path / 'curve.png').read_bytes().startswith(b'\x89PNG')
    resumed = TrainState.load(tmp_path / STATE_NAME, TINY)
    assert resumed.progress.views == 24


def test_the_curve_marks_where_the_scenes_changed(tmp_path: Path) -> None:
    figures = {name: 0.5 for _, names in PANELS for name in names}
    log = [{'views': 100 * n, 'figures': figures, 'family': 1 + (n > 3)} for n in range(1, 7)]
    old = [{'views': line['views'], 'figures': figures} for line in log]
    draw_curve(log, tmp_path / 'both.png')
    draw_curve(old, tmp_path / 'one.png')
    both, one = (cv2.imread(str(tmp_path / name)) for name in ('both.png', 'one.png'))
    assert both is not None
    assert one is not None
    columns = np.flatnonzero((both != one).any(axis=(0, 2)))
    # In the middle of the two panels of a row, give or take the width of what is written there.
    width = both.shape[1] // 2
    assert all(abs(column % width - width * 0.63) < 45 for column in columns)
    assert {column // width for column in columns} == {0, 1}
