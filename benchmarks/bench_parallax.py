"""What it costs to find metres by parallax, for windows of the synthetic robot.

Usage: python benchmarks/bench_parallax.py
"""

from __future__ import annotations

from pathlib import Path
import sys
import time

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from da3_ros.geometry.camera import ImageSize  # noqa: E402 - after the path of the source tree
from da3_ros.geometry.parallax import metres_by_parallax  # noqa: E402
from da3_ros.geometry.se3 import invert  # noqa: E402
from da3_ros.synthetic.family_world import make_family_world  # noqa: E402
from da3_ros.synthetic.trajectory import START_NS  # noqa: E402

SIZES = (ImageSize(70, 98), ImageSize(364, 504))
RUNS = 20
STEP_NS = 400_000_000


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    print('| image | views | ms per window, median |\n|---|---|---|')
    for size in SIZES:
        for sets in (1, 3):
            print(f'| {size.width} x {size.height} | {3 * sets} | {_median_ms(size, sets):.0f} |')


def _median_ms(size: ImageSize, sets: int) -> float:
    world = make_family_world(0, size)
    rig = world.rig.calibration.base_from_camera
    views = [(camera, START_NS + index * STEP_NS) for index in range(sets) for camera in rig]
    poses = np.stack([invert(world.world_from_base(stamp) @ rig[name]) for name, stamp in views])
    images = np.stack([world.frame(*view).image for view in views])
    depth = np.stack([world.depth(*view, size) for view in views])
    cameras = [world.rig.cameras[name] for name, _ in views]
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        found = metres_by_parallax(images, depth, cameras, poses, 0.1)
        times.append(time.perf_counter() - start)
    if found is None or abs(found.log_metres) > 0.05:
        raise SystemExit(f'expected one metre per unit, got {found}')
    return float(np.median(times) * 1e3)


if __name__ == '__main__':
    main()
