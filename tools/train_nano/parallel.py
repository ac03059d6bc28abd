"""Training by several processes that share every step's scenes.

Each takes its share of the scenes and all take the same step with the mean of their gradients.
Small networks gain more from this on a CPU than from threads inside an operator.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed

WAIT = timedelta(minutes=30)
"""For the others, who may be measuring."""


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a run, and which of them this is."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def join(rank: int, size: int, meeting: Path) -> 'Team':
        """Wait until all processes of a run have met.

        Args:
            rank: number of this process, from 0 on.
            size: how many there are.
            meeting: a file that does not exist yet, the same for all.
        """
        if size > 1:
            distributed.init_process_group(
                'gloo', init_method=f'file://{meeting}', rank=rank, world_size=size, timeout=WAIT
            )
        return Team(rank, size)

    def leave(self) -> None:
        """Say that no step follows."""
        if self.size > 1:
            distributed.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this process measures and stores."""
        return self.rank == 0

    def agree(self, gradients: Iterable[Tensor], stop: bool) -> bool:
        """Replace gradients by their means over the processes.

        Args:
            gradients: the same tensors in the same order everywhere.
            stop: whether this process wants the run to end.

        Returns:
            Whether any process wants it to end.
        """
        if self.size == 1:
            return stop
        tensors = list(gradients)
        flags = tensors[0].new_tensor([float(stop)])
        joined = torch.cat([*(tensor.flatten() for tensor in tensors), flags])
        distributed.all_reduce(joined)
        joined /= self.size
        parts = torch.split(joined, [*(tensor.numel() for tensor in tensors), 1])
        for tensor, part in zip(tensors, parts, strict=False):
            tensor.copy_(part.view_as(tensor))
        return bool(parts[-1] > 0)


ALONE = Team()
"""One process that does everything."""
