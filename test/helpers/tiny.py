"""Networks of every kind that are small enough to be built for each test."""

from da3_ros.model.config import (
    AnyViewConfig,
    BackboneConfig,
    CameraHeadConfig,
    GaussianConfig,
    NestedConfig,
    PyramidConfig,
    SingleViewConfig,
)

_HEAD = PyramidConfig(16, (8, 16, 24, 32))

GAUSSIAN = GaussianConfig(_HEAD)
ANY_VIEW = AnyViewConfig(
    'tiny-gaussian',
    BackboneConfig(48, 8, 3, 'swiglu', (3, 4, 5, 7), 3),
    _HEAD,
    CameraHeadConfig(trunk_depth=2, num_heads=4),
    GAUSSIAN,
)
SINGLE_VIEW = SingleViewConfig(
    'tiny-metric', BackboneConfig(48, 6, 3, 'mlp', (1, 2, 4, 5), 6), _HEAD, 300.0
)
NESTED = NestedConfig('tiny-nested', ANY_VIEW, SINGLE_VIEW)
