"""What travels between the stages of a network and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from da3_ros.notes import Note

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class EncodedViews:
    """Result of the first stage: views that have not seen one another."""

    tokens: Tensor
    """(B, V, 1 + h * w, C) class token and patch tokens before the first cross-view block."""

    reference_tokens: Tensor
    """(B, V, C) class tokens by which the reference view is chosen."""

    exported: Mapping[int, Tensor]
    """Tokens (B, V, 1 + h * w, C) after the blocks asked for, by block index."""

    image_size: tuple[int, int]
    """(H, W) of the images in pixels."""

    levels: tuple[Tensor, ...] = ()
    """Tokens (B, V, 1 + h * w, C) of the output layers in this stage, ascending: all four in
    single-view networks, none in any-view ones."""


@dataclass(frozen=True, slots=True, eq=False)
class RoleTokens:
    """Views after the first block in which a view is the reference or another one."""

    tokens: Tensor
    """(B, V, 1 + h * w, C) camera token and patch tokens; each view's in its role."""

    reference: Tensor
    """(B,) int64 the reference view of each scene."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelTokens:
    """Tokens handed to the dense head from one block, of the N wanted views."""

    within_view: Tensor
    """(B, N, 1 + h * w, C) output of the last within-view block, not normalised."""

    across_views: Tensor
    """(B, N, 1 + h * w, C) output of the cross-view block, not normalised."""


@dataclass(frozen=True, slots=True, eq=False)
class FusedViews:
    """Result of the second stage: views that know of one another."""

    levels: tuple[LevelTokens, ...]
    """One entry per output layer, ascending."""

    cameras: Tensor
    """(B, V, 2 C) camera tokens of all views after the last block, within and across views."""

    wanted: tuple[int, ...]
    """The N views that the levels are of, ascending; all V unless fewer were asked for."""

    exported: Mapping[int, Tensor]
    """Tokens (B, V, 1 + h * w, C) after the blocks asked for, in the caller's view order."""

    reference: Tensor
    """(B,) int64 reference view of each scene."""

    image_size: tuple[int, int]
    """(H, W) of the images in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Gaussians:
    """A scene as Gaussians, one for every pixel of every view: G = V * H * W, view by view."""

    means: Tensor
    """(B, G, 3) centres in the world of the extrinsics."""

    scales: Tensor
    """(B, G, 3) standard deviations along the axes, in the unit of the means, > 0."""

    rotations: Tensor
    """(B, G, 4) unit quaternions wxyz, world from the Gaussian's axes."""

    harmonics: Tensor
    """(B, G, 3, D) spherical harmonics of red, green and blue in the world's axes; order and
    signs as in 3D Gaussian Splatting."""

    opacities: Tensor
    """(B, G) in [0, 1]."""

    def scaled(self, factor: Tensor) -> Gaussians:
        """Return the scene with lengths multiplied by `factor` (B,)."""
        by = factor[:, None, None].to(self.means)
        return replace(self, means=self.means * by, scales=self.scales * by)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkOutput:
    """Result of a network; N counts the decoded views, V all views of the window."""

    depth: Tensor
    """(B, N, H, W) float32, z along the optical axis, scene units; metres where `is_metric`."""

    depth_conf: Tensor | None
    """(B, N, H, W) float32 confidence, > 1; None when the network has none."""

    sky: Tensor | None
    """(B, N, H, W) float32 sky score, >= 0; None when the network has none. From 0.3 on a pixel
    counts as sky: its depth was filled in (see `sky`)."""

    extrinsics: Tensor | None
    """(B, V, 3, 4) camera_from_world, scene units; None when the network has no cameras."""

    intrinsics: Tensor | None
    """(B, V, 3, 3) pixels of (H, W), first pixel centre (0.5, 0.5); None as above."""

    gaussians: Gaussians | None = None
    """None unless asked for. In metres where `is_metric`, other than in the upstream code, which
    leaves them in the any-view network's unit: `gaussians.scaled(1 / scale_factor)`."""

    aux: Mapping[str, Tensor] = field(default_factory=dict)
    """`feat_layer_<i>` -> (B, V, h, w, C) normalised features of block i; views and layers in
    the caller's order."""

    gaussian_scale: Tensor | None = None
    """(B,) length of a unit of `depth` among the Gaussians. Not one where given cameras are
    larger or smaller than the predicted ones; None without Gaussians."""

    scale_factor: Tensor | None = None
    """(B,) float64, metres per unit of the any-view branch, already applied; NaN for scenes
    where it could not be found. None for networks that do not estimate it."""

    notes: tuple[Note, ...] = ()
    """What a user should know about how this came about; empty when nothing."""

    @property
    def is_metric(self) -> Tensor:
        """Whether lengths of a scene are metres, (B,) bool."""
        import torch

        if self.scale_factor is None:
            return torch.zeros(self.depth.shape[0], dtype=torch.bool)
        return self.scale_factor.isfinite()


def feature_name(layer: int) -> str:
    """Return the name under which a block's features are handed out."""
    return f'feat_layer_{layer}'
