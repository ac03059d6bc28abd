"""A network as the estimator of the stream sees it: images of a window in, arrays out.

Whatever computes it (`runtimes`), and whatever is kept between windows, is behind this.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from da3_ros.inference.runtimes.stages import InputCameras
from da3_ros.model.capabilities import Capabilities
from da3_ros.model.config import NetworkConfig
from da3_ros.notes import Note
from da3_ros.options.network import NETWORK
from da3_ros.types import Caution


@dataclass(frozen=True, slots=True, eq=False)
class WindowRequest:
    """What goes into a network."""

    images: NDArray[np.uint8]
    """(V, H, W, 3) RGB, sides multiples of 14."""

    keys: tuple[Hashable, ...] | None = None
    """Per view, what its image is known by: equal keys promise the same pixels. None promises
    nothing: nothing is kept of this window for another, nor of those before."""

    cameras: InputCameras | None = None
    """Known cameras; None when they are not all known."""

    wanted: tuple[int, ...] | None = None
    """Views whose maps are wanted, ascending; None for all."""

    ref_view_strategy: str = NETWORK.ref_view_strategy
    use_ray_pose: bool = NETWORK.use_ray_pose


@dataclass(frozen=True, slots=True, eq=False)
class WindowMaps:
    """What a network says about a window."""

    wanted: tuple[int, ...]
    """Which views the maps are of, ascending; all that were wanted, at least."""

    depth: NDArray[np.float32]
    """(N, H, W), sky filled in; metres where `is_metric`."""

    confidence: NDArray[np.float32] | None
    """(N, H, W); None when the network has none."""

    sky: NDArray[np.float32] | None
    """(N, H, W) sky score; None when the network has none."""

    extrinsics: NDArray[np.float32] | None
    """(V, 3, 4) camera_from_world of all views, in the unit of depth; None without poses."""

    intrinsics: NDArray[np.float32] | None
    """(V, 3, 3) in pixels of the images; None as above."""

    scale_factor: float | None = None
    """Metres per unit of the any-view network, already applied; None where nothing tells it."""

    notes: tuple[Note, ...] = ()
    """What was done otherwise than asked."""

    @property
    def is_metric(self) -> bool:
        """Whether lengths are metres."""
        return self.scale_factor is not None


@runtime_checkable
class WindowNetwork(Protocol):
    """Any of the networks, over any runtime."""

    @property
    def config(self) -> NetworkConfig:
        """Its configuration."""
        ...

    @property
    def model_name(self) -> str:
        """Name of the preset."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it gives and takes."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, as torch names devices."""
        ...

    @property
    def runtime(self) -> str:
        """What computes it, as the option `runtime` names it."""
        ...

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on it; None for most."""
        ...

    def run(self, request: WindowRequest) -> WindowMaps:
        """Compute a window.

        Raises:
            ModelError: the network cannot do what is asked.
            MemoryExceededError: memory ran out.
        """
        ...

    def forget(self) -> None:
        """Drop what is kept of earlier windows."""
        ...
