"""Command line: measure exported weights on held-out scenes.

`python -m tools.train_nano.evaluate --weights DIR --split test` prints a table; the baselines
stand beside the network, measured on the same scenes in the same run.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
import torch

from da3_ros.inference.checkpoint import load_network
from da3_ros.model.network import AnyViewNetwork
from da3_ros.synthetic.family_scene import Split
from tools.train_nano.config import FIRST, NANO_SIZE
from tools.train_nano.metrics import SCENES, EvaluationSet, evaluation_set, measure
from tools.train_nano.scenes import make_batch
from tools.train_nano.targets import make_targets

SPLITS = {'test': Split.TEST, 'unseen': Split.UNSEEN, 'validation': Split.VALIDATION}
PICTURE_SCENES = 8
PICTURE_VIEWS = 2
NEAREST, FARTHEST = 0.3, 4.0
"""Range of the inverse depth that is drawn, in scene units."""


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.train_nano.evaluate', description=__doc__
    )
    parser.add_argument('--weights', type=Path, required=True, help='folder of a checkpoint')
    parser.add_argument('--split', choices=tuple(SPLITS), default='test')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--picture', type=Path, help='draw some scenes to this file')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = load_network(options.weights).any_view
    if network is None:
        parser.error(f'{options.weights}: expected an any-view network')
    split = SPLITS[options.split]
    sets = {views: evaluation_set(split, views, scenes) for views, scenes in SCENES.items()}
    print(table(network, sets))
    if options.picture is not None:
        draw_scenes(network, split, options.picture)


def table(network: AnyViewNetwork, sets: dict[int, EvaluationSet]) -> str:
    """Return the figures as a Markdown table, one row per figure, one column per view count."""
    figures = {views: measure(network, data) for views, data in sets.items()}
    names = list(dict.fromkeys(name for column in figures.values() for name in column))
    lines = [
        '| figure | ' + ' | '.join(f'{views} views' for views in sets) + ' |',
        '|---|' + '---|' * len(sets),
    ]
    for name in names:
        cells = (f'{figures[v][name]:.3f}' if name in figures[v] else '' for v in sets)
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


@torch.no_grad()
def draw_scenes(network: AnyViewNetwork, split: Split, path: Path) -> None:
    """Draw images, true and predicted inverse depth side by side."""
    batch = make_batch(split, range(PICTURE_SCENES), PICTURE_VIEWS, NANO_SIZE)
    targets = make_targets(batch)
    depth = network(targets.images, options=FIRST).depth
    rows = []
    for scene in range(PICTURE_SCENES):
        known = targets.known[scene]
        ratio = targets.depth[scene][known] / depth[scene][known]
        pictures = [*batch.images[scene, :, :, :, ::-1]]
        pictures += [_colours(truth) for truth in targets.depth[scene].numpy()]
        pictures += [_colours(guess) for guess in (depth[scene] * ratio.median()).numpy()]
        rows.append(np.concatenate(pictures, axis=1))
    large = cv2.resize(np.concatenate(rows), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    if not cv2.imwrite(str(path), large):
        raise OSError(f'{path}: cannot write the picture')


def _colours(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    inverse = (1 / np.clip(depth, NEAREST, FARTHEST) - 1 / FARTHEST) / (1 / NEAREST - 1 / FARTHEST)
    levels = np.asarray(255 * inverse, np.uint8)
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), np.uint8)


if __name__ == '__main__':
    main()
