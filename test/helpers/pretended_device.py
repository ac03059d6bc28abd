"""A CPU that stands in for a CUDA device where graphs and copies ask for one.

What is recorded is called again at each replay and written where the first call wrote, as a CUDA
graph does; a test may let it fail, or answer wrongly.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from da3_ros.inference.cuda.device import Mark
from da3_ros.inference.cuda.nested import tensors_of

Result = TypeVar('Result')


class PretendedMark:
    """A point in the work of a device that does everything at once."""

    def __init__(self) -> None:
        self.is_done = True
        self.waits = 0

    def done(self) -> bool:
        return self.is_done

    def wait(self) -> None:
        self.waits += 1
        self.is_done = True


class PretendedDevice:
    """Records and replays on the CPU; a test decides what goes wrong."""

    def __init__(self) -> None:
        self.is_usual = True
        self.records = 0
        self.renewals = 0
        self.given_back = 0
        self.error: BaseException | None = None
        """Raised instead of recording."""
        self.replay_error: BaseException | None = None
        self.spoil: Callable[[Tensor], Tensor] | None = None
        """What a replay makes of each tensor."""
        self.host_sizes: list[int] = []
        self.marks: list[PretendedMark] = []

    def takes(self, tensor: Tensor) -> bool:
        return self.is_usual

    def record(self, run: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        if self.error is not None:
            raise self.error
        self.records += 1
        run()
        result = run()
        for place in tensors_of(result):
            # Only a replay fills it.
            place.zero_()

        def replay() -> None:
            if self.replay_error is not None:
                raise self.replay_error
            for place, tensor in zip(tensors_of(result), tensors_of(run()), strict=True):
                place.copy_(tensor if self.spoil is None else self.spoil(tensor))

        return replay, result

    def renew(self) -> None:
        self.renewals += 1

    def give_back(self) -> None:
        self.given_back += 1

    def host_memory(self, size: int) -> Tensor:
        self.host_sizes.append(size)
        return torch.empty(size, dtype=torch.uint8)

    def mark(self) -> Mark:
        self.marks.append(PretendedMark())
        return self.marks[-1]
