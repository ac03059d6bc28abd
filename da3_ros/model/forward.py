"""What is asked of a forward pass: one record for every kind of network.

All networks are called as `network(images, extrinsics, intrinsics, options)`. A network refuses
what it cannot give and says in `NetworkOutput.notes` what it could not use, so that whoever calls
it need not know its kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from da3_ros.errors import ModelError
from da3_ros.model.capabilities import capabilities
from da3_ros.model.chunks import VIEW_CHUNK
from da3_ros.model.config import NetworkConfig
from da3_ros.options.network import NETWORK, PREDICTION

if TYPE_CHECKING:
    from da3_ros.model.ray_pose import RaySampler
    from da3_ros.model.sampling import PixelSampler


@dataclass(frozen=True, slots=True, eq=False)
class ForwardOptions:
    """How a forward pass is done, and what comes out besides depth."""

    export_layers: tuple[int, ...] = ()
    """0-based blocks whose features are wanted."""

    infer_gs: bool = PREDICTION.infer_gs
    """Predict Gaussians too."""

    use_ray_pose: bool = NETWORK.use_ray_pose
    """Take cameras from predicted rays instead of the camera decoder; slower."""

    ref_view_strategy: str = NETWORK.ref_view_strategy
    """How the reference view is chosen among three views or more whose cameras are unknown."""

    chunk: int = VIEW_CHUNK
    """Views computed at once outside the cross-view blocks."""

    ray_sampler: RaySampler | None = None
    """Random choices of the ray fit; freshly seeded ones when None."""

    pixel_sampler: PixelSampler | None = None
    """Random pixels for quantiles over large images; freshly seeded ones for each when None."""


DEFAULT_FORWARD = ForwardOptions()


def require_gaussians(config: NetworkConfig, options: ForwardOptions) -> None:
    """Refuse Gaussians of a network without them.

    Raises:
        ModelError: They are asked for and not there, or there are no cameras to put them before.
    """
    any_view = config.any_view
    has_cameras = any_view is None or any_view.camera is not None or options.use_ray_pose
    if options.infer_gs and capabilities(config).gaussians and not has_cameras:
        raise ModelError(
            f'{config.name} has no camera decoder, and Gaussians stand before cameras; '
            'use_ray_pose=True takes cameras from its rays'
        )
    if options.infer_gs and not capabilities(config).gaussians:
        raise ModelError(
            f'{config.name} predicts no Gaussians; da3-giant and da3nested-giant-large do'
        )
