"""A network together with how it is run: number formats, chunks, and what to do without memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
import logging
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from da3_ros.errors import ModelError
from da3_ros.inference.cuda.weights import channels_last_heads
from da3_ros.inference.out_of_memory import (
    MemoryExceededError,
    available_bytes,
    is_out_of_memory,
    memory_message,
)
from da3_ros.inference.tf32 import float32_products
from da3_ros.model.arithmetic import Arithmetic, apply_arithmetic
from da3_ros.model.build import Network
from da3_ros.model.capabilities import Capabilities, capabilities
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.memory_estimate import MemoryEstimate, estimate_memory
from da3_ros.model.outputs import NetworkOutput
from da3_ros.model.presets import CAUTIONS
from da3_ros.model.ray_pose import RaySampler
from da3_ros.model.sampling import PixelSampler
from da3_ros.notes import Note
from da3_ros.options.choices import Precision
from da3_ros.options.network import NETWORK, PREDICTION
from da3_ros.types import Caution

_logger = logging.getLogger(__name__)
_Result = TypeVar('_Result')


def existing_device(name: str | torch.device) -> torch.device:
    """Return a device, after a look whether it is there.

    Raises:
        ModelError: There is none of that name, or no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f'device {name!r}: expected cpu, cuda or cuda:N ({reason})') from None
    if device.type == 'cuda':
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ModelError(f'device {str(device)!r}: there are {count} CUDA devices; use cpu')
    return device


class NetworkRunner(nn.Module):
    """Runs any of the networks; the public class builds on it."""

    def __init__(self, network: Network, arithmetic: Arithmetic, view_chunk: int) -> None:
        """Wrap a network.

        Args:
            network: The network, on its device.
            arithmetic: Number formats and kernels.
            view_chunk: Views computed at once outside the cross-view blocks.

        Raises:
            ModelError: Device or installation cannot do what is asked, or there is no chunk.
        """
        super().__init__()
        if view_chunk < 1:
            raise ModelError(f'view_chunk: expected at least 1, got {view_chunk}')
        self.view_chunk = view_chunk
        self.model: Network = network
        self.model_name = network.config.name
        self._arithmetic = arithmetic
        self._settle(arithmetic)
        self.eval()

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> 'NetworkRunner':
        # Every move to another device ends here, and `auto` depends on the device.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._settle(self._arithmetic)
        return self

    def _settle(self, arithmetic: Arithmetic) -> None:
        apply_arithmetic(self.model, arithmetic, self.device)
        if self.device.type == 'cuda':
            channels_last_heads(self.model)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    @property
    def arithmetic(self) -> Arithmetic:
        """Number formats and kernels; may be set at any time.

        Setting a wider format than before brings back no digits: load the checkpoint again.
        """
        return self._arithmetic

    @arithmetic.setter
    def arithmetic(self, arithmetic: Arithmetic) -> None:
        self._settle(arithmetic)
        self._arithmetic = arithmetic

    @property
    def precision(self) -> Precision:
        """Format that was asked for; `dtype` tells what `auto` became."""
        return self._arithmetic.precision

    @property
    def dtype(self) -> torch.dtype:
        """Format of the backbone's matrices."""
        return self._arithmetic.dtype(self.device)

    @property
    def capabilities(self) -> Capabilities:
        """What the network gives beyond depth, and takes beyond images."""
        return capabilities(self.model.config)

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on it; None for most."""
        return CAUTIONS.get(self.model_name)

    @property
    def process_res(self) -> int:
        """Image side that the model was trained for, in pixels."""
        return self.model.config.process_res

    def estimate_memory(
        self, views: int, image_size: tuple[int, int], *, infer_gs: bool = PREDICTION.infer_gs
    ) -> MemoryEstimate:
        """Estimate what a forward pass takes beside the weights.

        Args:
            views: Views of the window, over all scenes.
            image_size: (H, W) of the network's input.
            infer_gs: Whether Gaussians are predicted.
        """
        return estimate_memory(
            self.model.config,
            views,
            image_size,
            chunk=self.view_chunk,
            dtype=self.dtype,
            gaussians=infer_gs,
        )

    def views_that_fit(
        self, image_size: tuple[int, int], *, infer_gs: bool = PREDICTION.infer_gs
    ) -> int | None:
        """Return how many views of a size fit into the memory that is free now.

        Args:
            image_size: (H, W) of the network's input.
            infer_gs: Whether Gaussians are predicted.

        Returns:
            The number, None where the system does not tell its free memory.
        """
        available = available_bytes(self.device)
        if available is None:
            return None
        estimate = self.estimate_memory(self.view_chunk, image_size, infer_gs=infer_gs)
        return estimate.views_within(available)

    @torch.inference_mode()
    def forward(
        self,
        image: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
        export_feat_layers: Sequence[int] | None = None,
        infer_gs: bool = PREDICTION.infer_gs,
        use_ray_pose: bool = NETWORK.use_ray_pose,
        ref_view_strategy: str = NETWORK.ref_view_strategy,
        *,
        ray_sampler: RaySampler | None = None,
        pixel_sampler: PixelSampler | None = None,
        allow_smaller: bool = PREDICTION.allow_smaller,
    ) -> NetworkOutput:
        """Run the network on preprocessed images.

        Args:
            image: (B, N, 3, H, W) ImageNet-normalised, sides multiples of 14.
            extrinsics: (B, N, 4, 4) known camera_from_world, normalised as in
                `pose_alignment.normalise_extrinsics`; None if unknown.
            intrinsics: (B, N, 3, 3) known intrinsics in pixels of (H, W); None if unknown.
            export_feat_layers: Blocks whose features are returned in `aux`.
            infer_gs: Predict Gaussians.
            use_ray_pose: Take cameras from predicted rays instead of the camera decoder.
            ref_view_strategy: How the reference view is chosen when cameras are unknown.
            ray_sampler: Random choices of the ray fit; freshly seeded ones when None.
            pixel_sampler: Random pixels for quantiles over large images; freshly seeded ones
                when None.
            allow_smaller: When memory runs out, try again with smaller chunks of views; `notes`
                says so. The result is the same, it takes longer.

        Returns:
            What the network gives. Where it cannot use what was given, `notes` says so.

        Raises:
            ModelError: Shapes, strategy or layers do not fit, or Gaussians are wanted of a
                network without them.
            MemoryExceededError: Memory ran out; tells how much was needed and available.
        """
        options = ForwardOptions(
            export_layers=tuple(export_feat_layers or ()),
            infer_gs=infer_gs,
            use_ray_pose=use_ray_pose,
            ref_view_strategy=ref_view_strategy,
            ray_sampler=ray_sampler,
            pixel_sampler=pixel_sampler,
        )

        def run(chunk: int) -> NetworkOutput:
            output: NetworkOutput = self.model(
                image, extrinsics, intrinsics, replace(options, chunk=chunk)
            )
            return output

        output, remarks = self.within_memory(image, run, allow_smaller=allow_smaller)
        return replace(output, notes=remarks + output.notes)

    def within_memory(
        self, image: Tensor, run: Callable[[int], _Result], *, allow_smaller: bool
    ) -> tuple[_Result, tuple[Note, ...]]:
        """Run something with the largest chunk of views for which memory suffices.

        Args:
            image: (B, N, 3, H, W) what goes into the network, or a tensor of its shape.
            run: Gets the views that may be computed at once.
            allow_smaller: Whether smaller chunks may be tried.

        Returns:
            What `run` returned, and a note if the chunk is smaller than it should be.

        Raises:
            MemoryExceededError: Memory ran out; tells how much was needed and available.
        """
        chunk = min(self.view_chunk, image.shape[:2].numel())
        note: tuple[Note, ...] = ()
        while True:
            try:
                with float32_products(self.device, tf32=self._arithmetic.tf32):
                    return run(chunk), note
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                # The traceback holds the tensors of the failed attempt.
                cause = error.with_traceback(None)
            message = memory_message(
                cause, self.model, image, chunk, self.dtype, available_bytes(self.device)
            )
            if not allow_smaller or chunk == 1:
                raise MemoryExceededError(message) from cause
            chunk = max(1, chunk // 2)
            text = f'memory ran out; views were computed in chunks of {chunk}'
            note = (Note('views_in_chunks', text, {'chunk': chunk}),)
            _logger.warning('%s; trying chunks of %d', message, chunk)
            if self.device.type == 'cuda':
                torch.cuda.empty_cache()
