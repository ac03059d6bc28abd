"""The public Python API: images in, depth and cameras out."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
import torch

from da3_ros.inference.checkpoint import load_network, load_weights, save_checkpoint
from da3_ros.inference.forward_pass import Answer, ForwardPass
from da3_ros.inference.given_cameras import GivenCameras
from da3_ros.inference.hub import HubOptions
from da3_ros.inference.network_file import read_network_config
from da3_ros.inference.other_runtime import OtherRuntime
from da3_ros.inference.pose_alignment import PoseAlignment
from da3_ros.inference.postprocess import to_prediction
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.prediction_export import export_plan
from da3_ros.inference.preprocess import ImageLike, ProcessedImages
from da3_ros.inference.random_weights import is_marked_random, random_network
from da3_ros.inference.runner import NetworkRunner, existing_device
from da3_ros.inference.scene_inference import ScenePredictor
from da3_ros.inference.scene_request import SceneRequest
from da3_ros.inference.upstream_arguments import attention_kernel
from da3_ros.inference.window_pass import by_windows
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.build import Network, build_network
from da3_ros.model.capabilities import Capabilities
from da3_ros.model.chunks import VIEW_CHUNK
from da3_ros.model.config import NetworkConfig
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.outputs import NetworkOutput
from da3_ros.model.presets import preset, random_caution
from da3_ros.options.choices import AttentionKind, DepthSize, Precision, Rounding, Runtime
from da3_ros.types import Caution

__all__ = ['DepthAnything3', 'PoseAlignment', 'Prediction']

RANDOM_WEIGHTS = 'random weights'


class DepthAnything3(NetworkRunner, ScenePredictor):
    """Depth, confidence, cameras, sky and Gaussians of any number of images.

    What a model gives depends on its network, see `capabilities`. `from_pretrained` loads a
    checkpoint; the constructor alone gives seeded random weights, whose predictions mean nothing.
    Computes in float32 on a CPU; on CUDA the backbone computes in 16 bits unless `precision` is
    `fp32`, see `model.arithmetic.Arithmetic`, and float32 is never TF32 unless asked for.

    Source: Lin et al., "Depth Anything 3: Recovering the Visual Space from Any Views" (2025).
    """

    def __init__(
        self,
        model_name: str = 'da3-large',
        *,
        seed: int = 0,
        network: Network | None = None,
        precision: Precision = 'auto',
        rounding: Rounding = 'exact',
        attention: AttentionKind = 'auto',
        tf32: bool = False,
        view_chunk: int = VIEW_CHUNK,
        runtime: Runtime = 'auto',
    ) -> None:
        """Create a model.

        Args:
            model_name: Name of a preset, e.g. `da3-small` or `da3-large-1.1`.
            seed: Seed of the random weights.
            network: A ready network to wrap instead; gives the name then.
            precision: Format of the backbone's matrices: `fp32`, `bf16`, `fp16` (GPU only) or
                `auto`, see `Arithmetic`.
            rounding: `exact`, or `reference` for what the upstream code rounds on CUDA.
            attention: Kernel of attention: `auto`, `sdpa` or `xformers`.
            tf32: Allow TF32 in float32 products on CUDA.
            view_chunk: Views computed at once outside the cross-view blocks.
            runtime: What computes `inference`: `auto`, `torch`, `openvino` or `onnxruntime`, see
                `other_runtime.OtherRuntime`. `forward` is always torch.

        Raises:
            ModelError: There is no such preset, or the device or the installation cannot do what
                is asked.
        """
        arithmetic = Arithmetic(precision, rounding, attention, tf32)
        is_random = network is None or is_marked_random(network)
        weights = f'{RANDOM_WEIGHTS} (seed {seed})' if is_random else 'given network'
        if network is None:
            network = random_network(preset(model_name), seed)
        super().__init__(network, arithmetic, view_chunk)
        self.weights = weights
        self._other_runtime = OtherRuntime(runtime)
        network.register_load_state_dict_post_hook(self._take_state)  # type: ignore[no-untyped-call]

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
        precision: Precision = 'auto',
        rounding: Rounding = 'exact',
        attention: AttentionKind = 'auto',
        tf32: bool = False,
        view_chunk: int = VIEW_CHUNK,
        use_xformers: bool | None = None,
        runtime: Runtime = 'auto',
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
            map_location: Device of the result; tensors go there one by one.
            precision: As the next four, see the constructor.
            rounding: See there.
            attention: See there.
            tf32: See there.
            view_chunk: See there.
            use_xformers: Of official examples: `attention` sdpa when False, xformers when True
                and installed. Counts where `attention` is `auto`.
            runtime: See the constructor.

        Returns:
            The model in evaluation mode.

        Raises:
            CheckpointError: The checkpoint cannot be found or does not fit.
            ModelError: There is no such device, or it or the installation cannot do what is
                asked.
        """
        device = existing_device(map_location)
        attention = attention_kernel(attention, use_xformers)
        arithmetic = Arithmetic(precision, rounding, attention, tf32)
        options = HubOptions(revision, token, cache_dir, local_files_only, force_download)
        network = load_network(source, options, device=device, arithmetic=arithmetic)
        model = cls(
            network=network,
            precision=precision,
            rounding=rounding,
            attention=attention,
            tf32=tf32,
            view_chunk=view_chunk,
        )
        model.weights = f'{RANDOM_WEIGHTS} ({source})' if model.is_random else str(source)
        model._other_runtime = OtherRuntime(runtime, source, options)
        model._other_runtime.watch(model)
        return model

    @classmethod
    def from_config(
        cls,
        config: NetworkConfig | str | Path,
        *,
        weights: str | Path | None = None,
        seed: int = 0,
    ) -> 'DepthAnything3':
        """Build a network of one's own.

        Args:
            config: Configuration, or a YAML or JSON file that holds one, see
                `network_file.read_network_config`.
            weights: Safetensors file; seeded random weights when None.
            seed: Seed of the random weights.

        Returns:
            The model on the CPU in evaluation mode.

        Raises:
            CheckpointError: The file cannot be read or names what is not known, or the weights
                do not fit.
            ModelError: The configuration contradicts itself.
        """
        if isinstance(config, (str, Path)):
            config = read_network_config(Path(config))
        if weights is None:
            model = cls(network=random_network(config, seed))
            model.weights = f'{RANDOM_WEIGHTS} (seed {seed})'
            return model
        network = build_network(config)
        load_weights(network, Path(weights))
        model = cls(network=network)
        model.weights = f'{RANDOM_WEIGHTS} ({weights})' if model.is_random else str(weights)
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors` into a folder.

        Random weights are loaded as such again.
        """
        save_checkpoint(self.model, folder, is_random=self.is_random)

    @property
    def network_config(self) -> NetworkConfig:
        """Configuration of the network."""
        return self.model.config

    @property
    def is_random(self) -> bool:
        """Whether the weights are random, so that predictions mean nothing."""
        return self.weights.startswith(RANDOM_WEIGHTS)

    @property
    def abilities(self) -> Capabilities:
        """The former name of `capabilities`, for one release."""
        warnings.warn(
            'DepthAnything3.abilities is now capabilities', DeprecationWarning, stacklevel=2
        )
        return self.capabilities

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on predictions; None for most."""
        return random_caution(self.model_name) if self.is_random else super().caution

    def _take_state(self, network: torch.nn.Module, keys: Any) -> None:
        """Weights that somebody loads are random no more, unless some stay so."""
        del network
        if self.is_random and not keys.missing_keys:
            self.weights = 'given state'

    def inference(
        self,
        image: Sequence[ImageLike] | NDArray[np.uint8],
        extrinsics: ArrayLike | None = None,
        intrinsics: ArrayLike | None = None,
        align_to_input_ext_scale: bool = True,
        infer_gs: bool = False,
        use_ray_pose: bool = False,
        ref_view_strategy: str = 'saddle_balanced',
        render_exts: ArrayLike | None = None,
        render_ixts: ArrayLike | None = None,
        render_hw: tuple[int, int] | None = None,
        process_res: int | None = None,
        process_res_method: str = 'upper_bound_resize',
        export_dir: str | PathLike[str] | None = None,
        export_format: str = 'mini_npz',
        export_feat_layers: Sequence[int] | None = None,
        conf_thresh_percentile: float = 40.0,
        num_max_points: int = 1_000_000,
        show_cameras: bool = True,
        feat_vis_fps: int = 15,
        export_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        overwrite: bool = True,
        to_metric: bool = False,
        allow_smaller: bool = False,
        depth_size: DepthSize = 'network',
        conf_thr: float | None = None,
    ) -> Prediction:
        """Predict depth and cameras of images of one scene.

        Known cameras never make it fail; `Prediction.notes` and `Prediction.alignment` say what
        was done; notes end with the network's `caution`, which is logged at the first call only.
        Parallax tells the scale of two views and of cameras on a line. With extrinsics alone the
        network first predicts the intrinsics; intrinsics alone only serve `to_metric`; a network
        that sees each image alone passes cameras through.

        Args:
            image: uint8 RGB arrays (H, W, 3), PIL images or paths; sizes may differ.
            extrinsics: (N, 4, 4) or (N, 3, 4) known camera_from_world, OpenCV axes, any unit.
            intrinsics: (N, 3, 3) known intrinsics in pixels of the images as given, first pixel
                centre at (0.5, 0.5).
            align_to_input_ext_scale: With known cameras, bring depth to their scale and return
                them; otherwise keep the network's scale and return the known cameras moved into
                its world (see `Prediction.extrinsics`).
            infer_gs: Predict Gaussians, in the world and the unit of the result's cameras.
            use_ray_pose: Take cameras from predicted rays instead of the camera decoder.
            ref_view_strategy: `saddle_balanced`, `saddle_sim_range`, `first` or `middle`.
            render_exts: (M, 4, 4) or (M, 3, 4) camera_from_world of the cameras of `gs_video`, in
                the world of the result's cameras; the path through those when None.
            render_ixts: (M, 3, 3) their intrinsics in pixels of `render_hw`, first pixel centre at
                (0.5, 0.5); with `render_exts`, or not at all.
            render_hw: Height and width of the pictures of `gs_video`; those of the processed
                images when None.
            process_res: Length of the bounded image side for the network, in pixels; that which
                the model was trained for when None: 504 for all upstream ones.
            process_res_method: See `options.RESIZE_METHODS`.
            export_dir: Folder to export to; nothing is written when None.
            export_format: Formats joined by '-', see `export.registry.FORMATS`.
            export_feat_layers: Blocks whose features are returned in `aux`, for `feat_vis`.
            conf_thresh_percentile: Of all known confidence; points below are not exported.
            num_max_points: Points that a file has at most.
            show_cameras: Whether frustums stand in the GLB.
            feat_vis_fps: Pictures per second of the videos of `feat_vis`.
            export_kwargs: Format to options of its own, see `prediction_export`.
            overwrite: Whether files of an earlier export may be replaced, each by an atomic
                rename; nothing else in the folder is touched. If not, files that are there are
                refused before anything is computed.
            to_metric: Turn the output of da3metric-large into metres; needs intrinsics. The
                nested network's output is in metres anyway.
            allow_smaller: When memory runs out, try again with smaller chunks of views, and when
                that does not help either, with smaller images; `notes` says so.
            depth_size: Size of the result's arrays and `intrinsics`: `network`, or `input` for
                that of the images, see `input_size.at_input_size`.
            conf_thr: Least confidence of points; where there is less, `conf` becomes NaN.

        Returns:
            The prediction, in the order of the images.

        Raises:
            PreprocessError: Images or cameras cannot be used; the message gives the index.
            ModelError: The strategy or a layer does not exist, or the network has no Gaussians or
                no metres.
            MemoryExceededError: Memory ran out; tells how much was needed and available.
            ExportError: Format, options or folder of the export are wrong, said before anything
                is computed; or writing fails, then the error's `prediction` is the result.
        """
        options = ForwardOptions(
            tuple(export_feat_layers or ()), infer_gs, use_ray_pose, ref_view_strategy
        )
        plan = export_plan(
            export_dir,
            export_format,
            overwrite=overwrite,
            conf_thresh_percentile=conf_thresh_percentile,
            num_max_points=num_max_points,
            show_cameras=show_cameras,
            feat_vis_fps=feat_vis_fps,
            render_exts=render_exts,
            render_ixts=render_ixts,
            render_hw=render_hw,
            export_kwargs=export_kwargs,
        )
        asked = (image, extrinsics, intrinsics, options, align_to_input_ext_scale)
        resize = (process_res, process_res_method)
        return self.predict(
            SceneRequest(*asked, *resize, to_metric, allow_smaller, depth_size, conf_thr, plan)
        )

    def _forward_pass(self, request: SceneRequest) -> ForwardPass:
        """Return what computes a scene: torch, or another runtime as `runtime` says."""
        return self._other_runtime.forward_pass(
            self, request, self._by_torch(request), self.save_pretrained
        )

    def computes_by(self) -> dict[str, str]:
        """Return what computes scenes; `runtime` is `torch` until another one was opened."""
        dtype = str(self.dtype).removeprefix('torch.')
        return {'device': str(self.device), 'runtime': self._other_runtime.opened, 'dtype': dtype}

    @property
    def runtime(self) -> Runtime:
        """What computes `inference`, as it was asked for."""
        return self._other_runtime.runtime

    def _by_torch(self, request: SceneRequest) -> ForwardPass:
        options, views = request.forward, request.views

        def run_window(processed: ProcessedImages, given: GivenCameras) -> Answer:
            from da3_ros.inference.runtimes.torch_runtime import torch_window_network

            assert views is not None
            network = views.networks.get('torch') or torch_window_network(self)
            return by_windows(network, request)(processed, given)

        def run(processed: ProcessedImages, given: GivenCameras) -> Answer:
            output: NetworkOutput = self(
                processed.pixels(self.device),
                *given.network_input(self.device),
                options.export_layers,
                options.infer_gs,
                options.use_ray_pose,
                options.ref_view_strategy,
                allow_smaller=request.allow_smaller,
            )
            unit = 1.0 if output.gaussian_scale is None else float(output.gaussian_scale[0])
            return Answer(to_prediction(output, processed.images), unit)

        return run if views is None else run_window
