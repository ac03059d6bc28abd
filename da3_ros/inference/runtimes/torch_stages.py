"""The stages of the networks in torch. Tensors of views stay on the device between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor, nn

from da3_ros.errors import ModelError
from da3_ros.inference.cuda.stages import DeviceStages
from da3_ros.inference.preprocess import normalise
from da3_ros.inference.runtimes.stages import EncodedView, FusedWindow, InputCameras, Maps
from da3_ros.model.chunks import VIEW_CHUNK, chunks_of
from da3_ros.model.config import PATCH_SIZE, AnyViewConfig, SingleViewConfig
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import EncodedViews, NetworkOutput
from da3_ros.model.pose_encoding import decode_cameras
from da3_ros.model.single_view import SingleViewNetwork


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


class TorchAnyView:
    """An any-view network as an `AnyViewRuntime`, on the device where its weights are."""

    name = 'torch'

    def __init__(self, network: AnyViewNetwork, stages: DeviceStages | None = None) -> None:
        self.config: AnyViewConfig = network.config
        self.chunk = VIEW_CHUNK
        """Views computed at once outside the cross-view blocks."""
        self._network = network
        self._stages = DeviceStages(network) if stages is None else stages

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(_device_of(self._network))

    def encode(self, images: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        """Encode views (V, H, W, 3) alone."""
        network, chunk = self._network, self.chunk
        encoded = self._stages.run(
            ('encode', chunk),
            lambda pixels: network.encode(normalise(pixels)[None], chunk=chunk),
            self._stages.put(images, _device_of(network)),
        )
        return tuple(_encoded_view(encoded, view) for view in range(len(images)))

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        """Let the views of a window see one another, and decode those that are wanted.

        Nothing in between looks at a value, so the host waits for the device once.

        Raises:
            ModelError: the strategy does not exist, or sizes differ.
        """
        encoded = _window_of(views)
        size, chosen, chunk = encoded.image_size, tuple(wanted), self.chunk

        def window(tokens: Tensor, reference_tokens: Tensor, *given: Tensor) -> WindowTensors:
            of_window = EncodedViews(tokens, reference_tokens, {}, size)
            return self._window(of_window, given, strategy, chosen, chunk)

        known = self._known_cameras(cameras)
        found = self._stages.run(
            ('window', size, strategy, chosen, chunk),
            window,
            encoded.tokens,
            encoded.reference_tokens,
            *known,
        )
        fetched = self._stages.fetch(
            found.reference, found.depth, found.confidence, found.extrinsics, found.intrinsics
        )
        reference, depth, confidence, extrinsics, intrinsics = fetched.arrays()
        assert reference is not None
        assert depth is not None
        assert confidence is not None
        return FusedWindow(
            held=(found, Maps(depth[0], confidence[0], None)),
            wanted=chosen,
            image_size=size,
            reference=int(reference[0]),
            extrinsics=None if extrinsics is None else extrinsics[0],
            intrinsics=None if intrinsics is None else intrinsics[0],
        )

    def decode(self, fused: FusedWindow) -> Maps:
        """Return the maps of the wanted views."""
        maps: Maps = fused.held[1]
        return maps

    def output(self, fused: FusedWindow) -> NetworkOutput:
        """Return the maps of the wanted views and the cameras of all, on the device."""
        found: WindowTensors = fused.held[0]
        return NetworkOutput(
            depth=found.depth,
            depth_conf=found.confidence,
            sky=None,
            extrinsics=found.extrinsics,
            intrinsics=found.intrinsics,
        )

    def _window(
        self,
        encoded: EncodedViews,
        given: Sequence[Tensor],
        strategy: str,
        wanted: Sequence[int],
        chunk: int,
    ) -> WindowTensors:
        """Compute a window of encoded views and given cameras: none, or some of them."""
        network = self._network
        known: tuple[Tensor | None, ...] = tuple(given) if given else (None, None)
        if len(known) == 1:
            # Only the cameras of this first pass are needed.
            first = network.pose_encoding(network.fuse(encoded, strategy=strategy))
            known = (known[0], decode_cameras(first, encoded.image_size)[1])
        fused = network.fuse(encoded, *known, strategy=strategy)
        extrinsics = intrinsics = None
        if self.config.camera is not None:
            encoding = network.pose_encoding(fused)
            extrinsics, intrinsics = decode_cameras(encoding, fused.image_size)
        dense = network.dense_maps(fused, wanted, chunk=chunk)
        return WindowTensors(
            fused.reference, dense.depth, dense.confidence, extrinsics, intrinsics
        )

    def _known_cameras(self, cameras: InputCameras | None) -> list[Tensor]:
        """Return extrinsics and, if known, intrinsics; nothing where they cannot go in."""
        if cameras is None or self.config.camera is None:
            return []
        device = _device_of(self._network)
        given = (cameras.extrinsics, cameras.intrinsics)
        return [self._stages.put(one, device)[None] for one in given if one is not None]


class TorchSingleView:
    """A network that sees each view alone as a `SingleViewRuntime`, where its weights are."""

    name = 'torch'

    def __init__(self, network: SingleViewNetwork, stages: DeviceStages | None = None) -> None:
        self.config: SingleViewConfig = network.config
        self.chunk = VIEW_CHUNK
        """Views computed at once."""
        self._network = network
        self._stages = DeviceStages(network) if stages is None else stages

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(_device_of(self._network))

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """Return the maps of views (V, H, W, 3); each depends on its own image only."""
        depth, sky = self._stages.fetch(*self.tensors(images)).arrays()
        assert depth is not None
        return Maps(depth, None, sky)

    def tensors(self, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Return depth, before sky is filled in, and sky score (V, H, W) on the device."""
        network, chunk = self._network, self.chunk

        def maps(given: Tensor) -> tuple[Tensor, Tensor]:
            pixels = normalise(given)[:, None]
            patches = pixels.shape[-2] * pixels.shape[-1] // PATCH_SIZE**2
            parts = [
                network.decode(network.encode(pixels[rows]))
                for rows in chunks_of(len(pixels), chunk, patches, pixels.device)
            ]
            depth = torch.cat([part.depth for part in parts])
            return depth, torch.cat([part.sky for part in parts])

        return self._stages.run(
            ('maps', chunk), maps, self._stages.put(images, _device_of(network))
        )


def network_input(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return images (V, H, W, 3) as a network takes them, (V, 3, H, W) on a device."""
    return normalise(torch.from_numpy(images).to(device))


def on_host(values: Tensor) -> NDArray[np.float32]:
    """Return values as a float32 array."""
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _encoded_view(encoded: EncodedViews, view: int) -> EncodedView:
    """Return one view (1, 1, ...) that keeps no other in memory."""
    tokens = encoded.tokens[:, view : view + 1].clone()
    reference_tokens = encoded.reference_tokens[:, view : view + 1].clone()
    one = replace(encoded, tokens=tokens, reference_tokens=reference_tokens, exported={})
    return EncodedView(one, encoded.image_size, tokens.nbytes + reference_tokens.nbytes)


def _window_of(views: Sequence[EncodedView]) -> EncodedViews:
    """Return views (1, V, ...) side by side.

    Raises:
        ModelError: their sizes differ.
    """
    sizes = {view.image_size for view in views}
    if len(sizes) != 1:
        raise ModelError(f'views of a window: expected one size, got {sorted(sizes)}')
    parts: list[EncodedViews] = [view.held for view in views]
    return replace(
        parts[0],
        tokens=torch.cat([part.tokens for part in parts], dim=1),
        reference_tokens=torch.cat([part.reference_tokens for part in parts], dim=1),
    )
