"""The interface of a runtime: the stages of a network, with numpy arrays at both ends.

A window goes through `encode` (each view alone), `fuse` (the views see one another) and `decode`
(maps of the views that are wanted). What lies between two stages belongs to the runtime: others
keep it and hand it back, and never look inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from da3_ros.model.config import AnyViewConfig, SingleViewConfig


@dataclass(frozen=True, slots=True, eq=False)
class EncodedView:
    """One view after the first stage: what may be kept while the view is in windows."""

    held: Any
    """The runtime's own: tokens of the view, where the runtime computes."""

    image_size: tuple[int, int]
    """(H, W) of the image, px."""

    nbytes: int
    """Memory that it takes."""


@dataclass(frozen=True, slots=True, eq=False)
class InputCameras:
    """Known cameras as they go into a network."""

    extrinsics: NDArray[np.float32]
    """(V, 4, 4) camera_from_world, normalised (`pose_alignment.normalise_extrinsics`)."""

    intrinsics: NDArray[np.float32] | None
    """(V, 3, 3) in pixels of the images, first pixel centre at (0.5, 0.5); None: the network
    predicts them first."""


@dataclass(frozen=True, slots=True, eq=False)
class FusedWindow:
    """A window after the second stage."""

    held: Any
    """The runtime's own: what the head needs of the wanted views."""

    wanted: tuple[int, ...]
    """Views whose maps `decode` gives, ascending."""

    image_size: tuple[int, int]
    """(H, W) of the images, px."""

    reference: int
    """The reference view; 0 where cameras were known."""

    extrinsics: NDArray[np.float32] | None
    """(V, 3, 4) camera_from_world of all views; None without camera decoder."""

    intrinsics: NDArray[np.float32] | None
    """(V, 3, 3) in pixels of the images; None as above."""


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """Maps of N views."""

    depth: NDArray[np.float32]
    """(N, H, W); of a single-view network before sky is filled in."""

    confidence: NDArray[np.float32] | None
    """(N, H, W); None when the network has none."""

    sky: NDArray[np.float32] | None
    """(N, H, W) sky score; None when the network has none."""


class AnyViewRuntime(Protocol):
    """Computes an any-view network.

    The composition of the stages equals the network's forward pass to rounding, whatever views
    are wanted and in whatever calls views were encoded.
    """

    config: AnyViewConfig
    name: str
    """`torch`, `openvino` or `onnxruntime`."""

    @property
    def device(self) -> str:
        """Where it computes, as torch names devices."""
        ...

    def encode(self, images: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        """Encode views alone.

        Args:
            images: (V, H, W, 3) RGB, sides multiples of 14.
        """
        ...

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        """Let the views of a window see one another.

        Args:
            views: of one size.
            cameras: known cameras of all views.
            strategy: how the reference view is chosen where cameras are not known.
            wanted: views whose maps are decoded later, ascending; at least one.

        Raises:
            ModelError: the strategy does not exist, or sizes differ.
        """
        ...

    def decode(self, fused: FusedWindow) -> Maps:
        """Return the maps of the wanted views."""
        ...


class SingleViewRuntime(Protocol):
    """Computes a network that sees each view alone."""

    config: SingleViewConfig
    name: str

    @property
    def device(self) -> str:
        """Where it computes, as torch names devices."""
        ...

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """Return the maps of views (V, H, W, 3); each depends on its own image only."""
        ...
