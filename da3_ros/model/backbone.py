"""The transformer under its name in the checkpoints, with its input checked."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from da3_ros.errors import ModelError
from da3_ros.model.chunks import VIEW_CHUNK
from da3_ros.model.config import BackboneConfig
from da3_ros.model.outputs import EncodedViews, FusedViews, RoleTokens
from da3_ros.model.patch_embed import patch_grid
from da3_ros.model.vit import VisionTransformer


class Backbone(nn.Module):
    """Holder that gives the transformer its name, `backbone.pretrained`."""

    def __init__(self, config: BackboneConfig) -> None:
        """Create the transformer."""
        super().__init__()
        self.config = config
        self.pretrained = VisionTransformer(config)

    def encode(
        self, images: Tensor, export_layers: Collection[int] = (), chunk: int = VIEW_CHUNK
    ) -> EncodedViews:
        """Run the blocks that see one view only.

        Args:
            images: (B, V, 3, H, W) ImageNet-normalised, sides multiples of 14.
            export_layers: Blocks whose tokens are kept.
            chunk: Views computed at once.

        Returns:
            Encoded views.

        Raises:
            ModelError: The images have the wrong shape or a layer does not exist.
        """
        if images.ndim != 5 or min(images.shape[:2]) < 1 or images.shape[2] != 3:
            raise ModelError(
                f'images must have shape (B, V, 3, H, W) with B, V >= 1, got {tuple(images.shape)}'
            )
        self.config.require_layers(export_layers)
        try:
            return self.pretrained.encode(images, export_layers, chunk)
        except ValueError as error:
            raise ModelError(str(error)) from error

    def fuse(
        self,
        views: EncodedViews,
        camera_tokens: Tensor | None,
        strategy: str,
        export_layers: Collection[int],
        wanted: Sequence[int] | None = None,
        roles: RoleTokens | None = None,
    ) -> FusedViews:
        """Run the blocks that see all views; arguments as in `VisionTransformer.fuse`.

        Raises:
            ModelError: The strategy or a layer does not exist.
        """
        self.config.require_layers(export_layers)
        try:
            return self.pretrained.fuse(
                views, camera_tokens, strategy, export_layers, wanted, roles
            )
        except ValueError as error:
            raise ModelError(str(error)) from error

    def features(self, tokens: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Return tokens (B, V, 1 + h * w, C) of a block as normalised maps (B, V, h, w, C)."""
        return torch.unflatten(self.pretrained.norm(tokens)[:, :, 1:], 2, patch_grid(image_size))
