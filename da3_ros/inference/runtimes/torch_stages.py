"""The stages of the networks in torch. Tensors of views stay on the device between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor, nn

from da3_ros.errors import ModelError
from da3_ros.inference.cuda.stages import DeviceStages
from da3_ros.inference.cuda.window import WindowAtOnce, fuse_at_once
from da3_ros.inference.preprocess import normalise
from da3_ros.inference.runtimes.stages import EncodedView, FusedWindow, InputCameras, Maps
from da3_ros.model.chunks import VIEW_CHUNK, chunks_of
from da3_ros.model.config import PATCH_SIZE, AnyViewConfig, SingleViewConfig
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import EncodedViews, FusedViews, NetworkOutput, RoleTokens
from da3_ros.model.pose_encoding import decode_cameras
from da3_ros.model.single_view import SingleViewNetwork


@dataclass(slots=True, eq=False)
class _HeldView:
    """What is kept of a view between windows."""

    encoded: EncodedViews
    """(1, 1, ...)."""
    roles: dict[bool, Tensor] = field(default_factory=dict)
    """Tokens (1, 1, T, C) after the first block with roles, by whether it is the reference;
    filled when they are needed first."""


@dataclass(frozen=True, slots=True, eq=False)
class FusedTensors:
    """Fused views and their cameras."""

    views: FusedViews
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
        roles = 2 if self._network.backbone.pretrained.has_role_block else 0
        return tuple(_encoded_view(encoded, view, roles) for view in range(len(images)))

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        """Let the views of a window see one another.

        Raises:
            ModelError: the strategy does not exist, or sizes differ.
        """
        encoded = _window_of(views)
        if self._stages.are_enqueued(encoded.tokens.device):
            return fuse_at_once(
                self._network,
                self._stages,
                encoded,
                cameras,
                strategy=strategy,
                wanted=wanted,
                chunk=self.chunk,
            )
        known = self._known_cameras(encoded, cameras, strategy)
        roles = self._roles(views, encoded, strategy) if known[0] is None else None
        fused = self._network.fuse(encoded, *known, strategy=strategy, wanted=wanted, roles=roles)
        extrinsics = intrinsics = None
        if self.config.camera is not None:
            encoding = self._network.pose_encoding(fused)
            extrinsics, intrinsics = decode_cameras(encoding, fused.image_size)
        return FusedWindow(
            held=FusedTensors(fused, extrinsics, intrinsics),
            wanted=fused.wanted,
            image_size=fused.image_size,
            reference=int(fused.reference[0]),
            extrinsics=None if extrinsics is None else on_host(extrinsics[0]),
            intrinsics=None if intrinsics is None else on_host(intrinsics[0]),
        )

    def decode(self, fused: FusedWindow) -> Maps:
        """Return the maps of the wanted views."""
        if isinstance(fused.held, WindowAtOnce):
            return fused.held.maps
        output = self.output(fused)
        assert output.depth_conf is not None
        return Maps(on_host(output.depth[0]), on_host(output.depth_conf[0]), None)

    def output(self, fused: FusedWindow) -> NetworkOutput:
        """Return the maps of the wanted views and the cameras of all, on the device."""
        if isinstance(fused.held, WindowAtOnce):
            return fused.held.tensors.output
        held: FusedTensors = fused.held
        dense = self._network.dense_maps(held.views, fused.wanted, chunk=self.chunk)
        return NetworkOutput(
            depth=dense.depth,
            depth_conf=dense.confidence,
            sky=None,
            extrinsics=held.extrinsics,
            intrinsics=held.intrinsics,
        )

    def _roles(
        self, views: Sequence[EncodedView], encoded: EncodedViews, strategy: str
    ) -> RoleTokens | None:
        """Return the views after the first block with roles; None where that serves nothing.

        A view whose role is that of the window before does not go through that block again.
        """
        transformer = self._network.backbone.pretrained
        if not transformer.has_role_block or encoded.tokens.is_cuda:
            # On CUDA the host would have to wait to know the reference.
            return None
        try:
            reference = transformer.reference(encoded, strategy)
        except ValueError as error:
            raise ModelError(str(error)) from error
        held: list[_HeldView] = [view.held for view in views]
        first = held[int(reference[0])]
        self._in_role([first], is_reference=True)
        places = range(len(held))
        self._in_role(
            [held[place] for place in places if place != int(reference[0])], is_reference=False
        )
        tokens = [held[place].roles[place == int(reference[0])] for place in places]
        return RoleTokens(torch.cat(tokens, dim=1), reference)

    def _in_role(self, views: Sequence[_HeldView], *, is_reference: bool) -> None:
        """Run the first block with roles on those views that have not had this one."""
        missing = {id(held): held for held in views if is_reference not in held.roles}
        if not missing:
            return
        encoded = _joined([held.encoded for held in missing.values()])
        tokens = self._network.backbone.pretrained.in_role(encoded, is_reference=is_reference)
        for place, held in enumerate(missing.values()):
            held.roles[is_reference] = tokens[:, place : place + 1].clone()

    def _known_cameras(
        self, encoded: EncodedViews, cameras: InputCameras | None, strategy: str
    ) -> tuple[Tensor | None, Tensor | None]:
        if cameras is None or self.config.camera is None:
            return None, None
        device = encoded.tokens.device
        extrinsics = torch.from_numpy(cameras.extrinsics)[None].to(device)
        if cameras.intrinsics is not None:
            return extrinsics, torch.from_numpy(cameras.intrinsics)[None].to(device)
        first = self._network.pose_encoding(
            self._network.fuse(encoded, strategy=strategy, wanted=())
        )
        return extrinsics, decode_cameras(first, encoded.image_size)[1]


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
            return depth.float(), torch.cat([part.sky for part in parts]).float()

        there = self._stages.put(images, _device_of(network))
        return self._stages.run(('maps', chunk), maps, there)


def network_input(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return images (V, H, W, 3) as a network takes them, (V, 3, H, W) on a device."""
    return normalise(torch.from_numpy(images).to(device))


def on_host(values: Tensor) -> NDArray[np.float32]:
    """Return values as a float32 array."""
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array


def _device_of(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _encoded_view(encoded: EncodedViews, view: int, roles: int) -> EncodedView:
    """Return one view (1, 1, ...) that keeps no other in memory."""
    tokens = encoded.tokens[:, view : view + 1].clone()
    reference_tokens = encoded.reference_tokens[:, view : view + 1].clone()
    one = replace(encoded, tokens=tokens, reference_tokens=reference_tokens, exported={})
    own = tokens.nbytes + reference_tokens.nbytes
    return EncodedView(_HeldView(one), encoded.image_size, own + roles * tokens.nbytes)


def _window_of(views: Sequence[EncodedView]) -> EncodedViews:
    """Return views side by side, (1, V, ...).

    Raises:
        ModelError: their sizes differ.
    """
    sizes = {view.image_size for view in views}
    if len(sizes) != 1:
        raise ModelError(f'views of a window: expected one size, got {sorted(sizes)}')
    return _joined([view.held.encoded for view in views])


def _joined(parts: Sequence[EncodedViews]) -> EncodedViews:
    return replace(
        parts[0],
        tokens=torch.cat([part.tokens for part in parts], dim=1),
        reference_tokens=torch.cat([part.reference_tokens for part in parts], dim=1),
    )
