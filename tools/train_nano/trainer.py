"""The training loop."""

from collections.abc import Iterator
import copy
import json
import logging
import math
from pathlib import Path
import time

import torch
from torch import Tensor

from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.model import chunks
from da3_ros.model.network import AnyViewNetwork
from da3_ros.synthetic.family_scene import FAMILY_VERSION
from tools.train_nano.config import TrainConfig
from tools.train_nano.curve import draw_curve, read_log
from tools.train_nano.losses import Losses, all_losses, idle_loss
from tools.train_nano.matching import match_loss, matches, recorded_attention
from tools.train_nano.metrics import EvaluationSet, measure_all, score
from tools.train_nano.parallel import ALONE, Team
from tools.train_nano.scenes import FamilyBatch
from tools.train_nano.state import RATE_FACTOR, Progress, TrainState
from tools.train_nano.targets import Targets, make_targets

STATE_NAME = 'state.safetensors'
LOG_NAME = 'log.jsonl'
CURVE_NAME = 'curve.png'
BEST_NAME = 'best'
ALL_VIEWS = 10**6

_logger = logging.getLogger(__name__)


def compute_views_together() -> None:
    """Let small views share matrix products on a CPU, in this process.

    The network computes them one by one there, so that results do not depend on how many there
    are. Training does not need that, and would be three times slower.
    """
    chunks.SMALL_VIEW = 0


def learning_rate(config: TrainConfig, progress: Progress) -> float:
    """Return the rate of the next step: linear warm-up, then half a cosine down to its end."""
    rising = min((progress.step + 1) / max(config.warmup_steps, 1), 1.0)
    falling = 0.5 + 0.5 * math.cos(math.pi * min(progress.views / config.views_total, 1.0))
    share = config.final_fraction + (1 - config.final_fraction) * falling
    return config.learning_rate * rising * share


def train_step(
    state: TrainState, batch: FamilyBatch, team: Team = ALONE, *, stop: bool = False
) -> tuple[dict[str, float], bool]:
    """Take one step, together with the other processes of a team if there are any.

    Args:
        state: the same in all processes.
        batch: this process's share of the step's scenes.
        team: the processes.
        stop: whether this process wants the run to end.

    Returns:
        Losses of the share by name, and whether any process wants the run to end.
    """
    config = state.config
    device = next(state.network.parameters()).device
    targets = make_targets(batch, device)
    losses, idle, match = _forward(state, targets)
    total = losses.total(config) + config.weight_idle * idle + config.weight_match * match
    state.optimiser.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in state.parameters().values() if p.grad is not None]
    is_over = team.agree(gradients, stop)
    norm = torch.nn.utils.clip_grad_norm_(state.parameters().values(), config.gradient_limit)
    for group in state.optimiser.param_groups:
        group['lr'] = learning_rate(config, state.progress) * group[RATE_FACTOR]
    if bool(torch.isfinite(norm)):
        state.optimiser.step()
    else:
        _logger.warning('step %d: gradient is not finite, skipped', state.progress.step)
    state.progress.step += 1
    state.progress.views += config.views_per_step
    state.update_mean()
    terms = {
        'total': total,
        'depth': losses.depth,
        'gradient': losses.gradient,
        'camera': losses.camera,
        'direction': losses.direction,
        'spread': losses.spread,
        'match': match,
        'compass': losses.compass,
        'idle': idle,
        'ray': losses.ray,
        'point': losses.point,
    }
    named = {name: float(term.detach()) for name, term in terms.items() if term is not None}
    return named, is_over


def decoded_views(config: TrainConfig, step: int, views: int) -> list[int]:
    """Return the views whose dense maps are learned from in a step; all have their turn."""
    count = max(1, round(config.decoded_fraction * views))
    turn = step // len(config.view_counts)
    return sorted((turn + index) % views for index in range(count))


def _forward(state: TrainState, targets: Targets) -> tuple[Losses, Tensor, Tensor]:
    network, config, step = state.network, state.config, state.progress.step
    cameras: tuple[Tensor, Tensor] | tuple[None, None] = (None, None)
    if step % config.condition_every == config.condition_every - 1:
        cameras = (targets.told, targets.intrinsics)
    half = config.precision == 'bfloat16'
    with torch.autocast(targets.images.device.type, torch.bfloat16, enabled=half):
        encoded = network.encode(targets.images, chunk=ALL_VIEWS)
        with recorded_attention(network) as record:
            fused = network.fuse(encoded, *cameras, strategy='first')
        encoding = network.pose_encoding(fused)
        compass = state.compass(fused.levels[0].within_view[:, :, 0])
        views = decoded_views(config, step, targets.images.shape[1])
        with_rays = step % config.rays_every == 0
        dense = network.dense_maps(fused, views, with_rays=with_rays, chunk=ALL_VIEWS)
    losses = all_losses(
        dense.depth.float(),
        dense.confidence.float(),
        encoding.float(),
        compass.float(),
        dense.rays,
        targets.of_views(views),
        config,
    )
    match = match_loss(record, matches(targets))
    return losses, idle_loss(network.cam_dec, fused.cameras), match


class Trainer:
    """Trains, measures, logs and stores, until time is up.

    Args:
        state: run to go on with.
        folder: where log, curve, state and the best weights go.
        sets: scenes that are measured on, by views per scene.
        team: processes that train together; its first one measures, logs and stores.
    """

    def __init__(
        self,
        state: TrainState,
        folder: Path,
        sets: dict[int, EvaluationSet],
        team: Team = ALONE,
    ) -> None:
        self.state = state
        self._team = team
        self._folder = folder
        self._sets = sets
        self._stop = False
        folder.mkdir(parents=True, exist_ok=True)

    def stop(self) -> None:
        """Let `run` end after the step it is in; may be called from a signal handler."""
        self._stop = True

    def run(
        self, data: Iterator[FamilyBatch], seconds: float, measure_every_s: float = 120.0
    ) -> None:
        """Train for some time, or until all views were seen.

        Args:
            data: batches from the state's step on.
            seconds: wall time to spend.
            measure_every_s: wall time between measurements.
        """
        progress = self.state.progress
        start = last = time.monotonic()
        measured = start
        sums: dict[str, list[float]] = {}
        while progress.views < self.state.config.views_total:
            batch = next(data)
            late = self._stop or last - start >= seconds
            losses, is_over = train_step(self.state, batch, self._team, stop=late)
            for name, value in losses.items():
                sums.setdefault(name, []).append(value)
            now = time.monotonic()
            progress.seconds += now - last
            if not is_over and now - measured >= measure_every_s:
                self._record(sums)
                measured = now = time.monotonic()
            last = now
            if is_over:
                break
        self._record(sums)

    def _record(self, sums: dict[str, list[float]]) -> None:
        """Measure, log, and store the state and, when better than ever, the weights.

        Losses, one per step since the last time, are forgotten.
        """
        losses = {name: sum(values) / len(values) for name, values in sums.items()}
        sums.clear()
        if not self._team.leads:
            return
        progress = self.state.progress
        figures = measure_all(self.state.mean, self._sets)
        figures['score'] = round(score(figures), 5)
        improved = figures['score'] < progress.best_score
        if improved:
            progress.best_score = figures['score']
            export(self.state.mean, self._folder / BEST_NAME)
        line = {
            'step': progress.step,
            'views': progress.views,
            'seconds': round(progress.seconds, 1),
            'rate': learning_rate(self.state.config, progress),
            'best': improved,
            'family': FAMILY_VERSION,
            'losses': {name: round(value, 5) for name, value in losses.items()},
            'figures': figures,
        }
        with (self._folder / LOG_NAME).open('a', encoding='utf-8') as log:
            log.write(json.dumps(line) + '\n')
        self.state.save(self._folder / STATE_NAME)
        draw_curve(read_log(self._folder / LOG_NAME), self._folder / CURVE_NAME)
        _logger.info('%s', json.dumps(line))


def export(network: AnyViewNetwork, folder: Path) -> None:
    """Write weights in 16 bit in the hub's layout."""
    save_checkpoint(copy.deepcopy(network).half(), folder)
