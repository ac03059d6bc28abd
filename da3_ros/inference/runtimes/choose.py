"""Which runtime computes a model, and the network of windows over it.

`auto` is torch where a GPU is. On a CPU it is OpenVINO where that is installed: with an engine
that is there, or one that is built at the first use. Whatever goes wrong with that, torch
computes, with a note. Where torch is not installed, an engine is computed by what is installed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from da3_ros.errors import CheckpointError, ConfigError, ModelError
from da3_ros.foreign import expanded
from da3_ros.inference.runtimes.engine_files import is_engine
from da3_ros.inference.runtimes.packages import (
    EXTRA,
    asked_runtime,
    is_installed,
    missing_builders,
    require_runtime,
)
from da3_ros.model.config import NetworkConfig
from da3_ros.model.presets import BUNDLED
from da3_ros.options import EstimatorOptions
from da3_ros.options.choices import RUNTIMES, Runtime

if TYPE_CHECKING:
    from da3_ros.inference.api import DepthAnything3
    from da3_ros.inference.runtimes.engine_build import Progress
    from da3_ros.inference.runtimes.stored_graphs import StoredGraphs
    from da3_ros.inference.window_network import WindowNetwork

RANDOM_PREFIX = 'random:'
# Weights drawn from this seed mean nothing; being always the same makes output comparable.
_RANDOM_SEED = 0
_NEEDS_TORCH = 'needs runtime torch, which is not installed: pip install torch'
_ELSEWHERE = (
    'on a machine with torch, `da3 compile {} --out FOLDER`; then the FOLDER as the model here'
)
_DEVICES = Path('/dev')


def open_network(
    model: str,
    options: EstimatorOptions,
    *,
    beside: bool = False,
    progress: Progress | None = None,
) -> WindowNetwork:
    """Return a model as a network of windows, over the runtime that suits it.

    Args:
        model: as of the option `model`, or the folder of an engine.
        options: device, runtime, number format and threads.
        beside: build engines in another process while torch computes, where there is torch; else
            the first window waits for them.
        progress: hears how far the building of an engine is.

    Raises:
        CheckpointError: the model cannot be found or read.
        ConfigError: the device is not there.
        ModelError: the runtime that is named cannot compute the model, or none can; says what to
            do.
    """
    runtime = asked_runtime(options.runtime)
    folder = expanded(model)
    if is_engine(folder):
        from da3_ros.inference.runtimes.stored_graphs import network_of_engine

        return network_of_engine(folder, replace(options, runtime=_of_engine(runtime, options)))
    if runtime == 'auto':
        return _automatic(model, options, beside=beside, progress=progress)
    if runtime == 'torch' or model.startswith(RANDOM_PREFIX):
        return torch_network(model, options)
    require_runtime(runtime)
    _require_cpu(runtime, options.device)
    config = _config_of(model, options)
    reason = only_torch(config, options)
    chosen = replace(options, runtime=runtime)
    if not reason and not (beside and is_installed('torch')):
        return _graphs(model, config, chosen, progress)
    if not is_installed('torch'):
        raise ModelError(f'{reason} {_NEEDS_TORCH}')
    from da3_ros.inference.runtimes.torch_behind import TorchBehind

    graphs = None if reason else _graphs(model, config, chosen, progress, beside=True)
    return TorchBehind(
        lambda: torch_network(model, options), config, graphs, asked=runtime, reason=reason
    )


def only_torch(config: NetworkConfig, options: EstimatorOptions) -> str:
    """Return what of the windows that are asked for only torch computes; empty for nothing."""
    if config.any_view is not None and config.single_view is not None:
        return f'{config.name}, two networks in one,'
    if config.any_view is None:
        return ''
    if options.use_ray_pose:
        return 'use_ray_pose (cameras from rays)'
    return '' if config.any_view.camera else f'{config.name}, a network without camera decoder,'


def may_have_gpu(devices: Path = _DEVICES) -> bool:
    """Return whether torch might find a GPU: where it cannot, nobody waits for it to be loaded.

    Args:
        devices: where the kernel lists devices.
    """
    names = ('nvidia[0-9]*', 'nvhost-gpu', 'nvgpu', 'kfd', 'dxg')
    return sys.platform != 'linux' or any(any(devices.glob(name)) for name in names)


def torch_network(model: str, options: EstimatorOptions) -> WindowNetwork:
    """Return a model over torch.

    Raises:
        CheckpointError: the weights cannot be found or do not fit.
        ConfigError: the device is not there.
        ModelError: torch is not installed.
    """
    if not is_installed('torch'):
        raise ModelError(_without_torch(model))
    from da3_ros.inference.runtimes.torch_runtime import torch_window_network

    return torch_window_network(torch_model(model, options))


def torch_model(model: str, options: EstimatorOptions) -> DepthAnything3:
    """Return a model of torch on its device; errors as of `torch_network`."""
    from da3_ros.inference.api import DepthAnything3
    from da3_ros.process import set_threads

    set_threads(options.threads)
    device = _torch_device(options.device)
    if model.startswith(RANDOM_PREFIX):
        return DepthAnything3(
            model.removeprefix(RANDOM_PREFIX),
            seed=_RANDOM_SEED,
            precision=options.precision,
            attention=options.attention,
            runtime='torch',
        ).to(device)
    return DepthAnything3.from_pretrained(
        model,
        revision=options.revision or None,
        map_location=device,
        precision=options.precision,
        attention=options.attention,
        runtime='torch',
    )


def _automatic(
    model: str, options: EstimatorOptions, *, beside: bool, progress: Progress | None
) -> WindowNetwork:
    if not is_installed('torch'):
        return _alone(model, options)
    # What comes with the package is for demos and tests: building graphs takes longer than these.
    is_passing = model.startswith(RANDOM_PREFIX) or model in BUNDLED
    if is_passing or not _is_for_graphs(options):
        return torch_network(model, options)
    config = _config_of(model, options)
    if only_torch(config, options):
        return torch_network(model, options)
    from da3_ros.inference.runtimes.torch_behind import TorchBehind

    chosen = replace(options, runtime='openvino')
    try:
        graphs = _graphs(model, config, chosen, progress, beside=beside)
    except (CheckpointError, ModelError, OSError) as error:
        return TorchBehind(
            lambda: torch_network(model, options), config, asked='openvino', reason=str(error)
        )
    return TorchBehind(lambda: torch_network(model, options), config, graphs)


def _alone(model: str, options: EstimatorOptions) -> WindowNetwork:
    """Return a model where torch is not installed."""
    installed = [name for name in EXTRA if is_installed(name)]
    if model.startswith(RANDOM_PREFIX) or not installed:
        raise ModelError(_without_torch(model))
    _require_cpu(installed[0], options.device)
    config = _config_of(model, options)
    reason = only_torch(config, options)
    if reason:
        raise ModelError(f'{reason} {_NEEDS_TORCH}')
    return _graphs(model, config, replace(options, runtime=_named(installed[0])), None)


def _graphs(
    model: str,
    config: NetworkConfig,
    options: EstimatorOptions,
    progress: Progress | None,
    *,
    beside: bool = False,
) -> StoredGraphs:
    """Return a model over the engines that are kept of it; `options.runtime` computes them."""
    from da3_ros.inference.runtimes.stored_graphs import StoredGraphs

    graphs = StoredGraphs(model, config, options, progress, beside=beside)
    if missing_builders() and not graphs.sizes:
        raise ModelError(
            f'{model}: there is no engine of it here, and to build one '
            f'{", ".join(missing_builders())} must be installed; else, {_ELSEWHERE.format(model)}'
        )
    return graphs


def _of_engine(runtime: Runtime, options: EstimatorOptions) -> Runtime:
    """Return what computes the folder of an engine.

    Raises:
        ModelError: nothing here does.
    """
    if runtime == 'torch':
        raise ModelError(
            'runtime torch: the folder is that of an engine, whose graphs torch does not compute; '
            'expected openvino, onnxruntime or auto, or the model that it was made of'
        )
    installed = [name for name in EXTRA if is_installed(name)]
    if runtime == 'auto' and installed:
        runtime = _named(installed[0])
    if runtime == 'auto':
        ways = ' or '.join(EXTRA.values())
        raise ModelError(f'nothing that computes an engine is installed; in a clone: {ways}')
    require_runtime(runtime)
    _require_cpu(runtime, options.device)
    return runtime


def _named(name: str) -> Runtime:
    (found,) = (known for known in RUNTIMES if known == name)
    return found


def _is_for_graphs(options: EstimatorOptions) -> bool:
    """Return whether `auto` is OpenVINO for a network that both compute, where torch is."""
    if not is_installed('openvino') or options.precision == 'fp16':
        return False
    if options.device == 'cpu':
        return True
    return options.device == 'auto' and (not may_have_gpu() or _torch_device('auto') == 'cpu')


def _torch_device(device: str) -> str:
    """Return a device of torch, the best one for `auto`.

    Raises:
        ConfigError: it is not there.
    """
    import torch

    if device == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ConfigError(f'device {device!r}: no CUDA device is there; use auto or cpu')
    return device


def _require_cpu(runtime: str, device: str) -> None:
    if device not in ('auto', 'cpu'):
        raise ConfigError(
            f'runtime {runtime} computes on the CPU, got device {device!r}; use device auto or '
            'cpu, or runtime torch'
        )


def _config_of(model: str, options: EstimatorOptions) -> NetworkConfig:
    from da3_ros.inference.hub import HubOptions, find_config
    from da3_ros.inference.network_file import read_network_config
    from da3_ros.model.presets import NETWORKS, preset_name

    name = preset_name(model)
    if name is not None and not expanded(model).is_dir():
        return NETWORKS[name]
    return read_network_config(find_config(model, HubOptions(options.revision or None)))


def _without_torch(model: str) -> str:
    return (
        f'{model}: torch is not installed. Install it (pip install torch), or use an engine, with '
        f'{" or ".join(EXTRA)} installed: {_ELSEWHERE.format(model)}'
    )
