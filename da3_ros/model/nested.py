"""Any-view geometry in metres: a metric network tells the scale of an any-view one.

The scale is one number per scene, the least-squares ratio of metric to any-view depth over all
views, taken where there is no sky and the any-view network is confident. Sky is then moved to the
far end of the scene, at most 200 m away, and its confidence set to the lowest.

Beyond the upstream code: the sky score and the Gaussians' lengths follow, scenes of a batch do
not influence one another, and a scene on which no scale can be based (hardly anything but sky)
keeps its own unit and says so, where the upstream code fails.
"""

from dataclasses import dataclass, replace
import math

import torch
from torch import Tensor, nn

from da3_ros.model.config import NestedConfig
from da3_ros.model.forward import DEFAULT_FORWARD, ForwardOptions
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import NetworkOutput
from da3_ros.model.plain.sky import FAR_QUANTILE, MIN_PIXELS, SKY_SCORE
from da3_ros.model.sampling import PixelSampler, SeededPixelSampler, quantile
from da3_ros.model.single_view import SingleViewNetwork
from da3_ros.notes import Note

MIN_METRIC_DEPTH_M = 1e-2
MIN_DEPTH = 1e-3
MAX_SKY_DEPTH_M = 200.0
SKY_CONFIDENCE = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class SceneScale:
    """The scale of one scene."""

    metres_per_unit: float
    """NaN when it could not be found."""

    note: Note | None = None
    """Why it could not be found."""


class NestedNetwork(nn.Module):
    """An any-view and a metric single-view network on the same images.

    Source: Lin et al., "Depth Anything 3" (2025), section 4; behaviour matched to the upstream
    implementation in float32, except where the module's description says otherwise.
    """

    def __init__(self, config: NestedConfig) -> None:
        """Create both networks; see `build.build_network` for building without memory."""
        super().__init__()
        self.config = config
        self.da3 = AnyViewNetwork(config.any_view)
        self.da3_metric = SingleViewNetwork(config.metric)

    @property
    def any_view(self) -> AnyViewNetwork:
        """The part that sees all views."""
        return self.da3

    @property
    def single_view(self) -> SingleViewNetwork:
        """The part that sees each view alone."""
        return self.da3_metric

    def forward(
        self,
        images: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
        options: ForwardOptions = DEFAULT_FORWARD,
    ) -> NetworkOutput:
        """Predict metric geometry.

        Args:
            images: (B, V, 3, H, W) ImageNet-normalised, sides multiples of 14.
            extrinsics: For the any-view network, see `AnyViewNetwork.forward`.
            intrinsics: See there.
            options: What else is wanted, of the any-view network where they differ.

        Returns:
            Metric geometry, sky score, Gaussians and features.
        """
        pixels = options.pixel_sampler
        geometry = self.da3(images, extrinsics, intrinsics, options)
        depth_only = ForwardOptions(chunk=options.chunk, pixel_sampler=pixels)
        metric = self.da3_metric(images, options=depth_only)
        return self.combine(geometry, metric, pixels)

    def combine(
        self, geometry: NetworkOutput, metric: NetworkOutput, sampler: PixelSampler | None = None
    ) -> NetworkOutput:
        """Bring the any-view result to metres.

        Args:
            geometry: Result of the any-view network.
            metric: Result of the metric network on the same images.
            sampler: Random pixels for quantiles; freshly seeded for every scene when None.

        Returns:
            The any-view result, scaled where a scale was found, with the metric network's sky.
        """
        focal_px = self.config.metric.canonical_focal_px
        assert focal_px is not None
        assert metric.sky is not None
        assert geometry.depth_conf is not None
        assert geometry.extrinsics is not None
        assert geometry.intrinsics is not None
        # Not indexed by lists: on CUDA these are copied to the device, and the host waits for it.
        focal = geometry.intrinsics[..., :2, :2].diagonal(dim1=-2, dim2=-1).mean(-1)
        metric_depth = metric.depth * (focal / focal_px)[..., None, None]
        is_sky = metric.sky >= SKY_SCORE
        found, depths, confidences = [], [], []
        for depth, confidence, metres, sky in zip(
            geometry.depth, geometry.depth_conf, metric_depth, is_sky, strict=True
        ):
            pixels = sampler or SeededPixelSampler()
            scale = scene_scale(depth, confidence, metres, sky, pixels)
            found.append(scale)
            if math.isfinite(scale.metres_per_unit):
                depth = _far_sky(depth * scale.metres_per_unit, sky, pixels)
            depths.append(depth)
            confidences.append(torch.where(sky, SKY_CONFIDENCE, confidence))
        scales = torch.tensor(
            [scale.metres_per_unit for scale in found], dtype=torch.float64, device=is_sky.device
        )
        factors = torch.where(scales.isfinite(), scales, 1.0).to(geometry.depth)
        moved = geometry.extrinsics[..., 3:] * factors[:, None, None, None]
        gaussians = geometry.gaussians
        return replace(
            geometry,
            depth=torch.stack(depths),
            depth_conf=torch.stack(confidences),
            sky=metric.sky,
            extrinsics=torch.cat((geometry.extrinsics[..., :3], moved), dim=-1),
            gaussians=None if gaussians is None else gaussians.scaled(factors),
            scale_factor=scales,
            notes=geometry.notes + tuple(scale.note for scale in found if scale.note),
        )


def scene_scale(
    depth: Tensor, confidence: Tensor, metric_depth: Tensor, sky: Tensor, sampler: PixelSampler
) -> SceneScale:
    """Find the scale of one scene.

    Args:
        depth: (V, H, W) any-view depth.
        confidence: (V, H, W) its confidence.
        metric_depth: (V, H, W) metres.
        sky: (V, H, W) True where there is sky.
        sampler: Random pixels for the median of confidence.

    Returns:
        The scale, or why there is none.
    """
    ground = ~sky
    trusted = confidence[ground]
    if trusted.shape[0] <= MIN_PIXELS:
        return SceneScale(
            math.nan,
            Note(
                'no_metric_scale',
                f'no metric scale: only {trusted.shape[0]} pixels are not sky; depth and poses '
                "keep the network's own unit",
                {'pixels': trusted.shape[0]},
            ),
        )
    median = quantile(trusted, 0.5, sampler, with_replacement=False)
    is_good = (confidence >= median) & ground
    is_good &= (metric_depth > MIN_METRIC_DEPTH_M) & (depth > MIN_DEPTH)
    ours, metres = depth[is_good].double(), metric_depth[is_good].double()
    squares = float(ours @ ours)
    scale = float(metres @ ours) / squares if squares > 0 else math.nan
    if not (math.isfinite(scale) and scale > 0):
        return SceneScale(
            math.nan,
            Note(
                'no_metric_scale',
                'no metric scale: no pixel has usable depth in both networks; depth and poses '
                "keep the network's own unit",
                {'pixels': 0},
            ),
        )
    return SceneScale(scale)


def _far_sky(depth: Tensor, sky: Tensor, sampler: PixelSampler) -> Tensor:
    far = quantile(depth[~sky], FAR_QUANTILE, sampler).clamp_max(MAX_SKY_DEPTH_M)
    return torch.where(sky, far, depth)
