"""Typed, frozen descriptions of the networks.

A network consists of an any-view part, a single-view part, or both. Each configuration names its
parts, itself among them, as `any_view` and `single_view`: what depends on the parts only asks for
these and not for the kind of the network.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from da3_ros.errors import ModelError

PATCH_SIZE = 14
"""Side of a square image patch, in pixels; every preset uses it."""

NATIVE_GRID = 37
"""Side of the patch grid for which the position table is stored (518 / 14)."""

PROCESS_RES = 504
"""Longest image side that every upstream network was trained for, in pixels."""

MAX_HARMONIC_DEGREE = 2
"""Highest degree of spherical harmonics that Gaussians may carry."""

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
    """First block that knows of other views; query/key norms and rotary positions start here.
    Equal to `depth` when no block does."""

    def require_layers(self, layers: Collection[int]) -> None:
        """Raise ModelError for blocks that do not exist."""
        unknown = sorted(layer for layer in layers if not 0 <= layer < self.depth)
        if unknown:
            raise ModelError(f'layers {unknown} do not exist, the network has 0..{self.depth - 1}')

    def __post_init__(self) -> None:
        """Check what the parts of the transformer need."""
        if min(self.embed_dim, self.depth, self.num_heads) < 1:
            raise ModelError('backbone: embed_dim, depth and num_heads must be positive')
        if self.embed_dim % self.num_heads or self.embed_dim // self.num_heads % 4:
            raise ModelError(
                'backbone: embed_dim must be a multiple of four times num_heads, '
                f'got {self.embed_dim} and {self.num_heads}'
            )
        if self.feed_forward not in ('mlp', 'swiglu'):
            raise ModelError(
                f'backbone: feed_forward must be mlp or swiglu, got {self.feed_forward!r}'
            )
        if not 1 <= self.alt_start <= self.depth:
            raise ModelError(
                f'backbone: alt_start must lie in 1..{self.depth} (depth), got {self.alt_start}'
            )
        first = self.alt_start if self.sees_other_views else 0
        layers = self.out_layers
        is_ascending = list(layers) == sorted(set(layers))
        if len(layers) != 4 or not is_ascending or layers[0] < first or layers[-1] >= self.depth:
            raise ModelError(
                f'backbone: out_layers must be four ascending blocks in {first}..{self.depth - 1},'
                f' got {list(layers)}'
            )

    @property
    def sees_other_views(self) -> bool:
        """Whether any block attends across views."""
        return self.alt_start < self.depth

    @property
    def feature_dim(self) -> int:
        """Channels of an output feature.

        Within-view and cross-view tokens stand side by side where there are both.
        """
        return 2 * self.embed_dim if self.sees_other_views else self.embed_dim


@dataclass(frozen=True, slots=True)
class PyramidConfig:
    """Widths of a dense head."""

    features: int
    """Channels of the fusion pyramid."""

    out_channels: tuple[int, int, int, int]
    """Channels of the four projected backbone features, finest first."""

    def __post_init__(self) -> None:
        """Check the widths; image positions need four channels per frequency."""
        widths = (self.features // 2, *self.out_channels)
        if len(self.out_channels) != 4 or any(w < 4 or w % 4 for w in widths) or self.features % 2:
            raise ModelError(
                'head: expected features to be a multiple of 8 and four out_channels that are '
                f'multiples of 4, got {self.features} and {list(self.out_channels)}'
            )


@dataclass(frozen=True, slots=True)
class CameraHeadConfig:
    """Camera encoder (poses in) and camera decoder (poses out)."""

    trunk_depth: int = 4
    """Transformer blocks of the encoder."""

    num_heads: int = 16
    """Attention heads of the encoder."""

    def __post_init__(self) -> None:
        """Check that there is something to attend with."""
        if min(self.trunk_depth, self.num_heads) < 1:
            raise ModelError('camera: trunk_depth and num_heads must be positive')


@dataclass(frozen=True, slots=True)
class GaussianConfig:
    """Gaussian head and the ranges of what it predicts."""

    pyramid: PyramidConfig

    sh_degree: int = 2
    """Degree of the spherical harmonics of a Gaussian's colour, 0 to 2."""

    scale_min: float = 1e-5
    """Smallest standard deviation, in tenths of a pixel's footprint at the Gaussian's depth."""

    scale_max: float = 30.0
    """Largest standard deviation, in the same unit."""

    def __post_init__(self) -> None:
        """Check degree and range."""
        if not 0 <= self.sh_degree <= MAX_HARMONIC_DEGREE:
            raise ModelError(
                f'gaussian: sh_degree must lie in 0..{MAX_HARMONIC_DEGREE}, got {self.sh_degree}'
            )
        if not 0 < self.scale_min < self.scale_max:
            raise ModelError(
                'gaussian: expected 0 < scale_min < scale_max, '
                f'got {self.scale_min} and {self.scale_max}'
            )

    @property
    def harmonics(self) -> int:
        """Coefficients per colour channel."""
        return (self.sh_degree + 1) ** 2

    @property
    def raw_channels(self) -> int:
        """Channels of a raw Gaussian: offset 2, scale 3, rotation 4, colour, depth offset 1."""
        return 2 + 3 + 4 + 3 * self.harmonics + 1


@dataclass(frozen=True, slots=True)
class AnyViewConfig:
    """A network for any number of views that see one another."""

    name: str
    """Preset name as in the hub's config.json (`model_name`)."""

    backbone: BackboneConfig
    head: PyramidConfig
    camera: CameraHeadConfig | None
    """None for a network without camera encoder and decoder: it takes no cameras, and gives them
    by its rays only."""

    gaussian: GaussianConfig | None = None
    """None for a network without Gaussian head."""

    process_res: int = PROCESS_RES
    """Image side that it was trained for, in pixels: what preprocessing bounds by default."""

    def __post_init__(self) -> None:
        """Check that the parts fit."""
        if self.process_res < PATCH_SIZE:
            raise ModelError(
                f'{self.name}: process_res must be at least {PATCH_SIZE}, got {self.process_res}'
            )
        if not self.backbone.sees_other_views:
            raise ModelError(f'{self.name}: an any-view network needs alt_start below depth')
        if self.camera and self.backbone.embed_dim % self.camera.num_heads:
            raise ModelError(
                f'{self.name}: embed_dim {self.backbone.embed_dim} is no multiple of the camera '
                f"encoder's {self.camera.num_heads} heads"
            )

    @property
    def any_view(self) -> 'AnyViewConfig':
        """The part that sees all views: the network itself."""
        return self

    @property
    def single_view(self) -> None:
        """The part that sees each view alone: none."""
        return None


@dataclass(frozen=True, slots=True)
class SingleViewConfig:
    """A network that sees each view alone: depth and sky, no cameras."""

    name: str
    """Preset name as in the hub's config.json (`model_name`)."""

    backbone: BackboneConfig
    head: PyramidConfig

    canonical_focal_px: float | None = None
    """Focal length at which the output is in metres; at focal length f it must be multiplied by
    f / canonical_focal_px. None for relative depth."""

    def __post_init__(self) -> None:
        """Check that no block looks at other views and the focal length is one."""
        if self.backbone.sees_other_views:
            raise ModelError(f'{self.name}: a single-view network needs alt_start equal to depth')
        focal = self.canonical_focal_px
        if focal is not None and not focal > 0:
            raise ModelError(f'{self.name}: canonical_focal_px must be positive, got {focal}')

    @property
    def any_view(self) -> None:
        """The part that sees all views: none."""
        return None

    @property
    def single_view(self) -> 'SingleViewConfig':
        """The part that sees each view alone: the network itself."""
        return self

    @property
    def process_res(self) -> int:
        """Image side that it was trained for, in pixels."""
        return PROCESS_RES


@dataclass(frozen=True, slots=True)
class NestedConfig:
    """An any-view network whose scale a metric single-view network tells."""

    name: str
    """Preset name as in the hub's config.json (`model_name`)."""

    any_view: AnyViewConfig
    metric: SingleViewConfig

    def __post_init__(self) -> None:
        """Check that the second network is metric, and that the first one tells focal lengths."""
        if self.any_view.camera is None:
            raise ModelError(f'{self.name}: the any-view network needs its camera parts')
        if self.metric.canonical_focal_px is None:
            raise ModelError(f'{self.name}: the metric network needs canonical_focal_px')

    @property
    def single_view(self) -> SingleViewConfig:
        """The part that sees each view alone: the metric network."""
        return self.metric

    @property
    def process_res(self) -> int:
        """Image side that it was trained for, in pixels."""
        return self.any_view.process_res


NetworkConfig: TypeAlias = AnyViewConfig | SingleViewConfig | NestedConfig
"""Everything needed to build one network."""
