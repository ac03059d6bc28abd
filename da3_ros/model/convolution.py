"""Convolutions of the dense heads whose result for a view depends on that view alone.

Torch picks another kernel, which rounds differently, for a lone small map than for several, and
with one thread for up to fifteen maps under a pointwise convolution than for more. The two
classes here keep clear of both, so that on a CPU heads give the same bits whatever the number of
views at once. They are faster, too: the kernel for lone small maps is a slow one, and a pointwise
convolution as a linear layer leaves the channels last, which all that follows runs best with.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model import onednn

LONE_MAP_LIMIT = 20480
"""Up to this many elements torch counts a single map as small (ATen, `use_mkldnn`)."""


class Conv(nn.Conv2d):
    """Convolution that gives a lone map the same bits as one among several."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve maps (N, C, h, w)."""
        return self._convolve(input)

    def relu(self, input: Tensor) -> Tensor:
        """Convolve maps and set what is negative to zero."""
        if self._fuses(input):
            return onednn.convolution(input, self, 'relu')
        return functional.relu(self._convolve(input))

    def add(self, base: Tensor, input: Tensor) -> Tensor:
        """Convolve maps and add them to base, of the shape of the result."""
        if self._fuses(input) and base.is_contiguous(memory_format=torch.channels_last):
            return onednn.convolution(input, self, added=base)
        return self._convolve(input) + base

    def _fuses(self, input: Tensor) -> bool:
        return onednn.fuses(input, self.weight) and input.is_contiguous(
            memory_format=torch.channels_last
        )

    def _convolve(self, input: Tensor) -> Tensor:
        if self._fuses(input):
            return onednn.convolution(input, self)
        if len(input) == 1 and input.numel() <= LONE_MAP_LIMIT and input.device.type == 'cpu':
            # Not expanded: a stride of zero would hide that the channels are last.
            return super().forward(torch.cat((input, input)))[:1]
        return super().forward(input)


class Pointwise(nn.Conv2d):
    """1 x 1 convolution, computed as a linear layer on the channels of every position."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        """Create weight (dim_out, dim_in, 1, 1) and bias."""
        super().__init__(dim_in, dim_out, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, dim_in, h, w) to (N, dim_out, h, w), channels last in memory."""
        x, weight = input.movedim(1, -1), self.weight.flatten(1)
        if onednn.fuses_rows(x, weight):
            return onednn.linear(x, weight, self.bias).movedim(-1, 1)
        return functional.linear(x, weight, self.bias).movedim(-1, 1)
