"""A network and a run small enough to train in a test."""

from dataclasses import replace
from pathlib import Path

import torch

from da3_ros.geometry.camera import ImageSize
from da3_ros.model.config import AnyViewConfig, BackboneConfig, CameraHeadConfig, PyramidConfig
from tools.train_nano.batches import step_batch
from tools.train_nano.config import TrainConfig
from tools.train_nano.parallel import Team
from tools.train_nano.state import TrainState
from tools.train_nano.trainer import train_step

TINY = AnyViewConfig(
    'tiny',
    BackboneConfig(32, 5, 2, 'mlp', (1, 2, 3, 4), 1),
    PyramidConfig(8, (8, 8, 16, 16)),
    CameraHeadConfig(trunk_depth=1, num_heads=2),
)
TINY_SIZE = ImageSize(28, 42)
TINY_RUN = TrainConfig(
    views_per_step=4,
    views_total=400,
    warmup_steps=5,
    view_counts=(4, 2, 1),
    precision='float32',
)
SHARED_RUN = replace(TINY_RUN, views_per_step=8, view_counts=(4, 2))
SHARED_STEPS = 2


def train_in_team(rank: int, size: int, folder: Path) -> None:
    """Take some steps together with other processes and store where that led."""
    torch.set_num_threads(1)
    team = Team.join(rank, size, folder / 'meeting')
    state = TrainState(TINY, SHARED_RUN)
    for step in range(SHARED_STEPS):
        batch = step_batch(SHARED_RUN, step, TINY_SIZE, team)
        _, is_over = train_step(state, batch, team)
        assert not is_over
    state.save(folder / f'{rank}.safetensors')
    team.leave()


def agree_in_team(rank: int, size: int, folder: Path) -> None:
    """Replace tensors that differ by process by their means; the last one wants to stop."""
    team = Team.join(rank, size, folder / 'meeting')
    assert team.leads == (rank == 0)
    tensors = [torch.full((2, 3), float(rank)), torch.arange(4.0) * (rank + 1)]
    assert not team.agree(tensors, stop=False)
    mean = (size - 1) / 2
    assert torch.equal(tensors[0], torch.full((2, 3), mean))
    assert torch.equal(tensors[1], torch.arange(4.0) * (mean + 1))
    assert team.agree(tensors, stop=rank == size - 1)
    team.leave()
