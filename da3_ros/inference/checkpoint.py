"""Reading and writing of weights: safetensors only, memory-mapped, checked tensor by tensor.

Tensor names in a file are the network's own with `model.` in front, as the official checkpoints
have them. The layer norm shared by the four ray levels is stored once; files that also hold its
aliases are read too, and so are files with the names of raw training checkpoints.
"""

from collections.abc import Iterable, Mapping
import json
import logging
from pathlib import Path
import tempfile

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
import torch
from torch import Tensor

from da3_ros.errors import CheckpointError
from da3_ros.inference.hub import (
    CONFIG_NAME,
    PUBLISHED,
    WEIGHTS_NAME,
    CheckpointFiles,
    HubOptions,
    find_checkpoint,
)
from da3_ros.inference.network_file import config_content, read_network_config
from da3_ros.inference.old_names import PREFIX, current_names
from da3_ros.model.build import Network, build_network

MAX_NAMES_IN_MESSAGE = 8

_logger = logging.getLogger(__name__)


def load_network(source: str | Path, options: HubOptions | None = None) -> Network:
    """Load a network from a folder or the hub.

    Args:
        source: Folder, hub repository or short name, see `hub.find_checkpoint`.
        options: How the hub is asked.

    Returns:
        The network on the CPU in evaluation mode; its parameters are mapped from the file.

    Raises:
        CheckpointError: The checkpoint cannot be found or read, or does not fit its network.
    """
    files = find_checkpoint(source, options)
    config = read_network_config(files.config)
    network = build_network(config)
    load_weights(network, files.weights)
    licence = PUBLISHED[config.name].licence if config.name in PUBLISHED else 'unknown'
    _logger.info(
        'loaded %s from %s; licence of the official weights: %s', config.name, source, licence
    )
    return network


def load_weights(network: Network, path: Path) -> None:
    """Give a network, built on the meta device, the tensors of a file.

    Args:
        network: Network whose parameters are replaced.
        path: Safetensors file.

    Raises:
        CheckpointError: The file cannot be read, or tensors are missing, unexpected or of the
            wrong shape or type; each is named.
    """
    if path.suffix != '.safetensors':
        raise CheckpointError(f'{path}: only safetensors files are read, never pickles')
    stored = _read(path)
    wanted = {PREFIX + name: value for name, value in network.named_parameters()}
    aliases = tied_aliases(network)
    for alias, name in aliases.items():
        if alias in stored:
            value = stored.pop(alias)
            stored.setdefault(name, value)
    _check(path, wanted, stored)
    state = {name: _as_float32(stored[name]) for name in wanted}
    state.update({alias: state[name] for alias, name in aliases.items()})
    network.load_state_dict(
        {name.removeprefix(PREFIX): value for name, value in state.items()}, assign=True
    )
    network.requires_grad_(False).eval()


def tied_aliases(network: Network) -> dict[str, str]:
    """Return names in a file that stand for a tensor stored under another name."""
    first = {id(value): name for name, value in network.named_parameters()}
    return {
        PREFIX + name: PREFIX + first[id(value)]
        for name, value in network.named_parameters(remove_duplicate=False)
        if first[id(value)] != name
    }


def save_checkpoint(network: Network, folder: str | Path) -> CheckpointFiles:
    """Write a network in the hub's layout.

    Args:
        network: Network to write.
        folder: Target folder, made if absent; existing files are replaced only when complete.

    Returns:
        The written files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = CheckpointFiles(folder / CONFIG_NAME, folder / WEIGHTS_NAME)
    tensors = {
        PREFIX + name: value.detach().cpu().contiguous()
        for name, value in network.named_parameters()
    }
    with tempfile.TemporaryDirectory(dir=folder, prefix='.writing-') as scratch:
        weights, config = Path(scratch) / WEIGHTS_NAME, Path(scratch) / CONFIG_NAME
        save_file(tensors, weights)
        config.write_text(json.dumps(config_content(network.config)), encoding='utf-8')
        weights.replace(files.weights)
        config.replace(files.config)
    return files


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework='pt') as file:
            names = current_names(list(file.keys()))
            return {name: file.get_tensor(stored) for name, stored in names.items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f'{path}: cannot read the weights: {error}') from error


def _check(path: Path, wanted: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    problems = []
    missing = [name for name in wanted if name not in stored]
    unexpected = [name for name in stored if name not in wanted]
    shared = [name for name in wanted if name in stored]
    misshaped = [
        f'{name} (expected {tuple(wanted[name].shape)}, got {tuple(stored[name].shape)})'
        for name in shared
        if wanted[name].shape != stored[name].shape
    ]
    mistyped = [
        f'{name} ({stored[name].dtype})'
        for name in shared
        if not stored[name].dtype.is_floating_point
    ]
    for label, names in (
        ('missing', missing),
        ('unexpected', unexpected),
        ('of the wrong shape', misshaped),
        ('not floating point', mistyped),
    ):
        if names:
            problems.append(f'{len(names)} tensors {label}: {_some(names)}')
    if problems:
        raise CheckpointError(f'{path} does not fit the network: {"; ".join(problems)}')


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - MAX_NAMES_IN_MESSAGE
    return ', '.join(listed[:MAX_NAMES_IN_MESSAGE]) + (f' and {more} more' if more > 0 else '')


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32)
