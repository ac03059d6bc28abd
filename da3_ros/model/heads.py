"""Dense heads for depth on the shared trunk."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from da3_ros.model.config import PyramidConfig
from da3_ros.model.convolution import Conv, Pointwise
from da3_ros.model.dpt import DptTrunk, upsample, with_image_positions

NORM_EPS = 1e-5
TAIL_WIDTH = 32
RAY_BRANCH = '_aux'
RAY_LEVELS = 4
"""Levels of the ray branch in the checkpoint; only the last one reaches the output."""


@dataclass(frozen=True, slots=True, eq=False)
class RayMaps:
    """Per-cell rays of a view, at 8 / 14 of the image size."""

    rays: Tensor
    """(N, 8 h, 8 w, 6) direction and origin in the window's frame, directions not normalised."""

    confidence: Tensor
    """(N, 8 h, 8 w) confidence, > 1."""


@dataclass(frozen=True, slots=True, eq=False)
class SkyMaps:
    """Result of the single-view head for N views."""

    depth: Tensor
    """(N, H, W) z along the optical axis, in the network's unit."""

    sky: Tensor
    """(N, H, W) sky score, >= 0 and not bounded above."""


@dataclass(frozen=True, slots=True, eq=False)
class DenseMaps:
    """Result of the any-view head for N views."""

    depth: Tensor
    """(N, H, W) z along the optical axis, scene units."""

    confidence: Tensor
    """(N, H, W) confidence, > 1."""

    rays: RayMaps | None
    """None unless asked for."""


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps (N, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every position of x."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class DualDpt(DptTrunk):
    """Depth with confidence, and on demand rays with confidence.

    Source: Lin et al., "Depth Anything 3" (2025), section 3 (Dual-DPT head).
    """

    def __init__(self, dim_in: int, config: PyramidConfig) -> None:
        """Create the head, including the ray levels that only exist to be loaded."""
        super().__init__(dim_in, config, ('', RAY_BRANCH))
        features = config.features
        half = features // 2
        self.norm = nn.LayerNorm(dim_in, eps=NORM_EPS)
        self.scratch['output_conv1'] = Conv(features, half, 3, padding=1)
        self.scratch['output_conv2'] = PixelTail(half, 2)
        # One norm serves all ray levels: the checkpoint stores it once.
        shared_norm = ChannelNorm(TAIL_WIDTH, eps=NORM_EPS)
        self.scratch['output_conv1_aux'] = nn.ModuleList(
            _ray_stack(features) for _ in range(RAY_LEVELS)
        )
        self.scratch['output_conv2_aux'] = nn.ModuleList(
            _ray_tail(half, shared_norm) for _ in range(RAY_LEVELS)
        )

    def forward(
        self,
        levels: Sequence[Tensor],
        grid: tuple[int, int],
        image_size: tuple[int, int],
        *,
        with_rays: bool = False,
    ) -> DenseMaps:
        """Decode views.

        Args:
            levels: Four (N, h * w, dim_in) backbone features.
            grid: (h, w) patches.
            image_size: (H, W) of the images.
            with_rays: Compute the ray branch too.

        Returns:
            Maps of N views.
        """
        maps = self.project([self.norm(level) for level in levels], grid, image_size)
        x = upsample(self.scratch['output_conv1'](self.fuse(maps)), image_size)
        logits = self.scratch['output_conv2'](with_image_positions(x, image_size))
        return DenseMaps(
            depth=logits[:, 0].exp(),
            confidence=logits[:, 1].exp() + 1.0,
            rays=self._rays(maps, image_size) if with_rays else None,
        )

    def _rays(self, maps: Sequence[Tensor], image_size: tuple[int, int]) -> RayMaps:
        stacks, tails = self.scratch['output_conv1_aux'], self.scratch['output_conv2_aux']
        assert isinstance(stacks, nn.ModuleList)
        assert isinstance(tails, nn.ModuleList)
        x = stacks[-1](self.fuse(maps, RAY_BRANCH))
        logits = tails[-1](with_image_positions(x, image_size))
        return RayMaps(rays=logits[:, :6].movedim(1, -1), confidence=logits[:, 6].exp() + 1.0)


class SingleViewDpt(DptTrunk):
    """Depth and sky score of views that know nothing of one another."""

    has_positions = False

    def __init__(self, dim_in: int, config: PyramidConfig) -> None:
        """Create the head."""
        super().__init__(dim_in, config, ('',))
        half = config.features // 2
        self.scratch['output_conv1'] = Conv(config.features, half, 3, padding=1)
        self.scratch['output_conv2'] = PixelTail(half, 1)
        self.scratch['sky_output_conv2'] = PixelTail(half, 1)

    def forward(
        self, levels: Sequence[Tensor], grid: tuple[int, int], image_size: tuple[int, int]
    ) -> SkyMaps:
        """Decode views.

        Args:
            levels: Four (N, h * w, dim_in) backbone features.
            grid: (h, w) patches.
            image_size: (H, W) of the images.

        Returns:
            Maps of N views.
        """
        maps = self.project(levels, grid, image_size)
        x = upsample(self.scratch['output_conv1'](self.fuse(maps)), image_size)
        depth = self.scratch['output_conv2'](x)[:, 0].exp()
        sky = self.scratch['sky_output_conv2'](x)[:, 0].relu()
        return SkyMaps(depth, sky)


class PixelTail(nn.Sequential):
    """The last layers of a dense head: two convolutions with a ReLU between them."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        """Create the layers; the ReLU keeps its place in the names of the checkpoint."""
        super().__init__(
            Conv(dim_in, TAIL_WIDTH, 3, padding=1), nn.ReLU(), Pointwise(TAIL_WIDTH, dim_out)
        )

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, dim_in, H, W) to (N, dim_out, H, W)."""
        first, _, last = self
        assert isinstance(first, Conv)
        out: Tensor = last(first.relu(input))
        return out


def _ray_stack(features: int) -> nn.Sequential:
    """Five convolutions without activations between them, as trained."""
    half = features // 2
    widths = (features, half, features, half, features, half)
    return nn.Sequential(*(Conv(a, b, 3, padding=1) for a, b in pairwise(widths)))


def _ray_tail(dim_in: int, norm: ChannelNorm) -> nn.Sequential:
    # The identities keep the positions of the checkpoint's names (0, 2 and 5).
    return nn.Sequential(
        Conv(dim_in, TAIL_WIDTH, 3, padding=1),
        nn.Identity(),
        norm,
        nn.Identity(),
        nn.ReLU(),
        Pointwise(TAIL_WIDTH, 7),
    )
