"""What each process of a run does."""

import argparse
from contextlib import closing
from dataclasses import fields
import logging
from pathlib import Path
import signal

import torch

from da3_ros.model.presets import NANO
from da3_ros.synthetic.family_scene import Split
from tools.train_nano.batches import batches
from tools.train_nano.config import TrainConfig
from tools.train_nano.metrics import SCENES, evaluation_set
from tools.train_nano.parallel import Team
from tools.train_nano.state import TrainState
from tools.train_nano.trainer import STATE_NAME, Trainer, compute_views_together


def work(rank: int, options: argparse.Namespace, meeting: Path) -> None:
    """Train until time is up or a signal says so.

    Args:
        rank: which of the processes of the run this is.
        options: of the command line.
        meeting: file by which the processes find one another.
    """
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(options.threads)
    compute_views_together()
    chosen = {
        field.name: getattr(options, field.name)
        for field in fields(TrainConfig)
        if getattr(options, field.name, None) is not None
    }
    if 'view_counts' in chosen:
        chosen['view_counts'] = tuple(chosen['view_counts'])
    if options.resume:
        state = TrainState.load(options.out / STATE_NAME, NANO, options.device, chosen)
    else:
        state = TrainState(NANO, TrainConfig(**chosen), options.device)
    _check_shares(state.config, options.processes)
    sets = {
        views: evaluation_set(Split.VALIDATION, views, scenes)
        for views, scenes in SCENES.items()
        if rank == 0
    }
    team = Team.join(rank, options.processes, meeting)
    trainer = Trainer(state, options.out, sets, team)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: trainer.stop())
    with closing(batches(state.config, state.progress.step, team=team)) as data:
        trainer.run(data, 60 * options.minutes, options.measure_every)
    team.leave()


def _check_shares(config: TrainConfig, processes: int) -> None:
    for views in config.view_counts:
        scenes = config.views_per_step // views
        if scenes % processes:
            raise ValueError(
                f'expected --processes that share the {scenes} scenes of a step of {views} views '
                f'evenly, got {processes}; change it or --views-per-step'
            )
