"""Raw Gaussians of every pixel, from backbone features and the image itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from da3_ros.model.config import GaussianConfig
from da3_ros.model.convolution import Conv
from da3_ros.model.dpt import DptTrunk, upsample, with_image_positions
from da3_ros.model.heads import PixelTail

IMAGE_WIDTHS = (32, 64)
"""Channels of the first two convolutions on the image; the third has the head's width."""


@dataclass(frozen=True, slots=True, eq=False)
class RawGaussians:
    """What the head says about N views, before it is placed in the world."""

    values: Tensor
    """(N, H, W, D): offset in the image x y, scale x y z (logits), rotation xyzw (any length),
    colour of red, green and blue, offset of depth."""

    opacity: Tensor
    """(N, H, W) in [0, 1]."""


class GaussianHead(DptTrunk):
    """One Gaussian per pixel.

    Source: Lin et al., "Depth Anything 3" (2025), section 5 (feed-forward 3D Gaussians).
    """

    def __init__(self, dim_in: int, config: GaussianConfig) -> None:
        """Create the head."""
        super().__init__(dim_in, config.pyramid, ('',))
        features = config.pyramid.features
        half = features // 2
        self.scratch['output_conv1'] = Conv(features, half, 3, padding=1)
        self.scratch['output_conv2'] = PixelTail(half, config.raw_channels + 1)
        first, second = IMAGE_WIDTHS
        self.images_merger = nn.Sequential(
            Conv(3, first, 3, padding=1),
            nn.GELU(),
            Conv(first, second, 3, padding=1),
            nn.GELU(),
            Conv(second, half, 3, padding=1),
            nn.GELU(),
        )

    def forward(
        self,
        levels: Sequence[Tensor],
        images: Tensor,
        grid: tuple[int, int],
        image_size: tuple[int, int],
    ) -> RawGaussians:
        """Decode views.

        Args:
            levels: Four (N, h * w, dim_in) backbone features.
            images: (N, 3, H, W) the network's input.
            grid: (h, w) patches.
            image_size: (H, W) of the images.

        Returns:
            Raw Gaussians of N views.
        """
        maps = self.project(levels, grid, image_size)
        x = upsample(self.scratch['output_conv1'](self.fuse(maps)), image_size)
        x = x + self.images_merger(images)
        logits = self.scratch['output_conv2'](with_image_positions(x, image_size))
        return RawGaussians(logits[:, :-1].movedim(1, -1), logits[:, -1].sigmoid())
