"""Seeded random weights, for demonstrations and tests without a checkpoint.

They show that every part runs; what they predict means nothing. The spread of each tensor is
chosen so that activations neither vanish nor explode, and the camera decoder's biases so that
the predicted cameras look forward with a usual field of view.
"""

import math
import re
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from da3_ros.model.build import Network, build_network
from da3_ros.model.config import NetworkConfig

FOV_BIAS_RAD = 1.0
LAYER_SCALE = 0.2

_MARKED: WeakSet[nn.Module] = WeakSet()
"""Networks that were handed out with random weights and have not got others."""

_TRANSPOSED = re.compile(r'resize_layers\.[01]\.weight$')


def random_network(config: NetworkConfig, seed: int) -> Network:
    """Build a network with random weights; the same for the same seed.

    Args:
        config: What to build.
        seed: Seed of an own generator.

    Returns:
        The network on the CPU, in evaluation mode.
    """
    network = build_network(config).to_empty(device='cpu')
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            _fill(name, parameter, generator)
    return network


def mark_random(network: Network) -> None:
    """Let a network that others wrap say that its weights are random.

    A state with all its tensors takes the mark away.
    """

    def take_state(module: nn.Module, keys: Any) -> None:
        if not keys.missing_keys:
            _MARKED.discard(module)

    _MARKED.add(network)
    network.register_load_state_dict_post_hook(take_state)  # type: ignore[no-untyped-call]


def is_marked_random(network: Network) -> bool:
    """Return whether a network carries the mark of `mark_random`."""
    return network in _MARKED


def _fill(name: str, parameter: Tensor, generator: torch.Generator) -> None:
    if name.endswith('.gamma'):
        parameter.fill_(LAYER_SCALE)
    elif parameter.ndim == 1:
        parameter.fill_(1.0 if name.endswith('.weight') else 0.0)
        if name.endswith('cam_dec.fc_fov.0.bias'):
            parameter.fill_(FOV_BIAS_RAD)
        elif name.endswith('cam_dec.fc_qvec.bias'):
            parameter[3] = 1.0
    elif name.endswith(('_token', 'pos_embed')):
        parameter.normal_(0.0, 0.2, generator=generator)
    else:
        fan_in = parameter.shape[0] if _TRANSPOSED.search(name) else parameter[0].numel()
        gain = 0.1 if 'cam_dec.fc_' in name else 1.0
        parameter.normal_(0.0, gain / math.sqrt(fan_in), generator=generator)
