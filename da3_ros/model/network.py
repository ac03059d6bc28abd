"""The any-view network: three stages and their composition."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from da3_ros.errors import ModelError
from da3_ros.model.backbone import Backbone
from da3_ros.model.camera_decoder import CameraDecoder
from da3_ros.model.camera_encoder import CameraEncoder
from da3_ros.model.chunks import VIEW_CHUNK, chunks_of
from da3_ros.model.config import AnyViewConfig
from da3_ros.model.forward import DEFAULT_FORWARD, ForwardOptions, require_gaussians
from da3_ros.model.gaussian_adapter import (
    join_gaussians,
    place_gaussians,
    scale_to_given_cameras,
)
from da3_ros.model.gaussian_head import GaussianHead
from da3_ros.model.heads import DenseMaps, DualDpt, RayMaps
from da3_ros.model.notes_of_input import (
    PREDICTED_INTRINSICS,
    UNENCODED_CAMERAS,
    UNUSED_INTRINSICS,
)
from da3_ros.model.outputs import (
    EncodedViews,
    FusedViews,
    Gaussians,
    NetworkOutput,
    RoleTokens,
    feature_name,
)
from da3_ros.model.patch_embed import patch_grid
from da3_ros.model.pose_encoding import decode_cameras, invert_rigid
from da3_ros.model.ray_pose import RaySampler, cameras_from_rays
from da3_ros.notes import Note
from da3_ros.options.network import NETWORK

Rows = Sequence[tuple[int, int]]
"""Scene and view of each map that is decoded; the view by its place among those wanted."""


class AnyViewNetwork(nn.Module):
    """Depth, confidence, cameras and, where the network has them, Gaussians of any views.

    `forward` is `decode(fuse(encode(images)))`. The stages can be called apart: `encode` sees one
    view at a time, so its result may be kept while a view stays in overlapping windows; `decode`
    runs the dense head only for the views asked for.

    Source: Lin et al., "Depth Anything 3: Recovering the Visual Space from Any Views" (2025),
    section 3. Behaviour matched to the upstream implementation in float32.
    """

    def __init__(self, config: AnyViewConfig) -> None:
        """Create the modules; see `build.build_network` for building without memory."""
        super().__init__()
        self.config = config
        backbone = config.backbone
        self.backbone = Backbone(backbone)
        self.head = DualDpt(backbone.feature_dim, config.head)
        if config.camera is not None:
            self.cam_enc = CameraEncoder(backbone.embed_dim, config.camera)
            self.cam_dec = CameraDecoder(backbone.feature_dim)
        if config.gaussian is not None:
            self.gs_head = GaussianHead(backbone.feature_dim, config.gaussian)

    @property
    def any_view(self) -> 'AnyViewNetwork':
        """The part that sees all views: the network itself."""
        return self

    @property
    def single_view(self) -> None:
        """The part that sees each view alone: none."""
        return None

    def forward(
        self,
        images: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
        options: ForwardOptions = DEFAULT_FORWARD,
    ) -> NetworkOutput:
        """Run all stages.

        Args:
            images: (B, V, 3, H, W) ImageNet-normalised, sides multiples of 14.
            extrinsics: (B, V, 4, 4) known camera_from_world; None if unknown.
            intrinsics: (B, V, 3, 3) known intrinsics in pixels. Unused without extrinsics;
                predicted first when only the extrinsics are known. A network without camera
                encoder uses neither.
            options: What else is wanted.

        Returns:
            Everything asked for.

        Raises:
            ModelError: Shapes, strategy or layers do not fit, or there is no Gaussian head.
        """
        require_gaussians(self.config, options)
        layers, strategy, chunk = options.export_layers, options.ref_view_strategy, options.chunk
        encoded = self.encode(images, layers, chunk)
        known, notes = self._known_cameras(encoded, extrinsics, intrinsics, strategy)
        fused = self.fuse(encoded, *known, strategy=strategy, export_layers=layers)
        # The heads do not need it, and it is as large as one of their eight inputs.
        del encoded
        output = self.decode(
            fused, use_ray_pose=options.use_ray_pose, sampler=options.ray_sampler, chunk=chunk
        )
        aux = {name: output.aux[name] for name in map(feature_name, layers)}
        gaussians = gaussian_scale = None
        if options.infer_gs:
            gaussians, gaussian_scale = self.gaussians(
                fused, images, output, extrinsics, chunk=chunk
            )
        return replace(
            output, aux=aux, gaussians=gaussians, gaussian_scale=gaussian_scale, notes=notes
        )

    def encode(
        self, images: Tensor, export_layers: Collection[int] = (), chunk: int = VIEW_CHUNK
    ) -> EncodedViews:
        """Encode every view alone.

        Args:
            images: (B, V, 3, H, W) ImageNet-normalised, sides multiples of 14.
            export_layers: 0-based blocks whose features are wanted.
            chunk: Views computed at once.

        Returns:
            Encoded views; any views of equal size may be concatenated along V.

        Raises:
            ModelError: The images have the wrong shape or a layer does not exist.
        """
        return self.backbone.encode(images, export_layers, chunk)

    def fuse(
        self,
        views: EncodedViews,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
        *,
        strategy: str = NETWORK.ref_view_strategy,
        export_layers: Collection[int] = (),
        wanted: Sequence[int] | None = None,
        roles: RoleTokens | None = None,
    ) -> FusedViews:
        """Let the views of a window see one another.

        Args:
            views: Encoded views.
            extrinsics: (B, V, 4, 4) known camera_from_world; None if unknown. Known cameras
                replace the choice of a reference view.
            intrinsics: (B, V, 3, 3) known intrinsics in pixels, with the extrinsics.
            strategy: How the reference view is chosen among three views or more.
            export_layers: 0-based blocks whose features are wanted.
            wanted: Views that are decoded later, ascending; all when None. The cameras are of all
                views in any case.
            roles: The views in their roles, see `VisionTransformer.in_role`, where cameras are
                not known.

        Returns:
            Fused views.

        Raises:
            ModelError: Only one of extrinsics and intrinsics is given, the strategy or a layer
                does not exist, or the shapes do not fit the views.
        """
        camera_tokens = None
        if extrinsics is not None:
            camera_tokens = self._camera_tokens(views, extrinsics, intrinsics)
        return self.backbone.fuse(views, camera_tokens, strategy, export_layers, wanted, roles)

    def decode(
        self,
        fused: FusedViews,
        views: Sequence[int] | None = None,
        *,
        use_ray_pose: bool = NETWORK.use_ray_pose,
        sampler: RaySampler | None = None,
        chunk: int = VIEW_CHUNK,
    ) -> NetworkOutput:
        """Decode maps of chosen views and the cameras of all views.

        Args:
            fused: Fused views.
            views: Indices of the views whose maps are wanted; None for all that were fused for it.
            use_ray_pose: Take the cameras from predicted rays instead of the camera decoder;
                slower, because the ray branch then runs for all views.
            sampler: Random choices of the ray fit; freshly seeded ones when None.
            chunk: Views decoded at once.

        Returns:
            Maps, cameras and exported features; no cameras without rays when the network has no
            camera decoder.
        """
        extrinsics = intrinsics = None
        if use_ray_pose:
            dense = self.dense_maps(fused, with_rays=True, chunk=chunk)
            assert dense.rays is not None
            extrinsics, intrinsics = cameras_from_rays(
                dense.rays.rays, dense.rays.confidence, fused.image_size, sampler
            )
            if views is not None:
                dense = DenseMaps(dense.depth[:, views], dense.confidence[:, views], None)
        else:
            if self.config.camera is not None:
                encoding = self.pose_encoding(fused)
                extrinsics, intrinsics = decode_cameras(encoding, fused.image_size)
            dense = self.dense_maps(fused, views, chunk=chunk)
        return NetworkOutput(
            depth=dense.depth,
            depth_conf=dense.confidence,
            sky=None,
            extrinsics=extrinsics,
            intrinsics=intrinsics,
            aux={
                feature_name(index): self.backbone.features(tokens, fused.image_size)
                for index, tokens in sorted(fused.exported.items())
            },
        )

    def pose_encoding(self, fused: FusedViews) -> Tensor:
        """Return the predicted camera encodings (B, V, 9), see `pose_encoding`."""
        encoding: Tensor = self.cam_dec(fused.cameras)
        return encoding

    def dense_maps(
        self,
        fused: FusedViews,
        views: Sequence[int] | None = None,
        *,
        with_rays: bool = False,
        chunk: int = VIEW_CHUNK,
    ) -> DenseMaps:
        """Run the dense head.

        Args:
            fused: Fused views.
            views: Indices of the views wanted, of those that were fused for it; None for all
                of these.
            with_rays: Compute the ray branch too.
            chunk: Views decoded at once.

        Returns:
            Maps with shapes (B, N, ...), N wanted views; no rays where N is 0.
        """
        B = len(fused.cameras)
        wanted = fused.wanted if views is None else views
        if not wanted:
            none = fused.cameras.new_empty(B, 0, *fused.image_size)
            return DenseMaps(none, none, None)
        places = [fused.wanted.index(view) for view in wanted]
        rows = [(scene, place) for scene in range(B) for place in places]
        parts = [
            self._decode_rows(fused, rows[some], with_rays)
            for some in self._chunks(fused, len(rows), chunk)
        ]

        def join(maps: list[Tensor]) -> Tensor:
            return torch.unflatten(torch.cat(maps), 0, (B, len(wanted)))

        rays = [part.rays for part in parts if part.rays is not None]
        return DenseMaps(
            depth=join([part.depth for part in parts]),
            confidence=join([part.confidence for part in parts]),
            rays=RayMaps(
                rays=join([part.rays for part in rays]),
                confidence=join([part.confidence for part in rays]),
            )
            if rays
            else None,
        )

    def gaussians(
        self,
        fused: FusedViews,
        images: Tensor,
        output: NetworkOutput,
        given_extrinsics: Tensor | None = None,
        *,
        chunk: int = VIEW_CHUNK,
    ) -> tuple[Gaussians, Tensor]:
        """Turn all views into Gaussians.

        Args:
            fused: Fused views.
            images: (B, V, 3, H, W) the network's input.
            output: Result of `decode` for all views.
            given_extrinsics: (B, V, 4, 4) known camera_from_world, if there are any: lengths are
                then brought to their scale, within a factor of three.
            chunk: Views decoded at once.

        Returns:
            The Gaussians in the world of the predicted cameras, and how long a unit of depth is
            among them (B,), one without known cameras.
        """
        config = self.config.gaussian
        assert config is not None
        assert output.extrinsics is not None
        assert output.intrinsics is not None
        B, V = images.shape[:2]
        scale = scale_to_given_cameras(output.extrinsics, given_extrinsics)
        poses = invert_rigid(output.extrinsics)
        grid = patch_grid(fused.image_size)
        rows = [(scene, view) for scene in range(B) for view in range(V)]
        parts = []
        for some in self._chunks(fused, len(rows), chunk):
            chosen = rows[some]
            levels = self._levels(fused, chosen)
            raw = self.gs_head(levels, _taken(images, chosen), grid, fused.image_size)
            parts.append(
                place_gaussians(
                    raw,
                    _taken(output.depth, chosen),
                    _taken(poses, chosen),
                    _taken(output.intrinsics, chosen),
                    config,
                    _taken(scale[:, None].expand(B, V), chosen),
                )
            )
        return join_gaussians(parts, B), scale

    def _decode_rows(self, fused: FusedViews, rows: Rows, with_rays: bool) -> DenseMaps:
        maps: DenseMaps = self.head(
            self._levels(fused, rows),
            patch_grid(fused.image_size),
            fused.image_size,
            with_rays=with_rays,
        )
        return maps

    def _chunks(self, fused: FusedViews, count: int, chunk: int) -> Iterator[slice]:
        h, w = patch_grid(fused.image_size)
        return chunks_of(count, chunk, h * w, fused.levels[0].within_view.device)

    def _levels(self, fused: FusedViews, rows: Rows) -> list[Tensor]:
        """Return the features of views as the dense heads want them, (N, h * w, 2 C) each."""
        norm = self.backbone.pretrained.norm
        levels = []
        for level in fused.levels:
            # Token 0 is the camera's; only the cross-view half is normalised here.
            within = _taken(level.within_view, rows)[:, 1:]
            across = norm(_taken(level.across_views, rows)[:, 1:])
            levels.append(torch.cat((within, across), dim=-1))
        return levels

    def _known_cameras(
        self,
        encoded: EncodedViews,
        extrinsics: Tensor | None,
        intrinsics: Tensor | None,
        strategy: str,
    ) -> tuple[tuple[Tensor | None, Tensor | None], tuple[Note, ...]]:
        """Return the cameras that go in, and what to know of it."""
        if extrinsics is None:
            return (None, None), () if intrinsics is None else (UNUSED_INTRINSICS,)
        if self.config.camera is None:
            return (None, None), (UNENCODED_CAMERAS,)
        if intrinsics is not None:
            return (extrinsics, intrinsics), ()
        # Only the cameras of this first pass are needed, so no dense head runs in it.
        first = self.pose_encoding(self.fuse(encoded, strategy=strategy, wanted=()))
        _, intrinsics = decode_cameras(first, encoded.image_size)
        return (extrinsics, intrinsics), (PREDICTED_INTRINSICS,)

    def _camera_tokens(
        self, views: EncodedViews, extrinsics: Tensor, intrinsics: Tensor | None
    ) -> Tensor:
        if intrinsics is None:
            raise ModelError('known extrinsics need known intrinsics, got none')
        B, V = views.tokens.shape[:2]
        if extrinsics.shape != (B, V, 4, 4) or intrinsics.shape != (B, V, 3, 3):
            raise ModelError(
                f'cameras must have shapes {(B, V, 4, 4)} and {(B, V, 3, 3)}, '
                f'got {tuple(extrinsics.shape)} and {tuple(intrinsics.shape)}'
            )
        tokens: Tensor = self.cam_enc(extrinsics, intrinsics, views.image_size)
        return tokens


def _taken(x: Tensor, rows: Rows) -> Tensor:
    """Return rows of x (B, V, ...) as (N, ...), in memory of x where they follow one another.

    Indexed one by one and not by a list: on CUDA that is copied to the device, and the host waits
    until everything before is done.
    """
    V = x.shape[1]
    places = [scene * V + range(V)[view] for scene, view in rows]
    flat = x.flatten(0, 1)
    if places == list(range(places[0], places[0] + len(places))):
        return flat[places[0] : places[0] + len(places)]
    return torch.stack([flat[place] for place in places])
