"""A window of an any-view network computed at once: enqueued whole, waited for once.

Nothing between encoded views and maps looks at a value, so all of it is one stage; the reference
view is chosen on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from da3_ros.inference.cuda.stages import DeviceStages
from da3_ros.inference.runtimes.stages import FusedWindow, InputCameras, Maps
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import EncodedViews, NetworkOutput
from da3_ros.model.pose_encoding import decode_cameras


@dataclass(frozen=True, slots=True, eq=False)
class WindowTensors:
    """A window on the device."""

    reference: Tensor
    """(1,) int64."""

    depth: Tensor
    """(1, N, H, W) of the wanted views."""

    confidence: Tensor
    """(1, N, H, W)."""

    extrinsics: Tensor | None
    """(1, V, 3, 4)."""

    intrinsics: Tensor | None
    """(1, V, 3, 3)."""

    @property
    def output(self) -> NetworkOutput:
        """The same as a network gives it."""
        return NetworkOutput(
            depth=self.depth,
            depth_conf=self.confidence,
            sky=None,
            extrinsics=self.extrinsics,
            intrinsics=self.intrinsics,
        )


@dataclass(frozen=True, slots=True, eq=False)
class WindowAtOnce:
    """What a fused window holds when its maps are there already."""

    tensors: WindowTensors
    maps: Maps


def fuse_at_once(
    network: AnyViewNetwork,
    stages: DeviceStages,
    encoded: EncodedViews,
    cameras: InputCameras | None,
    *,
    strategy: str,
    wanted: Sequence[int],
    chunk: int,
) -> FusedWindow:
    """Compute a window of encoded views.

    Args:
        network: Computes.
        stages: Runs it.
        encoded: (1, V, ...).
        cameras: Known cameras; those of a network without camera encoder are not used.
        strategy: How the reference view is chosen where cameras are not known.
        wanted: Views whose maps are decoded.
        chunk: Views decoded at once.

    Returns:
        A fused window that holds a `WindowAtOnce`.
    """
    size, chosen = encoded.image_size, tuple(wanted)
    given = []
    if cameras is not None and network.config.camera is not None:
        place = encoded.tokens.device
        both = (cameras.extrinsics, cameras.intrinsics)
        given = [stages.put(one, place)[None] for one in both if one is not None]

    def window(tokens: Tensor, reference_tokens: Tensor, *known: Tensor) -> WindowTensors:
        views = EncodedViews(tokens, reference_tokens, {}, size)
        return _window(network, views, known, strategy, chosen, chunk)

    tensors = stages.run(
        ('window', size, strategy, chosen, chunk),
        window,
        encoded.tokens,
        encoded.reference_tokens,
        *given,
    )
    fetched = stages.fetch(
        tensors.reference,
        tensors.depth,
        tensors.confidence,
        tensors.extrinsics,
        tensors.intrinsics,
    )
    reference, depth, confidence, extrinsics, intrinsics = fetched.arrays()
    assert reference is not None
    assert depth is not None
    return FusedWindow(
        held=WindowAtOnce(tensors, Maps(depth[0], _of_scene(confidence), None)),
        wanted=chosen,
        image_size=size,
        reference=int(reference[0]),
        extrinsics=_of_scene(extrinsics),
        intrinsics=_of_scene(intrinsics),
    )


def _of_scene(array: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if array is None else array[0]


def _window(
    network: AnyViewNetwork,
    views: EncodedViews,
    known: Sequence[Tensor],
    strategy: str,
    wanted: Sequence[int],
    chunk: int,
) -> WindowTensors:
    """Compute a window, with no known cameras, extrinsics alone, or both."""
    cameras: tuple[Tensor | None, Tensor | None] = (None, None)
    if len(known) == 1:
        # Only the cameras of this first pass are needed.
        first = network.pose_encoding(network.fuse(views, strategy=strategy, wanted=()))
        cameras = known[0], decode_cameras(first, views.image_size)[1]
    elif known:
        cameras = known[0], known[1]
    fused = network.fuse(views, *cameras, strategy=strategy, wanted=wanted)
    extrinsics = intrinsics = None
    if network.config.camera is not None:
        encoding = network.pose_encoding(fused)
        extrinsics, intrinsics = decode_cameras(encoding, fused.image_size)
    dense = network.dense_maps(fused, chunk=chunk)
    return WindowTensors(
        reference=fused.reference,
        depth=dense.depth.float(),
        confidence=dense.confidence.float(),
        extrinsics=extrinsics,
        intrinsics=intrinsics,
    )
