"""The one place that joins an estimator to the pipeline; used by the node, the CLI and the demo.

The network is imported only when a network is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import time
from typing import cast

from da3_ros.config import EstimatorOptions, NodeOptions, StreamOptions
from da3_ros.errors import ConfigError
from da3_ros.stream.latest_slot import LatestSlot
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.scene_store import SceneStore
from da3_ros.stream.sync import Synchronizer
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import Estimator, FrameSet, RigCalibration

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
        from da3_ros.synthetic.truth import TruthEstimator
        from da3_ros.synthetic.world import make_world

        return TruthEstimator(make_world())
    return _build_network(options.estimator, options.stream)


def _build_network(options: EstimatorOptions, stream: StreamOptions) -> Estimator:
    import torch

    from da3_ros.inference.api import DepthAnything3
    from da3_ros.inference.engine import Da3Estimator
    from da3_ros.model.arithmetic import AttentionKind, Precision

    device = options.device
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ConfigError(f'device {device!r}: no CUDA device is there; use auto or cpu')
    # The options' choices are those of these types; a test holds them together.
    precision = cast(Precision, options.precision)
    attention = cast(AttentionKind, options.attention)
    if options.model.startswith(RANDOM_PREFIX):
        name = options.model.removeprefix(RANDOM_PREFIX)
        model = DepthAnything3(
            name, seed=_RANDOM_SEED, precision=precision, attention=attention
        ).to(device)
    else:
        model = DepthAnything3.from_pretrained(
            options.model,
            revision=options.revision or None,
            map_location=device,
            precision=precision,
            attention=attention,
        )
    views = stream.window * len(stream.cameras)
    if views > 1 and not model.abilities.poses:
        raise ConfigError(
            f'model {options.model}: predicts no poses, so that it takes one camera and window 1; '
            f'got {len(stream.cameras)} cameras and window {stream.window}'
        )
    return Da3Estimator(
        model,
        process_res=options.process_res,
        process_res_method=options.process_res_method,
        ref_view_strategy=options.ref_view_strategy,
        use_ray_pose=options.use_ray_pose,
    )


def build_synchronizer(options: StreamOptions) -> Synchronizer:
    """Return the synchronizer of the stream's cameras."""
    return Synchronizer(
        options.cameras,
        tolerance_ns=round(options.sync_tolerance_s * _NS_PER_S),
        min_cameras=options.min_cameras,
        wait_ns=round(options.sync_wait_s * _NS_PER_S),
    )


def build_pipeline(
    options: NodeOptions,
    rig: RigCalibration,
    estimator: Estimator,
    clock: Callable[[], float] = time.monotonic,
) -> Pipeline:
    """Return the parts, fed by nothing yet.

    Args:
        options: checked options of the node.
        rig: where the cameras sit; may be empty.
        estimator: what turns windows into geometry.
        clock: monotonic seconds, for the estimator's time only.
    """
    stream = options.stream
    return Pipeline(
        synchronizer=build_synchronizer(stream),
        slot=LatestSlot(stream.stride),
        windower=SlidingWindow(stream.window, stream.stride),
        reconstructor=Reconstructor(estimator, rig, clock),
        scene=SceneStore(stream.scene_sets),
    )
