"""How right metres by parallax are on real pictures with measured depth.

Usage: python benchmarks/bench_real_parallax.py [FOLDER]

FOLDER holds sets as `test/helpers/real_sets.py` describes them; by default those that are
committed, those beside the checkout, and a stereo pair that is downloaded (26 MB).
"""

from __future__ import annotations

from pathlib import Path
import sys

import cv2

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test')]

from helpers.middlebury import MissingSetError  # noqa: E402 - after the path of the source tree
from helpers.real_parallax import PLANS, SHAPES, Plan, Row, measure, table  # noqa: E402
from helpers.real_sets import RealSet, find_set, load_set, shared_set  # noqa: E402


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    rows: list[Row] = []
    for plan in PLANS:
        try:
            pictures = _pictures(plan, folder)
        except MissingSetError as error:
            print(f'left out: {plan.name}: {error}', file=sys.stderr)
            continue
        rows += measure(plan, pictures)
    print(table(sorted(rows, key=lambda row: SHAPES.index(row.shape))))


def _pictures(plan: Plan, folder: Path | None) -> RealSet:
    if folder is not None:
        return load_set(folder / plan.set_name)
    try:
        return shared_set(plan.set_name)  # more pictures than are committed
    except MissingSetError:
        return find_set(plan.set_name, is_fetched=True)


if __name__ == '__main__':
    main()
