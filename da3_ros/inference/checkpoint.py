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

from safetensors.torch import save_file
import torch

from da3_ros.errors import CheckpointError
from da3_ros.inference.hub import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    CheckpointFiles,
    HubOptions,
    find_checkpoint,
    licence_line,
)
from da3_ros.inference.network_file import config_content, read_network_config
from da3_ros.inference.random_weights import is_marked_random, mark_random
from da3_ros.inference.training_names import PREFIX, current_names
from da3_ros.inference.weights_file import StoredTensor, WeightsFile
from da3_ros.inference.weights_header import RANDOM_MARK, is_random_file
from da3_ros.model.arithmetic import Arithmetic, narrow_parameters
from da3_ros.model.build import Network, build_network

MAX_NAMES_IN_MESSAGE = 8

CPU = torch.device('cpu')
FLOAT32 = Arithmetic('fp32')

_logger = logging.getLogger(__name__)


def load_network(
    source: str | Path,
    options: HubOptions | None = None,
    *,
    device: torch.device = CPU,
    arithmetic: Arithmetic = FLOAT32,
) -> Network:
    """Load a network from a folder or the hub.

    Args:
        source: Folder, hub repository or short name, see `hub.find_checkpoint`.
        options: How the hub is asked.
        device: Where the parameters go.
        arithmetic: Number formats; the backbone's matrices are held as it says.

    Returns:
        The network in evaluation mode. On the CPU, parameters that keep the file's type are
        mapped from it.

    Raises:
        CheckpointError: The checkpoint cannot be found or read, or does not fit its network.
    """
    files = find_checkpoint(source, options)
    config = read_network_config(files.config)
    network = build_network(config)
    load_weights(network, files.weights, device=device, dtype=arithmetic.dtype(device))
    _logger.info(
        'loaded %s from %s; %s',
        config.name,
        source,
        licence_line(config.name),
    )
    return network


def load_weights(
    network: Network,
    path: Path,
    *,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Give a network, built on the meta device, the tensors of a file.

    Args:
        network: Network whose parameters are replaced.
        path: Safetensors file.
        device: Where the parameters go, one after another.
        dtype: Format of the backbone's matrices; everything else becomes float32.

    Raises:
        CheckpointError: The file cannot be read, or tensors are missing, unexpected or of the
            wrong shape or type; each is named.
    """
    if path.suffix != '.safetensors':
        raise CheckpointError(f'{path}: only safetensors files are read, never pickles')
    wanted = {PREFIX + name: tuple(value.shape) for name, value in network.named_parameters()}
    aliases = tied_aliases(network)
    narrow = {PREFIX + name for name in narrow_parameters(network, device)}
    with WeightsFile(path) as file:
        stored = {
            name: file.tensors[in_file]
            for name, in_file in current_names(list(file.tensors)).items()
        }
        for alias, name in aliases.items():
            if alias in stored:
                stored.setdefault(name, stored.pop(alias))
        _check(path, wanted, stored)
        state = {
            name: file.read(entry.name, dtype if name in narrow else torch.float32, device)
            for name, entry in sorted(stored.items(), key=lambda item: item[1].start)
        }
    state.update({alias: state[name] for alias, name in aliases.items()})
    network.load_state_dict(
        {name.removeprefix(PREFIX): value for name, value in state.items()}, assign=True
    )
    network.requires_grad_(False).eval()
    if is_random_file(path):
        mark_random(network)


def tied_aliases(network: Network) -> dict[str, str]:
    """Return names in a file that stand for a tensor stored under another name."""
    first = {id(value): name for name, value in network.named_parameters()}
    return {
        PREFIX + name: PREFIX + first[id(value)]
        for name, value in network.named_parameters(remove_duplicate=False)
        if first[id(value)] != name
    }


def save_checkpoint(
    network: Network, folder: str | Path, *, is_random: bool = False
) -> CheckpointFiles:
    """Write a network in the hub's layout.

    Args:
        network: Network to write.
        folder: Target folder, made if absent; existing files are replaced only when complete.
        is_random: Whether its weights were drawn and not learned, which the file then says; so
            it does of a network with the mark of `random_weights.mark_random`.

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
        mark = RANDOM_MARK if is_random or is_marked_random(network) else None
        save_file(tensors, weights, mark)
        config.write_text(json.dumps(config_content(network.config)), encoding='utf-8')
        weights.replace(files.weights)
        config.replace(files.config)
    return files


def _check(
    path: Path,
    wanted: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, StoredTensor],
) -> None:
    problems = []
    missing = [name for name in wanted if name not in stored]
    unexpected = [name for name in stored if name not in wanted]
    shared = [name for name in wanted if name in stored]
    misshaped = [
        f'{name} (expected {wanted[name]}, got {stored[name].shape})'
        for name in shared
        if wanted[name] != stored[name].shape
    ]
    mistyped = [f'{name} ({stored[name].kind})' for name in shared if stored[name].dtype is None]
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
