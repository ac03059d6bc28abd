"""How large a described network is, before anything of it is built."""

from da3_ros.errors import CheckpointError
from da3_ros.model.config import BackboneConfig, NetworkConfig, PyramidConfig

MAX_PARAMETERS = 4_000_000_000
"""Three times those of the largest upstream network."""
MAX_BLOCKS = 1000
"""Of a transformer: blocks cost time even where they are narrow."""
MAX_SIDE_PX = 1 << 16
"""Of the images that a network was trained for."""

_BLOCK_MATRICES = 12
"""Parameters of a transformer block in squares of its width: 4 of attention, 8 behind it."""
_DECODER_MATRICES = 4
_RESIDUAL_MATRICES = 160
"""Parameters of the fusion in squares of its width: 16 convolutions of 3 x 3, and the last."""


def check_size(config: NetworkConfig) -> None:
    """Refuse a network that is larger than any that could be used.

    Raises:
        CheckpointError: It has too many blocks or parameters, or too large images.
    """
    blocks = max((part.depth for part in _backbones(config)), default=0)
    if config.any_view is not None and config.any_view.camera is not None:
        blocks = max(blocks, config.any_view.camera.trunk_depth)
    if blocks > MAX_BLOCKS:
        raise CheckpointError(f'expected at most {MAX_BLOCKS} blocks, got {blocks}')
    count = estimated_parameters(config)
    if count > MAX_PARAMETERS:
        raise CheckpointError(
            f'expected at most {MAX_PARAMETERS} parameters, got some {count:.3g}'
        )
    if config.process_res > MAX_SIDE_PX:
        raise CheckpointError(
            f'process_res: expected at most {MAX_SIDE_PX}, got {config.process_res}'
        )


def estimated_parameters(config: NetworkConfig) -> int:
    """Return about how many parameters a network has, from its widths alone."""
    total = 0
    any_view, single_view = config.any_view, config.single_view
    if any_view is not None:
        width = any_view.backbone.embed_dim
        total += _backbone(any_view.backbone)
        total += 2 * _pyramid(any_view.head, any_view.backbone)
        if any_view.camera is not None:
            total += any_view.camera.trunk_depth * _BLOCK_MATRICES * width**2
            total += _DECODER_MATRICES * any_view.backbone.feature_dim**2
        if any_view.gaussian is not None:
            total += _pyramid(any_view.gaussian.pyramid, any_view.backbone)
    if single_view is not None:
        total += _backbone(single_view.backbone)
        total += _pyramid(single_view.head, single_view.backbone)
    return total


def _backbones(config: NetworkConfig) -> list[BackboneConfig]:
    parts = (config.any_view, config.single_view)
    return [part.backbone for part in parts if part is not None]


def _backbone(backbone: BackboneConfig) -> int:
    return backbone.depth * _BLOCK_MATRICES * backbone.embed_dim**2


def _pyramid(head: PyramidConfig, backbone: BackboneConfig) -> int:
    first, second, _, last = head.out_channels
    channels = sum(head.out_channels)
    resized = 16 * first**2 + 4 * second**2 + 9 * last**2
    fused = 9 * channels * head.features + _RESIDUAL_MATRICES * head.features**2
    return backbone.feature_dim * channels + resized + fused
