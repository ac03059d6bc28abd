"""Networks from their configurations."""

from typing import TypeAlias, overload

import torch

from da3_ros.model.config import AnyViewConfig, NestedConfig, NetworkConfig, SingleViewConfig
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.single_view import SingleViewNetwork

Network: TypeAlias = AnyViewNetwork | SingleViewNetwork | NestedNetwork
"""Any of the three kinds."""


@overload
def build_network(config: AnyViewConfig, device: str | torch.device = ...) -> AnyViewNetwork: ...
@overload
def build_network(
    config: SingleViewConfig, device: str | torch.device = ...
) -> SingleViewNetwork: ...
@overload
def build_network(config: NestedConfig, device: str | torch.device = ...) -> NestedNetwork: ...
@overload
def build_network(config: NetworkConfig, device: str | torch.device = ...) -> Network: ...


def build_network(config: NetworkConfig, device: str | torch.device = 'meta') -> Network:
    """Build a network in evaluation mode, with parameters that need no gradients.

    Args:
        config: What to build.
        device: Where the parameters live. On 'meta', the default, they take neither memory nor
            time and must be assigned before use; elsewhere they hold torch's initial values.

    Returns:
        The network.
    """
    network: Network
    with torch.device(device):
        if isinstance(config, AnyViewConfig):
            network = AnyViewNetwork(config)
        elif isinstance(config, SingleViewConfig):
            network = SingleViewNetwork(config)
        else:
            network = NestedNetwork(config)
    return network.requires_grad_(False).eval()


def any_view_part(network: Network) -> AnyViewNetwork | None:
    """Return the network that predicts cameras, None when there is none."""
    if isinstance(network, NestedNetwork):
        return network.da3
    return network if isinstance(network, AnyViewNetwork) else None
