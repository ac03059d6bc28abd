"""Scenes of every step, made ahead by another process.

A step's scenes follow from its number alone: nothing about the data has to be stored to resume.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
import multiprocessing

from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic.family_scene import Split
from tools.train_nano.config import NANO_SIZE, TrainConfig
from tools.train_nano.parallel import ALONE, Team
from tools.train_nano.scenes import FamilyBatch, make_batch

PREFETCH = 4


def step_batch(
    config: TrainConfig, step: int, size: ImageSize = NANO_SIZE, team: Team = ALONE
) -> FamilyBatch:
    """Return the scenes of a step, or those of them that a process of a team learns from."""
    views = config.view_counts[step % len(config.view_counts)]
    scenes = config.views_per_step // views
    # No number is used twice, whatever the order of view counts.
    first = step * config.views_per_step
    numbers = range(first, first + scenes)
    return make_batch(Split.TRAIN, numbers[team.rank :: team.size], views, size)


def batches(
    config: TrainConfig,
    first_step: int,
    size: ImageSize = NANO_SIZE,
    *,
    team: Team = ALONE,
    ahead: int = PREFETCH,
) -> Generator[FamilyBatch, None, None]:
    """Yield the batches of all steps from one on, without end.

    Args:
        config: what the batches are made of.
        first_step: number of the first one.
        size: of the images.
        team: of which this process makes its share.
        ahead: batches made ahead in a process of its own; 0 for none and no process.
    """
    if ahead == 0:
        step = first_step
        while True:
            yield step_batch(config, step, size, team)
            step += 1
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
        waiting: deque[Future[FamilyBatch]] = deque()
        step = first_step
        try:
            while True:
                while len(waiting) < ahead:
                    waiting.append(pool.submit(step_batch, config, step, size, team))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
