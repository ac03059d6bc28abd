"""How many views of one scene memory takes at once, known before any of them is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from da3_ros.geometry.camera import ImageSize
from da3_ros.inference.network_size import estimated_parameters
from da3_ros.inference.out_of_memory import available_bytes, total_bytes
from da3_ros.inference.preprocess import input_size
from da3_ros.model.chunks import VIEW_CHUNK
from da3_ros.model.config import PATCH_SIZE, NetworkConfig
from da3_ros.model.memory_estimate import (
    FLOAT32,
    MemoryEstimate,
    NumberFormat,
    estimate_memory,
)
from da3_ros.model.presets import PARAMETERS

if TYPE_CHECKING:
    from da3_ros.inference.scene_inference import ScenePredictor

_SHARE = 0.6
"""Of all memory of a device; the rest is for the system and other programs."""


@runtime_checkable
class _Measured(Protocol):
    """A network of torch, which knows what it takes."""

    view_chunk: int

    def estimate_memory(
        self, views: int, image_size: tuple[int, int], *, infer_gs: bool
    ) -> MemoryEstimate: ...

    def views_that_fit(self, image_size: tuple[int, int], *, infer_gs: bool) -> int | None: ...


@dataclass(frozen=True, slots=True)
class ViewLimit:
    """What the memory that is free now takes of views of one size."""

    fits: int
    """More views than this do not fit."""
    advised: int
    """So many views fit also when the weights are loaded; at least one."""
    estimate: MemoryEstimate
    on_device: int | None = None
    """So many views, with the weights, take a share of all memory of the device, free or not, so
    that this number is the same in every run; None where it is not known."""

    def bytes_of(self, views: int) -> int:
        """Return what so many views would take beside the weights."""
        return views * self.estimate.view_bytes + self.estimate.chunk_bytes


def common_input_size(
    sizes: Iterable[ImageSize], process_res: int, method: str
) -> tuple[int, int]:
    """Return (H, W) of the network's input for images of these sizes.

    Args:
        sizes: of the images as they are seen; at least one.
        process_res: length of the bounded side, px.
        method: one of `options.RESIZE_METHODS`.
    """
    inputs = [input_size(size, process_res, method) for size in set(sizes)]
    # Images of one call are cropped to their common part; less than a patch is refused later.
    height, width = min(height for height, _ in inputs), min(width for _, width in inputs)
    return max(height, PATCH_SIZE), max(width, PATCH_SIZE)


def limit_of(
    network: ScenePredictor, size: tuple[int, int], *, infer_gs: bool
) -> ViewLimit | None:
    """Return the limit of a loaded network; None where the system does not tell its free memory.

    Args:
        network: which will run.
        size: (H, W) of its input.
        infer_gs: whether Gaussians are predicted.
    """
    if not isinstance(network, _Measured):
        # Graphs compute one view after the other.
        available = available_bytes('cpu')
        estimate = estimate_memory(network.network_config, 1, size, chunk=1)
        return None if available is None else _limit(estimate, estimate.views_within(available))
    fits = network.views_that_fit(size, infer_gs=infer_gs)
    if fits is None:
        return None
    estimate = network.estimate_memory(network.view_chunk, size, infer_gs=infer_gs)
    return _limit(estimate, fits)


def _limit(estimate: MemoryEstimate, fits: int) -> ViewLimit:
    return ViewLimit(fits, max(1, fits), estimate)


def limit_before_loading(
    config: NetworkConfig,
    device: str,
    size: tuple[int, int],
    *,
    dtype: NumberFormat = FLOAT32,
    infer_gs: bool,
) -> ViewLimit | None:
    """Return the limit of a network that is not loaded yet, as `limit_of`.

    Whether the weights will take memory of their own or are mapped from their file is not known
    yet: more views than `fits` are too many in any case.

    Args:
        config: of the network.
        device: where it will run, as torch names it.
        size: (H, W) of its input.
        dtype: format that the backbone's matrices will have.
        infer_gs: whether Gaussians are predicted.
    """
    available = available_bytes(device)
    if available is None:
        return None
    estimate = estimate_memory(
        config,
        VIEW_CHUNK,
        size,
        chunk=VIEW_CHUNK,
        dtype=dtype,
        gaussians=infer_gs,
    )
    weights = 4 * PARAMETERS.get(config.name, estimated_parameters(config))
    total = total_bytes(device)
    return ViewLimit(
        estimate.views_within(available),
        max(1, estimate.views_within(available - weights)),
        estimate,
        None if total is None else max(1, estimate.views_within(int(_SHARE * total) - weights)),
    )
