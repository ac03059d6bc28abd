"""The upstream networks by name, and the small one that comes with this package."""

from da3_ros.errors import ModelError
from da3_ros.model.config import (
    AnyViewConfig,
    BackboneConfig,
    CameraHeadConfig,
    GaussianConfig,
    NestedConfig,
    NetworkConfig,
    PyramidConfig,
    SingleViewConfig,
)
from da3_ros.types import Caution

METRIC_FOCAL_PX = 300.0
"""Focal length for which the metric network's output is in metres."""

RETRAINED_SUFFIX = '-1.1'
RETRAINED = ('da3-large', 'da3-giant', 'da3nested-giant-large')
"""Presets of which the hub has a second training, `<name>-1.1`: same network, other weights."""

_LARGE_HEAD = PyramidConfig(256, (256, 512, 1024, 1024))

_SMALL = AnyViewConfig(
    'da3-small',
    BackboneConfig(384, 12, 6, 'mlp', (5, 7, 9, 11), 4),
    PyramidConfig(64, (48, 96, 192, 384)),
    CameraHeadConfig(),
)
_BASE = AnyViewConfig(
    'da3-base',
    BackboneConfig(768, 12, 12, 'mlp', (5, 7, 9, 11), 4),
    PyramidConfig(128, (96, 192, 384, 768)),
    CameraHeadConfig(),
)
_LARGE = AnyViewConfig(
    'da3-large',
    BackboneConfig(1024, 24, 16, 'mlp', (11, 15, 19, 23), 8),
    _LARGE_HEAD,
    CameraHeadConfig(),
)
_GIANT = AnyViewConfig(
    'da3-giant',
    BackboneConfig(1536, 40, 24, 'swiglu', (19, 27, 33, 39), 13),
    _LARGE_HEAD,
    CameraHeadConfig(),
    GaussianConfig(_LARGE_HEAD),
)
_SINGLE_VIEW_BACKBONE = BackboneConfig(1024, 24, 16, 'mlp', (4, 11, 17, 23), 24)
_MONO = SingleViewConfig('da3mono-large', _SINGLE_VIEW_BACKBONE, _LARGE_HEAD)
_METRIC = SingleViewConfig('da3metric-large', _SINGLE_VIEW_BACKBONE, _LARGE_HEAD, METRIC_FOCAL_PX)
_NESTED = NestedConfig('da3nested-giant-large', _GIANT, _METRIC)

PRESETS: dict[str, NetworkConfig] = {
    config.name: config for config in (_SMALL, _BASE, _LARGE, _GIANT, _MONO, _METRIC, _NESTED)
}
"""The seven upstream networks."""

NANO = AnyViewConfig(
    'da3-nano',
    # Blocks 3, 5 and 7 attend across views; the first output layer is still within.
    BackboneConfig(128, 8, 2, 'mlp', (2, 3, 5, 7), 2),
    PyramidConfig(24, (24, 48, 96, 128)),
    CameraHeadConfig(trunk_depth=2, num_heads=2),
    process_res=98,
)
"""What `tools/train_nano` trains."""

BUNDLED: dict[str, NetworkConfig] = {NANO.name: NANO}
"""Networks whose weights come with this package: for offline demos and tests."""

NETWORKS: dict[str, NetworkConfig] = {**PRESETS, **BUNDLED}
"""All that have a short name."""

PARAMETERS: dict[str, int] = {
    'da3-small': 34_299_463,
    'da3-base': 135_366_599,
    'da3-large': 410_941_767,
    'da3-giant': 1_355_674_125,
    'da3mono-large': 334_171_394,
    'da3metric-large': 334_171_394,
    'da3nested-giant-large': 1_689_845_519,
    'da3-nano': 2_912_083,
}
"""Parameters of each, as `build_network` makes them: known here, nobody has to build one."""


RANDOM_WEIGHTS = 'random weights: output means nothing'
"""What everybody has to know of a network without trained weights."""

_NOT_REAL = f'{NANO.name} is a test network, not for real pictures'
CAUTIONS: dict[str, Caution] = {
    NANO.name: Caution(
        _NOT_REAL,
        f'{_NOT_REAL}: it learned from rendered rooms, and its depth and poses of anything else '
        f'are not to be relied on. Use {_SMALL.name} or larger.',
    )
}
"""By name of the network; most need none."""


def random_caution(name: str) -> Caution:
    """Return what to know of a network whose weights were drawn and not learned."""
    return Caution(
        RANDOM_WEIGHTS,
        f'{RANDOM_WEIGHTS}: {name} was not trained; DepthAnything3.from_pretrained({name!r}) '
        'loads trained weights',
    )


def preset_name(name: str) -> str | None:
    """Return the preset that a name stands for, `-1.1` names included; None for other names."""
    plain = name.removesuffix(RETRAINED_SUFFIX)
    if name != plain and plain not in RETRAINED:
        return None
    return plain if plain in NETWORKS else None


def preset(name: str) -> NetworkConfig:
    """Return a named preset; `-1.1` names give the same network.

    Raises:
        ModelError: There is no such preset.
    """
    plain = preset_name(name)
    if plain is None:
        raise ModelError(f'unknown network {name!r}, expected one of {", ".join(NETWORKS)}')
    return NETWORKS[plain]
