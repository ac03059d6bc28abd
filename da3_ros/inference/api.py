"""The public Python API: images in, depth and cameras out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
import torch
from torch import Tensor, nn

from da3_ros.errors import PreprocessError
from da3_ros.inference.checkpoint import load_network, save_checkpoint
from da3_ros.inference.hub import HubOptions
from da3_ros.inference.pose_alignment import PoseAlignment, normalise_extrinsics
from da3_ros.inference.postprocess import Prediction, align_to_cameras, to_prediction
from da3_ros.inference.preprocess import ImageLike, ProcessedImages, preprocess
from da3_ros.inference.random_weights import random_network
from da3_ros.model.build import preset
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.outputs import NetworkOutput
from da3_ros.model.ray_pose import RaySampler

__all__ = ['DepthAnything3', 'PoseAlignment', 'Prediction', 'random_model']

DEFAULT_PROCESS_RES = 504
RANDOM_WEIGHTS = 'random weights'


class DepthAnything3(nn.Module):
    """Depth, confidence and cameras of any number of images.

    `from_pretrained` loads a checkpoint; the constructor alone gives seeded random weights, whose
    predictions mean nothing. Computes in float32.

    Source: Lin et al., "Depth Anything 3: Recovering the Visual Space from Any Views" (2025).
    """

    def __init__(
        self,
        model_name: str = 'da3-large',
        *,
        seed: int = 0,
        network: AnyViewNetwork | None = None,
    ) -> None:
        """Create a model.

        Args:
            model_name: Name of a preset, e.g. `da3-small`.
            seed: Seed of the random weights.
            network: A ready network to wrap instead; gives the name then.

        Raises:
            ModelError: There is no such preset.
        """
        super().__init__()
        self.weights = f'{RANDOM_WEIGHTS} (seed {seed})' if network is None else 'given network'
        self.model = random_network(preset(model_name), seed) if network is None else network
        self.model_name = self.model.config.name
        self.eval()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        map_location: str | torch.device = 'cpu',
    ) -> 'DepthAnything3':
        """Load a checkpoint from a folder, the hub's cache, the hub or a mirror.

        Args:
            source: Folder with `config.json` and `model.safetensors`, hub repository, or short
                name such as `da3-small`.
            revision: Branch, tag or commit of the repository.
            token: Access token of the hub.
            cache_dir: Cache folder; huggingface_hub's when None.
            local_files_only: Never use the network (as `HF_HUB_OFFLINE=1` does).
            force_download: Download even what is cached.
            map_location: Device of the result.

        Returns:
            The model in evaluation mode.

        Raises:
            CheckpointError: The checkpoint cannot be found or does not fit.
        """
        options = HubOptions(revision, token, cache_dir, local_files_only, force_download)
        model = cls(network=load_network(source, options))
        model.weights = str(source)
        return model.to(map_location)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors` into a folder."""
        save_checkpoint(self.model, folder)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    @property
    def is_random(self) -> bool:
        """Whether the weights are random, so that predictions mean nothing."""
        return self.weights.startswith(RANDOM_WEIGHTS)

    @torch.inference_mode()
    def forward(
        self,
        image: Tensor,
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
        export_feat_layers: Sequence[int] | None = None,
        use_ray_pose: bool = False,
        ref_view_strategy: str = 'saddle_balanced',
        ray_sampler: RaySampler | None = None,
    ) -> NetworkOutput:
        """Run the network on preprocessed images.

        Args:
            image: (B, N, 3, H, W) ImageNet-normalised, sides multiples of 14.
            extrinsics: (B, N, 4, 4) known camera_from_world, normalised as in
                `pose_alignment.normalise_extrinsics`; None if unknown.
            intrinsics: (B, N, 3, 3) known intrinsics in pixels of (H, W), with the extrinsics;
                unused without them.
            export_feat_layers: Blocks whose features are returned in `aux`.
            use_ray_pose: Take cameras from predicted rays instead of the camera decoder.
            ref_view_strategy: How the reference view is chosen when cameras are unknown.
            ray_sampler: Random choices of the ray fit; freshly seeded ones when None.

        Returns:
            Depth, confidence, cameras and features.

        Raises:
            ModelError: Shapes, strategy or layers do not fit.
        """
        output: NetworkOutput = self.model(
            image,
            extrinsics,
            intrinsics,
            export_layers=tuple(export_feat_layers or ()),
            use_ray_pose=use_ray_pose,
            strategy=ref_view_strategy,
            sampler=ray_sampler,
        )
        return output

    def inference(
        self,
        image: Sequence[ImageLike] | NDArray[np.uint8],
        extrinsics: ArrayLike | None = None,
        intrinsics: ArrayLike | None = None,
        align_to_input_ext_scale: bool = True,
        use_ray_pose: bool = False,
        ref_view_strategy: str = 'saddle_balanced',
        process_res: int = DEFAULT_PROCESS_RES,
        process_res_method: str = 'upper_bound_resize',
        export_feat_layers: Sequence[int] | None = None,
    ) -> Prediction:
        """Predict depth and cameras of images of one scene.

        Args:
            image: uint8 RGB arrays (H, W, 3), PIL images or paths; sizes may differ.
            extrinsics: (N, 4, 4) or (N, 3, 4) known camera_from_world, OpenCV axes, any unit;
                need intrinsics.
            intrinsics: (N, 3, 3) known intrinsics in pixels of the images as given, first pixel
                centre at (0.5, 0.5). Without extrinsics they are checked and otherwise unused.
            align_to_input_ext_scale: With known cameras, bring depth to their scale and return
                them; otherwise keep the network's scale and return the known cameras moved into
                its world (see `Prediction.extrinsics`).
            use_ray_pose: Take cameras from predicted rays instead of the camera decoder.
            ref_view_strategy: `saddle_balanced`, `saddle_sim_range`, `first` or `middle`.
            process_res: Length of the bounded image side for the network, in pixels.
            process_res_method: See `preprocess.RESIZE_METHODS`.
            export_feat_layers: Blocks whose features are returned in `aux`.

        Returns:
            The prediction, in the order of the images.

        Raises:
            PreprocessError: Images or cameras cannot be used; the message gives the index.
            ModelError: The strategy or a layer does not exist.
        """
        processed = preprocess(image, process_res, process_res_method)
        cameras = _given_cameras(processed, extrinsics, intrinsics)
        output: NetworkOutput = self(
            processed.pixels(self.device),
            *(self._network_cameras(*cameras) if cameras else (None, None)),
            export_feat_layers=export_feat_layers,
            use_ray_pose=use_ray_pose,
            ref_view_strategy=ref_view_strategy,
        )
        prediction = to_prediction(output, processed.images)
        if cameras is None:
            return prediction
        return align_to_cameras(prediction, *cameras, to_input_scale=align_to_input_ext_scale)

    def _network_cameras(
        self, extrinsics: NDArray[np.float32], intrinsics: NDArray[np.float32]
    ) -> tuple[Tensor, Tensor]:
        normalised = normalise_extrinsics(torch.from_numpy(extrinsics)[None])
        return normalised.to(self.device), torch.from_numpy(intrinsics)[None].to(self.device)


def random_model(name: str, seed: int = 0) -> DepthAnything3:
    """Return a model with seeded random weights, for runs without a checkpoint.

    Its `weights` say so; depth and cameras it predicts mean nothing.

    Args:
        name: Name of a preset.
        seed: Seed of the weights.
    """
    return DepthAnything3(name, seed=seed)


def _given_cameras(
    processed: ProcessedImages, extrinsics: ArrayLike | None, intrinsics: ArrayLike | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return known extrinsics (N, 4, 4) and intrinsics of the processed images (N, 3, 3)."""
    count = len(processed.placements)
    matrices = None
    if intrinsics is not None:
        given = _numbers('intrinsics', intrinsics, (count, 3, 3))
        if not (given[:, (0, 1), (0, 1)] > 0).all():
            index = int((given[:, (0, 1), (0, 1)] > 0).all(axis=1).argmin())
            raise PreprocessError(f'intrinsics of image {index}: focal lengths must be positive')
        pairs = zip(processed.placements, given, strict=True)
        matrices = np.stack([placement.matrix(K) for placement, K in pairs])
    if extrinsics is None:
        return None
    if matrices is None:
        raise PreprocessError('known extrinsics need known intrinsics, got none')
    poses = np.asarray(extrinsics)
    rows = 3 if poses.shape[-2:] == (3, 4) else 4
    poses = _numbers('extrinsics', poses, (count, rows, 4))
    full = np.broadcast_to(np.eye(4), (count, 4, 4)).copy()
    full[:, :rows] = poses
    return full.astype(np.float32), matrices


def _numbers(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PreprocessError(f'{name}: expected numbers of shape {shape}: {error}') from error
    if array.shape != shape:
        raise PreprocessError(f'{name}: expected shape {shape}, got {array.shape}')
    if not np.isfinite(array).all():
        index = int(np.argwhere(~np.isfinite(array))[0][0])
        raise PreprocessError(f'{name} of image {index}: expected finite numbers')
    return array
