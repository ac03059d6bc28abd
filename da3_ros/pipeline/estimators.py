"""The estimator that the options name, and what is known of a model without loading it.

The network is imported only when a network is asked for.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from da3_ros.errors import CheckpointError, ConfigError
from da3_ros.foreign import expanded
from da3_ros.inference.runtimes.choose import RANDOM_PREFIX, open_network
from da3_ros.model.config import PROCESS_RES, NetworkConfig
from da3_ros.model.presets import CAUTIONS, NETWORKS, preset_name, random_caution
from da3_ros.options import EstimatorOptions, NodeOptions, StreamOptions
from da3_ros.types import Caution, Estimator

if TYPE_CHECKING:
    from da3_ros.inference.default_model import ChosenModel
    from da3_ros.inference.runtimes.engine_build import Progress

TRUTH_MODEL = 'truth'


def chosen_model(model: str) -> ChosenModel:
    """Return the model of the option `model`, that of the rule where it is empty.

    Raises:
        CheckpointError: it is empty, nothing suitable is cached, and the hub cannot be reached.
    """
    from da3_ros.inference.default_model import model_or_default

    return model_or_default(model)


def build_estimator(
    options: NodeOptions, *, beside: bool = True, progress: Progress | None = None
) -> Estimator:
    """Return the estimator that `options.estimator.model` names, the default where it is empty.

    Args:
        options: of the node.
        beside: while graphs are built for the first time, let another runtime compute. Which
            window is the first of theirs depends on the speed of the machine then.
        progress: hears how far the building of graphs is; None lets the log say that it begins.

    Raises:
        CheckpointError: the weights cannot be found or do not fit; says what to do.
        ConfigError: the device is not there, or the network cannot take such windows.
    """
    model = chosen_model(options.estimator.model).name
    options = replace(options, estimator=replace(options.estimator, model=model))
    if options.estimator.model == TRUTH_MODEL:
        from da3_ros.synthetic.family_world import make_family_world
        from da3_ros.synthetic.truth import TruthEstimator

        return TruthEstimator(make_family_world(), conditioning=_is_conditioned(options.estimator))
    has_odometry = bool(options.output.prior_frame) and _is_conditioned(options.estimator)
    return _build_network(
        options.estimator,
        options.stream,
        has_odometry=has_odometry,
        beside=beside,
        progress=progress,
    )


def _build_network(
    options: EstimatorOptions,
    stream: StreamOptions,
    *,
    has_odometry: bool,
    beside: bool,
    progress: Progress | None,
) -> Estimator:
    from da3_ros.inference.engine import Da3Estimator

    network = open_network(options.model, options, beside=beside, progress=progress)
    views = stream.window * len(stream.cameras)
    can = network.capabilities
    if views > 1 and not (can.poses or (can.metric and has_odometry)):
        ways = ' or needs poses by odometry (prior_frame)' if can.metric else ''
        raise ConfigError(
            f'model {options.model}: predicts no poses, so that it takes one camera and window 1'
            f'{ways}; got {len(stream.cameras)} cameras and window {stream.window}'
        )
    return Da3Estimator(
        network,
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
        None for most models.
    """
    config = _own_config(model)
    if config is None:
        return None
    if model.startswith(RANDOM_PREFIX) or _is_saved_random(model):
        return random_caution(config.name)
    return CAUTIONS.get(config.name)


def _own_config(model: str) -> NetworkConfig | None:
    """Return the network of a model; None for what is none: the truth, estimators of one's own."""
    from da3_ros.inference.hub import HubOptions, find_config
    from da3_ros.inference.network_file import read_network_config

    name = preset_name(model.removeprefix(RANDOM_PREFIX))
    if name is not None:
        return NETWORKS[name]
    try:
        return read_network_config(find_config(model, HubOptions(local_files_only=True)))
    except CheckpointError:
        return None


def _is_saved_random(model: str) -> bool:
    """Return whether the weights that are here of a model say that they were not learned."""
    from da3_ros.inference.hub import HubOptions, find_checkpoint
    from da3_ros.inference.runtimes.engine_files import is_engine
    from da3_ros.inference.runtimes.stored_graphs import read_kept
    from da3_ros.inference.weights_header import is_random_file

    folder = expanded(model)
    try:
        if is_engine(folder):
            return read_kept(folder).is_random
        return is_random_file(find_checkpoint(model, HubOptions(local_files_only=True)).weights)
    except CheckpointError:
        return False


def _is_conditioned(options: EstimatorOptions) -> bool:
    return options.conditioning == 'auto'
