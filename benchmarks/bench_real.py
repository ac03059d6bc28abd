"""Accuracy of da3-nano on real pictures, beside estimates that look at no picture.

Prints a Markdown table. `tools/train_nano/real.py` says what a set is and what is compared. A
folder without a `cameras.json` stands for the sets in it.

Usage: python benchmarks/bench_real.py FOLDER [FOLDER ...] [--views 1 2 4 8] [--windows 16]
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
import sys

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from da3_ros.errors import SourceError  # noqa: E402 - after the path of the source tree
from da3_ros.inference.api import DepthAnything3  # noqa: E402
from tools.train_nano.real import VIEWS, WINDOWS, markdown, measure_set, sets_in  # noqa: E402


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folders', type=Path, nargs='+', help='sets, or folders of sets')
    parser.add_argument('--weights', default='da3-nano', help='preset or folder of a checkpoint')
    parser.add_argument('--views', type=int, nargs='+', default=VIEWS, help='per window')
    parser.add_argument('--windows', type=int, default=WINDOWS, help='per row, at most')
    parser.add_argument('--threads', type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # What the table shows need not be said once more.
    logging.getLogger('da3_ros').setLevel(logging.ERROR)
    model = DepthAnything3.from_pretrained(options.weights)
    try:
        folders = sets_in(options.folders)
        rows = [measure_set(model, folder, options.views, options.windows) for folder in folders]
    except SourceError as error:
        parser.error(str(error))
    print(markdown([row for part in rows for row in part]))


if __name__ == '__main__':
    main()
