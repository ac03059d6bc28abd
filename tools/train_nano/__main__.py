"""Command line: train da3-nano, or go on with it."""

import argparse
from contextlib import closing
from dataclasses import fields
import logging
from pathlib import Path
import signal
from typing import Any

import torch

from da3_ros.model.presets import NANO
from da3_ros.synthetic.family import Split
from tools.train_nano.batches import batches
from tools.train_nano.config import TrainConfig
from tools.train_nano.metrics import SCENES, evaluation_set
from tools.train_nano.state import TrainState
from tools.train_nano.trainer import STATE_NAME, Trainer, compute_views_together


def main() -> None:
    """Parse the command line and train."""
    parser = _parser()
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    torch.set_num_threads(options.threads)
    compute_views_together()
    path = options.out / STATE_NAME
    chosen = {
        field.name: getattr(options, field.name)
        for field in fields(TrainConfig)
        if getattr(options, field.name, None) is not None
    }
    if options.resume:
        state = TrainState.load(path, NANO, options.device, chosen)
    elif path.exists():
        parser.error(f'{path} exists: say --resume to go on with it, or choose another folder')
    else:
        state = TrainState(NANO, TrainConfig(**chosen), options.device)
    sets = {
        views: evaluation_set(Split.VALIDATION, views, scenes) for views, scenes in SCENES.items()
    }
    trainer = Trainer(state, options.out, sets)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: trainer.stop())
    with closing(batches(state.config, state.progress.step)) as data:
        trainer.run(data, 60 * options.minutes, options.measure_every)


def _parser() -> argparse.ArgumentParser:
    """Return the parser: options of this call, then fields of `TrainConfig` under their names."""
    parser = argparse.ArgumentParser(prog='python -m tools.train_nano', description=__doc__)
    parser.add_argument('--minutes', type=float, required=True, help='wall time to spend')
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--resume', action='store_true', help='go on with the run in the folder')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads of the network')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--measure-every', type=float, default=180.0, help='seconds')
    run = parser.add_argument_group('the run', 'what is not given is kept, or has its default')
    run.add_argument('--depth-space', choices=('log', 'linear'))
    run.add_argument('--precision', choices=('float32', 'bfloat16'))
    numbers: dict[str, Any] = {
        field.name: field.type for field in fields(TrainConfig) if field.type in (int, float)
    }
    for name, kind in numbers.items():
        default = getattr(TrainConfig(), name)
        flag = '--' + name.replace('_', '-')
        run.add_argument(flag, type=kind, help=f'default {default:g}')
    return parser


if __name__ == '__main__':
    main()
