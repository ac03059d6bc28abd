"""Accuracy of da3-nano on scenes that it never saw, beside estimates that look at no image.

Prints two Markdown tables: single scenes (held-out scenes of the trained kinds, `test`, and of a
kind that no training showed, `unseen`), and a minute's drive of the synthetic robot through the
pipeline that the node runs, with and without wheel odometry. Everything is deterministic.

Usage: python benchmarks/bench_accuracy.py [--weights da3-nano] [--scenes 96] [--seconds 60]
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from da3_ros.geometry.camera import ImageSize  # noqa: E402 - after the path of the source tree
from da3_ros.inference.api import DepthAnything3  # noqa: E402
from da3_ros.inference.engine import Da3Estimator  # noqa: E402
from da3_ros.model.network import AnyViewNetwork  # noqa: E402
from da3_ros.synthetic.family_scene import Split  # noqa: E402
from da3_ros.synthetic.family_world import make_family_world  # noqa: E402
from tools.train_nano.accuracy import SCENES, accuracy, markdown  # noqa: E402
from tools.train_nano.drive import DriveFigures, drive  # noqa: E402
from tools.train_nano.trainer import compute_views_together  # noqa: E402

DRIVE_SIZE = ImageSize(280, 392)
"""Of the images of the drive: four times those that the network sees."""


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--weights', default='da3-nano', help='preset or folder of a checkpoint')
    parser.add_argument('--scenes', type=int, help='per row; default: enough for a publication')
    parser.add_argument('--seconds', type=float, default=60.0, help='length of the drive')
    parser.add_argument('--world', type=int, default=0, help='number of the room of the drive')
    parser.add_argument('--threads', type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    compute_views_together()
    model = DepthAnything3.from_pretrained(options.weights)
    network = model.model
    if not isinstance(network, AnyViewNetwork):
        parser.error(f'{options.weights}: expected an any-view network')
    scenes = SCENES if options.scenes is None else dict.fromkeys(SCENES, options.scenes)
    print(markdown(accuracy(network, (Split.TEST, Split.UNSEEN), scenes)), flush=True)
    print()
    print(drive_table(model, options.seconds, options.world))


def drive_table(model: DepthAnything3, seconds: float, number: int) -> str:
    """Return the figures of a drive as a Markdown table, windows as the demo takes them."""
    world = make_family_world(number, DRIVE_SIZE)
    lines = [
        f'| {seconds:g} s drive, room {number} | AbsRel as published | AbsRel, one scale | delta1 '
        '| ATE, m | rotation, deg | ATE of standing still, m |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, has_odometry in (('images only', False), ('with wheel odometry', True)):
        estimator = Da3Estimator(model, process_res=98, conditioning=has_odometry)
        figures = drive(world, estimator, seconds=seconds, has_odometry=has_odometry)
        lines.append(_line(name, figures))
    lines.append(f'\nThe way is {figures.way_m:.1f} m long; {figures.sets} sets of three images.')
    return '\n'.join(lines)


def _line(name: str, f: DriveFigures) -> str:
    published = f'{f.absrel:.3f}' if f.is_metric else 'not metric'
    cells = (
        name,
        published,
        f'{f.absrel_scaled:.3f}',
        f'{f.delta1_scaled:.3f}',
        f'{f.ate_m:.2f}',
        f'{f.rotation_deg:.1f}',
        f'{f.ate_still_m:.2f}',
    )
    return f'| {" | ".join(cells)} |'


if __name__ == '__main__':
    main()
