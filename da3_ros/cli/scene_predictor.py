"""What predicts the scenes of a command: torch, or another runtime without loading torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from da3_ros.cli.engine_progress import EngineBar
from da3_ros.cli.wanted_network import WantedNetwork, choose_device
from da3_ros.options import EstimatorOptions

if TYPE_CHECKING:
    from da3_ros.cli.view_check import Predictor
    from da3_ros.inference.api import DepthAnything3


def load_predictor(wanted: WantedNetwork, options: EstimatorOptions) -> Predictor:
    """Return the model of a command, loaded.

    Args:
        wanted: which network, and what is asked of it.
        options: of the command.

    Raises:
        BadParameter: there is no such device.
        CheckpointError: the checkpoint cannot be found or read.
        ConfigError: the device is not there.
        ModelError: the device or the runtime cannot do what is asked.
    """
    from da3_ros.inference.runtimes.choose import open_network
    from da3_ros.inference.runtimes.packages import asked_runtime
    from da3_ros.inference.window_pass import WindowPredictor, torch_reason

    options = replace(options, device=choose_device(options.device))
    if asked_runtime(options.runtime) == 'torch' or torch_reason(wanted.config, wanted.forward):
        return _by_torch(wanted.checkpoint, options)
    bar = EngineBar(f'building {wanted.checkpoint}')
    network = open_network(wanted.checkpoint, options, progress=bar)
    if network.runtime == 'torch':
        from da3_ros.inference.api import DepthAnything3
        from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork

        if isinstance(network, TorchWindowNetwork) and isinstance(network.model, DepthAnything3):
            return network.model
    return WindowPredictor(network, 'bfloat16' if options.precision == 'bf16' else 'float32')


def _by_torch(checkpoint: str, options: EstimatorOptions) -> DepthAnything3:
    """Return a model of torch; of a runtime that was named its notes say why torch computes."""
    from da3_ros.inference.runtimes.packages import require_runtime

    require_runtime('torch')
    from da3_ros.inference.api import DepthAnything3
    from da3_ros.process import set_threads

    set_threads(options.threads)
    return DepthAnything3.from_pretrained(
        checkpoint,
        map_location=options.device,
        precision=options.precision,
        runtime=options.runtime,
    )
