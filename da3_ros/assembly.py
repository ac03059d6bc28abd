"""The one place that joins an estimator to the pipeline; used by the node, the CLI and the demo.

The network is imported only when a network is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
import time

from da3_ros.errors import CheckpointError, ConfigError
from da3_ros.model.config import PROCESS_RES, NetworkConfig
from da3_ros.model.presets import CAUTIONS, NETWORKS, preset_name
from da3_ros.options import EstimatorOptions, NodeOptions, StreamOptions
from da3_ros.process import set_threads
from da3_ros.stream.latest_slot import LatestSlot
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.scene_store import SceneStore
from da3_ros.stream.sync import Synchronizer
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import Caution, Estimator, FrameSet, RigCalibration

RANDOM_PREFIX = 'random:'
TRUTH_MODEL = 'truth'
# Weights drawn from this seed mean nothing; being always the same makes output comparable.
_RANDOM_SEED = 0
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """The parts between camera frames and a world, in the order that data passes them."""

    synchronizer: Synchronizer
    """Frames to sets; fed by the callbacks."""
    slot: LatestSlot[FrameSet]
    """Sets to the worker; newest wins."""
    windower: SlidingWindow
    """Sets to windows; used by the worker only."""
    reconstructor: Reconstructor
    """Windows to posed sets; used by the worker only."""
    scene: SceneStore
    """Newest posed sets, for exports and the path."""


def build_estimator(options: NodeOptions) -> Estimator:
    """Return the estimator that `options.estimator.model` names.

    Raises:
        CheckpointError: the weights cannot be found or do not fit; says what to do.
        ConfigError: the device is not there, or the network cannot take such windows.
    """
    if options.estimator.model == TRUTH_MODEL:
        from da3_ros.synthetic.family_world import make_family_world
        from da3_ros.synthetic.truth import TruthEstimator

        return TruthEstimator(make_family_world(), conditioning=_is_conditioned(options.estimator))
    has_odometry = bool(options.output.prior_frame) and _is_conditioned(options.estimator)
    return _build_network(options.estimator, options.stream, has_odometry=has_odometry)


def _build_network(
    options: EstimatorOptions, stream: StreamOptions, *, has_odometry: bool
) -> Estimator:
    import torch

    from da3_ros.inference.api import DepthAnything3
    from da3_ros.inference.engine import Da3Estimator

    set_threads(options.threads)
    device = options.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ConfigError(f'device {device!r}: no CUDA device is there; use auto or cpu')
    if options.model.startswith(RANDOM_PREFIX):
        name = options.model.removeprefix(RANDOM_PREFIX)
        model = DepthAnything3(
            name,
            seed=_RANDOM_SEED,
            precision=options.precision,
            attention=options.attention,
        ).to(device)
    else:
        model = DepthAnything3.from_pretrained(
            options.model,
            revision=options.revision or None,
            map_location=device,
            precision=options.precision,
            attention=options.attention,
        )
    views = stream.window * len(stream.cameras)
    can = model.capabilities
    if views > 1 and not (can.poses or (can.metric and has_odometry)):
        ways = ' or needs poses by odometry (prior_frame)' if can.metric else ''
        raise ConfigError(
            f'model {options.model}: predicts no poses, so that it takes one camera and window 1'
            f'{ways}; got {len(stream.cameras)} cameras and window {stream.window}'
        )
    return Da3Estimator(
        model,
        process_res=options.process_res or None,
        process_res_method=options.process_res_method,
        ref_view_strategy=options.ref_view_strategy,
        use_ray_pose=options.use_ray_pose,
        conditioning=_is_conditioned(options),
    )


@lru_cache(maxsize=8)
def own_process_res(model: str) -> int:
    """Return the image side that a model was trained for, without loading or fetching it.

    Args:
        model: value of the option `model`.
    """
    config = _own_config(model)
    return PROCESS_RES if config is None else config.process_res


def own_caution(model: str) -> Caution | None:
    """Return what to know before relying on a model, without loading or fetching it.

    Args:
        model: value of the option `model`.

    Returns:
        None for most models, and for random weights.
    """
    config = None if model.startswith(RANDOM_PREFIX) else _own_config(model)
    return None if config is None else CAUTIONS.get(config.name)


def _own_config(model: str) -> NetworkConfig | None:
    """Return the network of a model; None for what is none: the truth, estimators of one's own."""
    from da3_ros.inference.hub import HubOptions, find_checkpoint
    from da3_ros.inference.network_file import read_network_config

    name = preset_name(model.removeprefix(RANDOM_PREFIX))
    if name is not None:
        return NETWORKS[name]
    try:
        files = find_checkpoint(model, HubOptions(local_files_only=True))
        return read_network_config(files.config)
    except CheckpointError:
        return None


def _is_conditioned(options: EstimatorOptions) -> bool:
    return options.conditioning == 'auto'


def build_synchronizer(options: StreamOptions) -> Synchronizer:
    """Return the synchronizer of the stream's cameras."""
    return Synchronizer(
        options.cameras,
        tolerance_ns=round(options.sync_tolerance_s * _NS_PER_S),
        min_cameras=options.min_cameras,
        wait_ns=round(options.sync_wait_s * _NS_PER_S),
    )


def build_reconstructor(
    options: NodeOptions,
    rig: RigCalibration,
    estimator: Estimator,
    clock: Callable[[], float] = time.monotonic,
    quarter_turns: Mapping[str, int] | None = None,
) -> Reconstructor:
    """Return what places windows, with the scale's source that the options name."""
    choice = options.stream.scale_source
    # Without lengths the rig says nothing that could be used.
    known = RigCalibration() if choice == 'none' else rig
    # A frame that others connect to the robot: what is given in it has to agree with them.
    prior_frame = options.output.prior_frame.lstrip('/')
    is_theirs = bool(prior_frame) and prior_frame == options.output.odom_frame.lstrip('/')
    return Reconstructor(
        estimator, known, clock, choice, in_odometry_frame=is_theirs, quarter_turns=quarter_turns
    )


def build_pipeline(
    options: NodeOptions,
    rig: RigCalibration,
    estimator: Estimator,
    clock: Callable[[], float] = time.monotonic,
    quarter_turns: Mapping[str, int] | None = None,
) -> Pipeline:
    """Return the parts, fed by nothing yet.

    Args:
        options: checked options of the node.
        rig: where the cameras sit; may be empty.
        estimator: what turns windows into geometry.
        clock: monotonic seconds, for the estimator's time only.
        quarter_turns: camera name to clockwise quarters that make its images upright.
    """
    stream = options.stream
    return Pipeline(
        synchronizer=build_synchronizer(stream),
        slot=LatestSlot(stream.stride),
        windower=SlidingWindow(stream.window, stream.stride),
        reconstructor=build_reconstructor(options, rig, estimator, clock, quarter_turns),
        scene=SceneStore(stream.scene_sets),
    )
