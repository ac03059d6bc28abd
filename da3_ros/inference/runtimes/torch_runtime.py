"""The networks of torch as networks of windows.

What is kept of views follows the network: other weights, other parts, another number format or
another device make it worthless.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
import math
from typing import cast

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from da3_ros.inference.cuda.graphs import tolerance
from da3_ros.inference.cuda.stages import DeviceStages
from da3_ros.inference.out_of_memory import is_out_of_memory
from da3_ros.inference.runner import NetworkRunner
from da3_ros.inference.runtimes.stages import EncodedView
from da3_ros.inference.runtimes.torch_stages import (
    TorchAnyView,
    TorchSingleView,
    network_input,
    on_host,
)
from da3_ros.inference.runtimes.weight_state import WeightState
from da3_ros.inference.staged_network import SingleViewStaged, StagedNetwork, camera_notes
from da3_ros.inference.window_cache import WindowCache
from da3_ros.inference.window_network import WindowMaps, WindowNetwork, WindowRequest
from da3_ros.model.build import Network
from da3_ros.model.capabilities import Capabilities
from da3_ros.model.config import NetworkConfig
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.outputs import NetworkOutput
from da3_ros.model.sky import fill_sky
from da3_ros.types import Caution

FloatImages = NDArray[np.float32]


def torch_window_network(model: NetworkRunner) -> WindowNetwork:
    """Return a model as a network of windows; it may still be moved and given other weights."""
    return TorchWindowNetwork(model)


class TorchWindowNetwork:
    """Any of the networks of torch as a `WindowNetwork`.

    When memory runs out, smaller parts of a window are computed at once, which takes longer and
    gives the same; the notes of the result say so. What others hooked into the model may answer
    otherwise every time, so that nothing is kept of views then.
    """

    runtime = 'torch'

    def __init__(self, model: NetworkRunner) -> None:
        self.model = model
        self._weights = WeightState(model)
        self._now: Hashable = None
        """Weights and formats at the beginning of the window."""
        self._use(model.model)

    def _use(self, network: Network) -> None:
        """Compute with a network, of which nothing is kept yet."""
        self._network = network
        self.device_stages = stages = DeviceStages(network)
        """Where stages run, with what is recorded of them."""
        self._stages: StagedNetwork | SingleViewStaged | _Nested
        together = alone = None
        if network.any_view is not None:
            together = TorchAnyView(network.any_view, stages)
        if network.single_view is not None:
            alone = TorchSingleView(network.single_view, stages)
        self._runtimes = [runtime for runtime in (together, alone) if runtime is not None]
        name, state = self.model.model_name, self._state
        if together is not None and alone is not None:
            self._stages = _Nested(cast('NestedNetwork', network), together, alone, state)
        elif together is not None:
            self._stages = StagedNetwork(together, model_name=name, state=state)
        else:
            assert alone is not None
            self._stages = SingleViewStaged(alone, model_name=name, state=state, fill=_filled)

    @property
    def config(self) -> NetworkConfig:
        """Its configuration."""
        return self.model.model.config

    @property
    def model_name(self) -> str:
        """Name of the preset."""
        return self.model.model_name

    @property
    def capabilities(self) -> Capabilities:
        """What it gives and takes."""
        return self.model.capabilities

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self.model.device)

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on it."""
        return self.model.caution

    def forget(self) -> None:
        """Drop what is kept of earlier windows."""
        self._stages.forget()
        self.device_stages.forget()

    @torch.inference_mode()
    def run(self, request: WindowRequest) -> WindowMaps:
        """Compute a window.

        Raises:
            ModelError: the network cannot do what is asked.
            MemoryExceededError: memory ran out, with single views at once too.
        """
        if self.model.model is not self._network:
            self._use(self.model.model)
        views, height, width, _ = request.images.shape
        shape = torch.empty((1, views, 3, height, width), device='meta')

        def run(chunk: int) -> WindowMaps:
            try:
                return self._run(request, chunk)
            except (RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    self.forget()
                raise

        within = tolerance(self.model.dtype, tf32=self.model.arithmetic.tf32)
        self._now = self._state_now()
        if self._weights.has_hooks:
            request = replace(request, keys=None)
        self.device_stages.use(self._now, within)
        maps, notes = self.model.within_memory(shape, run, allow_smaller=True)
        return replace(maps, notes=notes + self.device_stages.take_notes() + maps.notes)

    def _run(self, request: WindowRequest, chunk: int) -> WindowMaps:
        any_view = self.config.any_view
        if any_view is not None and (any_view.camera is None or request.use_ray_pose):
            return self._whole(request, chunk)
        for runtime in self._runtimes:
            runtime.chunk = chunk
        return self._stages.run(request)

    def _whole(self, request: WindowRequest, chunk: int) -> WindowMaps:
        """Run the whole network, with the cameras of its rays where that is asked."""
        pixels = network_input(request.images, self.model.device)[None]
        extrinsics = intrinsics = None
        if request.cameras is not None:
            extrinsics = torch.from_numpy(request.cameras.extrinsics)[None].to(pixels.device)
            if request.cameras.intrinsics is not None:
                intrinsics = torch.from_numpy(request.cameras.intrinsics)[None].to(pixels.device)
        options = ForwardOptions(
            use_ray_pose=request.use_ray_pose,
            ref_view_strategy=request.ref_view_strategy,
            chunk=chunk,
        )
        return window_maps(self.model.model(pixels, extrinsics, intrinsics, options))

    def _state(self) -> Hashable:
        return self._now

    def _state_now(self) -> Hashable:
        """Return what results depend on besides what is asked for."""
        one = torch.empty(1, 1, device=self.model.device)
        # Of another format than their factors where the caller has switched on autocast.
        products = (one @ one).dtype
        return self.model.arithmetic, products, self._weights.now()


@dataclass(frozen=True, slots=True, eq=False)
class _MetricMaps:
    """Maps of one view by the metric network."""

    depth: Tensor
    """(H, W) before sky is filled in."""
    sky: Tensor
    """(H, W) score."""

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return int(self.depth.nbytes + self.sky.nbytes)


class _Nested:
    """An any-view network whose scale a metric network tells.

    The scale is one number by the depth of all views, so that all are decoded.
    """

    def __init__(
        self,
        network: NestedNetwork,
        any_view: TorchAnyView,
        metric: TorchSingleView,
        state: Callable[[], Hashable],
    ) -> None:
        self._network = network
        self._any_view = any_view
        self._metric = metric
        self._state = state
        self._encoded = WindowCache[EncodedView](lambda view: view.nbytes)
        self._maps = WindowCache[_MetricMaps](lambda maps: maps.nbytes)

    def run(self, request: WindowRequest) -> WindowMaps:
        images, cameras = request.images, request.cameras
        count, keys, state = len(images), request.keys, (self._state(), images.shape[1:])
        views = self._encoded.results(
            count, keys, state, lambda places: self._any_view.encode(images[list(places)])
        )
        metric = self._maps.results(count, keys, state, lambda places: self._alone(images, places))
        fused = self._any_view.fuse(
            views, cameras, strategy=request.ref_view_strategy, wanted=range(count)
        )
        sky = torch.stack([maps.sky for maps in metric])[None]
        filled = fill_sky(torch.stack([maps.depth for maps in metric])[None], sky)
        output = self._network.combine(
            self._any_view.output(fused), NetworkOutput(filled, None, sky, None, None)
        )
        return replace(window_maps(output), notes=(*camera_notes(cameras), *output.notes))

    def forget(self) -> None:
        self._encoded.forget()
        self._maps.forget()

    def _alone(self, images: NDArray[np.uint8], places: Sequence[int]) -> list[_MetricMaps]:
        depth, sky = self._metric.tensors(images[list(places)])
        return [_MetricMaps(d.clone(), s.clone()) for d, s in zip(depth, sky, strict=True)]


def window_maps(output: NetworkOutput) -> WindowMaps:
    """Return the output of one scene on the host."""
    scale = None if output.scale_factor is None else float(output.scale_factor[0])

    def scene(values: Tensor | None) -> FloatImages | None:
        return None if values is None else on_host(values[0])

    return WindowMaps(
        wanted=tuple(range(output.depth.shape[1])),
        depth=on_host(output.depth[0]),
        confidence=scene(output.depth_conf),
        sky=scene(output.sky),
        extrinsics=scene(output.extrinsics),
        intrinsics=scene(output.intrinsics),
        scale_factor=scale if scale is not None and math.isfinite(scale) else None,
        notes=output.notes,
    )


def _filled(depth: FloatImages, sky: FloatImages) -> FloatImages:
    """Fill in sky as the network's own forward pass does, with the same random pixels."""
    return on_host(fill_sky(torch.from_numpy(depth)[None], torch.from_numpy(sky)[None])[0])
