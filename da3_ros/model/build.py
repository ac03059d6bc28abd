"""Networks from their configurations."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, overload

import torch

from da3_ros.model.config import AnyViewConfig, NestedConfig, NetworkConfig, SingleViewConfig
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.single_view import SingleViewNetwork

Network: TypeAlias = AnyViewNetwork | SingleViewNetwork | NestedNetwork
"""Any of the three kinds. They share one signature, see `forward`, and name their parts,
themselves among them, as `any_view` and `single_view`."""

_NETWORKS: Mapping[type[NetworkConfig], Callable[[Any], Network]] = {
    AnyViewConfig: AnyViewNetwork,
    SingleViewConfig: SingleViewNetwork,
    NestedConfig: NestedNetwork,
}
"""Configuration to the network that it describes."""


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
    with torch.device(device):
        network = _NETWORKS[type(config)](config)
    return network.requires_grad_(False).eval()
