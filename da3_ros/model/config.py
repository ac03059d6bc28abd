"""Typed, frozen descriptions of the networks and the named presets."""

from dataclasses import dataclass
from typing import Literal

PATCH_SIZE = 14
"""Side of a square image patch, in pixels; every preset uses it."""

NATIVE_GRID = 37
"""Side of the patch grid for which the position table is stored (518 / 14)."""

FeedForward = Literal['mlp', 'swiglu']


@dataclass(frozen=True, slots=True)
class BackboneConfig:
    """Vision transformer whose later blocks alternate within-view and cross-view attention."""

    embed_dim: int
    """C, channels of a token."""

    depth: int
    """Number of transformer blocks."""

    num_heads: int
    """Attention heads; embed_dim / num_heads is 64 for every preset."""

    feed_forward: FeedForward
    """Kind of the feed-forward layer."""

    out_layers: tuple[int, ...]
    """0-based blocks whose outputs feed the dense head, ascending."""

    alt_start: int
    """First block that knows of other views; query/key norms and rotary positions start here."""

    @property
    def feature_dim(self) -> int:
        """Channels of an output feature: within-view and cross-view tokens side by side."""
        return 2 * self.embed_dim


@dataclass(frozen=True, slots=True)
class DualDptConfig:
    """Dense head with a depth branch and a ray branch over one shared pyramid."""

    features: int
    """Channels of the fusion pyramid."""

    out_channels: tuple[int, int, int, int]
    """Channels of the four projected backbone features, finest first."""


@dataclass(frozen=True, slots=True)
class CameraHeadConfig:
    """Camera encoder (poses in) and camera decoder (poses out)."""

    trunk_depth: int = 4
    """Transformer blocks of the encoder."""

    num_heads: int = 16
    """Attention heads of the encoder."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Everything needed to build one any-view network."""

    name: str
    """Preset name as in the hub's config.json (`model_name`)."""

    backbone: BackboneConfig
    head: DualDptConfig
    camera: CameraHeadConfig


def _preset(
    name: str, backbone: BackboneConfig, features: int, channels: tuple[int, int, int, int]
) -> NetworkConfig:
    return NetworkConfig(name, backbone, DualDptConfig(features, channels), CameraHeadConfig())


PRESETS: dict[str, NetworkConfig] = {
    config.name: config
    for config in (
        _preset(
            'da3-small',
            BackboneConfig(384, 12, 6, 'mlp', (5, 7, 9, 11), 4),
            64,
            (48, 96, 192, 384),
        ),
        _preset(
            'da3-base',
            BackboneConfig(768, 12, 12, 'mlp', (5, 7, 9, 11), 4),
            128,
            (96, 192, 384, 768),
        ),
        _preset(
            'da3-large',
            BackboneConfig(1024, 24, 16, 'mlp', (11, 15, 19, 23), 8),
            256,
            (256, 512, 1024, 1024),
        ),
        _preset(
            'da3-giant',
            BackboneConfig(1536, 40, 24, 'swiglu', (19, 27, 33, 39), 13),
            256,
            (256, 512, 1024, 1024),
        ),
    )
}
"""Published any-view presets by name (da3-giant without its Gaussian head)."""
