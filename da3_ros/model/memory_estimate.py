"""How much memory a forward pass takes, from configuration and image size alone.

With T tokens of C channels per view, H x W pixels and float32 (4 bytes), a view of a window holds

- its input, 3 H W;
- the tokens handed to the heads, 2 T C for each of four blocks, of which seven parts are there
  when the last cross-view block runs, and the tokens before the first such block, 1 T C;
- what that last block works on, 13 T C: its input, the norm, queries, keys and values (3 T C,
  half of it in 16 bits), both normalised, and the parts of a rotation (its feed-forward layer
  takes 10 or 12 T C);
- its results, 2 H W, twice while they are joined; with Gaussians 38 H W twice more.

That grows with the number of views. Heads (and the networks that see each view alone) run in
chunks: with F channels in the pyramid a view at once takes (0.75 F + 64) H W in the full-size
tail. Scores of attention are never held: the
kernels go through them in tiles.

The formula counts what is asked for; an allocator may keep more of what was freed.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from da3_ros.model.config import (
    PATCH_SIZE,
    AnyViewConfig,
    BackboneConfig,
    NetworkConfig,
    PyramidConfig,
    SingleViewConfig,
)


class NumberFormat(Protocol):
    """What torch or NumPy calls a `dtype`."""

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        ...


WIDE = 4
"""Bytes of a float32."""

FLOAT32: NumberFormat = np.dtype(np.float32)

TAIL_CHANNELS = 64
FULL_SIZE_MAPS = 0.75


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of a forward pass beside the weights."""

    view_bytes: int
    """For every view of the window."""

    chunk_bytes: int
    """For the views that heads decode at once; the same for any window longer than that."""

    views: int
    """Views of the window."""

    @property
    def total_bytes(self) -> int:
        """Bytes for the whole window."""
        return self.views * self.view_bytes + self.chunk_bytes

    def views_within(self, available_bytes: int) -> int:
        """Return how many views fit into so many bytes."""
        return max(0, int((available_bytes - self.chunk_bytes) // self.view_bytes))


def estimate_memory(
    config: NetworkConfig,
    views: int,
    image_size: tuple[int, int],
    *,
    chunk: int,
    dtype: NumberFormat = FLOAT32,
    gaussians: bool = False,
) -> MemoryEstimate:
    """Estimate the memory of a forward pass.

    Args:
        config: Configuration of the network.
        views: Views of the window, over all scenes.
        image_size: (H, W) of the network's input.
        chunk: Views computed at once outside the cross-view blocks.
        dtype: Format of the backbone's matrices.
        gaussians: Whether Gaussians are predicted.

    Returns:
        The estimate, without weights.
    """
    pixels = image_size[0] * image_size[1]
    at_once = min(views, chunk)
    # The input.
    first = MemoryEstimate(3 * pixels * WIDE, 0, views)
    if config.any_view is not None:
        first = _any_view(config.any_view, views, pixels, at_once, dtype, gaussians)
    if config.single_view is None:
        return first
    alone = int(at_once * _single_view(config.single_view, pixels, dtype))
    # The results of a first network stay while the second one runs, on the same input.
    return MemoryEstimate(
        first.view_bytes + 4 * pixels * WIDE, max(first.chunk_bytes, alone), views
    )


def _any_view(
    config: AnyViewConfig,
    views: int,
    pixels: int,
    at_once: int,
    dtype: NumberFormat,
    gaussians: bool,
) -> MemoryEstimate:
    tokens = _token_bytes(config.backbone, pixels)
    fusing = tokens * (8 + _block_share(config.backbone, dtype))
    results = 4 * pixels * WIDE
    if gaussians and config.gaussian is not None:
        results += 2 * (11 + 3 * config.gaussian.harmonics) * pixels * WIDE
    decoding = 8 * tokens + results
    per_view = 3 * pixels * WIDE + max(fusing, decoding)
    head = _head(config.head, pixels)
    # A chunk of the heads adds only what the blocks had not taken before.
    spare = views * max(0.0, fusing - decoding)
    return MemoryEstimate(int(per_view), int(max(0.0, at_once * head - spare)), views)


def _single_view(config: SingleViewConfig, pixels: int, dtype: NumberFormat) -> float:
    """Return the bytes of one view while it is computed."""
    tokens = _token_bytes(config.backbone, pixels)
    blocks = tokens * (4 + _block_share(config.backbone, dtype))
    return max(blocks, 8 * tokens + _head(config.head, pixels))


def _token_bytes(backbone: BackboneConfig, pixels: int) -> int:
    return (pixels // PATCH_SIZE**2 + 1) * backbone.embed_dim * WIDE


def _block_share(backbone: BackboneConfig, dtype: NumberFormat) -> float:
    """Return what a block works on, in tokens of float32."""
    narrow = dtype.itemsize / WIDE
    if backbone.sees_other_views:
        return 10 + 3 * narrow
    return 2 + 8 * narrow


def _head(head: PyramidConfig, pixels: int) -> float:
    return (head.features * FULL_SIZE_MAPS + TAIL_CHANNELS) * pixels * WIDE
