"""Command line: train da3-nano, or go on with it."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
import multiprocessing
from multiprocessing.process import BaseProcess
import os
from pathlib import Path
import signal
import tempfile
from typing import Any

import torch

from tools.train_nano.config import TrainConfig
from tools.train_nano.trainer import STATE_NAME
from tools.train_nano.work import work


def main() -> None:
    """Parse the command line and train."""
    parser = _parser()
    options = parser.parse_args()
    has_run = (options.out / STATE_NAME).exists()
    if has_run and not options.resume:
        parser.error(
            f'{options.out / STATE_NAME} exists: say --resume to go on with it, or choose '
            'another folder'
        )
    if options.processes == 1:
        work(0, options, Path())
        return
    with tempfile.TemporaryDirectory() as scratch:
        context = multiprocessing.get_context('spawn')
        workers = [
            context.Process(target=work, args=(rank, options, Path(scratch) / 'meeting'))
            for rank in range(options.processes)
        ]
        for worker in workers:
            worker.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda sent, _: _tell(workers, sent))
        for worker in workers:
            worker.join()
    if any(worker.exitcode for worker in workers):
        parser.exit(1, 'a process of the run failed, see above\n')


def _tell(workers: Sequence[BaseProcess], number: int) -> None:
    for process in workers:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, number)


def _parser() -> argparse.ArgumentParser:
    """Return the parser: options of this call, then fields of `TrainConfig` under their names."""
    parser = argparse.ArgumentParser(prog='python -m tools.train_nano', description=__doc__)
    parser.add_argument('--minutes', type=float, required=True, help='wall time to spend')
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--resume', action='store_true', help='go on with the run in the folder')
    parser.add_argument('--processes', type=int, default=1, help='that share every step')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads of each process')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--measure-every', type=float, default=180.0, help='seconds')
    run = parser.add_argument_group('the run', 'what is not given is kept, or has its default')
    run.add_argument('--depth-space', choices=('log', 'linear'))
    run.add_argument('--precision', choices=('float32', 'bfloat16'))
    counts = ' '.join(map(str, TrainConfig().view_counts))
    run.add_argument('--view-counts', type=int, nargs='+', help=f'default {counts}')
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
