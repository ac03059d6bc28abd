"""Networks from their configurations."""

import torch

from da3_ros.errors import ModelError
from da3_ros.model.config import PRESETS, NetworkConfig
from da3_ros.model.network import AnyViewNetwork


def preset(name: str) -> NetworkConfig:
    """Return a named preset.

    Raises:
        ModelError: There is no such preset.
    """
    if name not in PRESETS:
        raise ModelError(f'unknown network {name!r}, expected one of {", ".join(PRESETS)}')
    return PRESETS[name]


def build_network(config: NetworkConfig, device: str | torch.device = 'meta') -> AnyViewNetwork:
    """Build a network in evaluation mode, with parameters that need no gradients.

    Args:
        config: What to build.
        device: Where the parameters live. On 'meta', the default, they take neither memory nor
            time and must be assigned before use; elsewhere they hold torch's initial values.

    Returns:
        The network.
    """
    with torch.device(device):
        network = AnyViewNetwork(config)
    return network.requires_grad_(False).eval()
