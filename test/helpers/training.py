"""A network and a run small enough to train in a test."""

from da3_ros.geometry.camera import ImageSize
from da3_ros.model.config import AnyViewConfig, BackboneConfig, CameraHeadConfig, PyramidConfig
from tools.train_nano.config import TrainConfig

TINY = AnyViewConfig(
    'tiny',
    BackboneConfig(32, 5, 2, 'mlp', (1, 2, 3, 4), 1),
    PyramidConfig(8, (8, 8, 16, 16)),
    CameraHeadConfig(trunk_depth=1, num_heads=2),
)
TINY_SIZE = ImageSize(28, 42)
TINY_RUN = TrainConfig(
    views_per_step=4,
    views_total=400,
    warmup_steps=5,
    view_counts=(4, 2, 1),
    precision='float32',
)
