"""The single-view network: depth and sky of each view alone."""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from da3_ros.model.backbone import Backbone
from da3_ros.model.chunks import VIEW_CHUNK, chunks_of
from da3_ros.model.config import PATCH_SIZE, SingleViewConfig
from da3_ros.model.forward import DEFAULT_FORWARD, ForwardOptions, require_gaussians
from da3_ros.model.heads import SingleViewDpt, SkyMaps
from da3_ros.model.notes_of_input import NO_RAYS, UNUSED_CAMERAS
from da3_ros.model.outputs import EncodedViews, NetworkOutput, feature_name
from da3_ros.model.patch_embed import patch_grid
from da3_ros.model.sky import fill_sky
from da3_ros.notes import Note


class SingleViewNetwork(nn.Module):
    """Depth and sky score of every view, without cameras.

    Views of a scene share only the depth that is filled in where there is sky. Depth is relative,
    or metres at a canonical focal length (`SingleViewConfig.canonical_focal_px`).

    Source: Lin et al., "Depth Anything 3: Recovering the Visual Space from Any Views" (2025),
    section 4 (teacher and metric models). Behaviour matched to the upstream implementation in
    float32.
    """

    def __init__(self, config: SingleViewConfig) -> None:
        """Create the modules; see `build.build_network` for building without memory."""
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone)
        self.head = SingleViewDpt(config.backbone.feature_dim, config.head)

    @property
    def any_view(self) -> None:
        """The part that sees all views: none."""
        return None

    @property
    def single_view(self) -> 'SingleViewNetwork':
        """The part that sees each view alone: the network itself."""
        return self

    def forward(
        self,
        images: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
        options: ForwardOptions = DEFAULT_FORWARD,
    ) -> NetworkOutput:
        """Predict depth and sky.

        Args:
            images: (B, V, 3, H, W) ImageNet-normalised, sides multiples of 14.
            extrinsics: Known cameras serve nothing here, as the notes say.
            intrinsics: Nor do these, of which the notes say nothing: metres may come of them.
            options: What else is wanted.

        Returns:
            Depth with the sky filled in, sky score and features; no cameras.

        Raises:
            ModelError: The images have the wrong shape, a layer does not exist, or Gaussians are
                wanted.
        """
        del intrinsics
        require_gaussians(self.config, options)
        B, V = images.shape[:2]
        parts = []
        features: dict[int, list[Tensor]] = {layer: [] for layer in options.export_layers}
        # As scenes of one view each; without any view the first call says what is wrong.
        views = images.flatten(0, 1)[:, None] if images.ndim == 5 and V else images
        patches = images.shape[-2] * images.shape[-1] // PATCH_SIZE**2
        for rows in chunks_of(max(len(views), 1), options.chunk, patches, images.device):
            encoded = self.encode(views[rows], options.export_layers)
            parts.append(self.decode(encoded))
            for layer, found in features.items():
                tokens = encoded.exported[layer]
                found.append(self.backbone.features(tokens, encoded.image_size)[:, 0])

        def join(maps: list[Tensor]) -> Tensor:
            return torch.unflatten(torch.cat(maps), 0, (B, V))

        sky = join([part.sky for part in parts])
        return NetworkOutput(
            depth=fill_sky(join([part.depth for part in parts]), sky, options.pixel_sampler),
            depth_conf=None,
            sky=sky,
            extrinsics=None,
            intrinsics=None,
            aux={feature_name(layer): join(found) for layer, found in features.items()},
            notes=_unused(extrinsics, options),
        )

    def encode(
        self, images: Tensor, export_layers: Collection[int] = (), chunk: int = VIEW_CHUNK
    ) -> EncodedViews:
        """Run the transformer on images (B, V, 3, H, W), `chunk` views at once."""
        return self.backbone.encode(images, export_layers, chunk)

    def decode(self, encoded: EncodedViews) -> SkyMaps:
        """Return depth, before sky is filled in, and sky score of B * V views."""
        norm = self.backbone.pretrained.norm
        levels = [norm(level.flatten(0, 1)[:, 1:]) for level in encoded.levels]
        maps: SkyMaps = self.head(levels, patch_grid(encoded.image_size), encoded.image_size)
        return maps


def _unused(extrinsics: Tensor | None, options: ForwardOptions) -> tuple[Note, ...]:
    """Return notes on what was given and has no effect."""
    notes = () if extrinsics is None else (UNUSED_CAMERAS,)
    return (*notes, NO_RAYS) if options.use_ray_pose else notes
