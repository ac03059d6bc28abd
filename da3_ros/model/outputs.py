"""What travels between the stages of a network and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

ReferenceStrategy = Literal['saddle_balanced', 'saddle_sim_range', 'first', 'middle']
"""How the reference view of a window is chosen."""


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


@dataclass(frozen=True, slots=True, eq=False)
class LevelTokens:
    """Tokens handed to the dense head from one block, in the caller's view order."""

    within_view: Tensor
    """(B, V, 1 + h * w, C) output of the last within-view block, not normalised."""

    across_views: Tensor
    """(B, V, 1 + h * w, C) output of the cross-view block, not normalised."""


@dataclass(frozen=True, slots=True, eq=False)
class FusedViews:
    """Result of the second stage: views that know of one another."""

    levels: tuple[LevelTokens, ...]
    """One entry per output layer, ascending."""

    exported: Mapping[int, Tensor]
    """Tokens (B, V, 1 + h * w, C) after the blocks asked for, in the caller's view order."""

    reference: Tensor
    """(B,) int64 reference view of each scene, in the caller's order."""

    image_size: tuple[int, int]
    """(H, W) of the images in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkOutput:
    """Result of a network; N counts the decoded views, V all views of the window."""

    depth: Tensor
    """(B, N, H, W) float32, z along the optical axis, scene units."""

    depth_conf: Tensor | None
    """(B, N, H, W) float32 confidence, > 1; None when the network has none."""

    sky: Tensor | None
    """(B, N, H, W) float32 sky score, >= 0; None when the network has none."""

    extrinsics: Tensor | None
    """(B, V, 3, 4) camera_from_world, scene units; None when the network has no cameras."""

    intrinsics: Tensor | None
    """(B, V, 3, 3) pixels of (H, W), first pixel centre (0.5, 0.5); None as above."""

    gaussians: None
    """Always None: these networks carry no Gaussian head."""

    aux: Mapping[str, Tensor]
    """`feat_layer_<i>` -> (B, V, h, w, C) normalised features of block i, caller's order."""
