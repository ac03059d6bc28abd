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

LONE_MAP_LIMIT = 20480
"""Up to this many elements torch counts a single map as small (ATen, `use_mkldnn`)."""


class Conv(nn.Conv2d):
    """Convolution that gives a lone map the same bits as one among several."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve maps (N, C, h, w)."""
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
        out = functional.linear(input.movedim(1, -1), self.weight.flatten(1), self.bias)
        return out.movedim(-1, 1)
