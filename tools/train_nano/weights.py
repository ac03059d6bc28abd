"""Initial weights."""

import math

import torch
from torch import Tensor, nn

from da3_ros.model.build import build_network
from da3_ros.model.config import NATIVE_GRID, AnyViewConfig
from da3_ros.model.network import AnyViewNetwork

FOV_START_RAD = 1.2
ENCODER_LAYER_SCALE = 0.1


def initial_network(config: AnyViewConfig, seed: int) -> AnyViewNetwork:
    """Build a network to be trained; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(config, 'cpu')
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=1 / math.sqrt(module.in_features))
                nn.init.zeros_(module.bias)
        transformer = network.backbone.pretrained
        with torch.no_grad():
            transformer.pos_embed.copy_(_position_table(config.backbone.embed_dim))
            nn.init.normal_(transformer.cls_token, std=0.02)
            nn.init.normal_(transformer.camera_token, std=0.2)
        _start_cameras(network)
    return network.requires_grad_(True).train()


def initial_compass(config: AnyViewConfig, seed: int) -> nn.Linear:
    """Return the layer that reads a view's orientation in training; see `losses`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(config.backbone.embed_dim, 6)


def _start_cameras(network: AnyViewNetwork) -> None:
    """Let the decoder begin with cameras that look forward with a usual field of view."""
    decoder = network.cam_dec
    fov = decoder.fc_fov[0]
    assert isinstance(fov, nn.Linear)
    with torch.no_grad():
        for layer in (decoder.fc_t, decoder.fc_qvec, fov):
            layer.weight.mul_(0.5)
        decoder.fc_qvec.bias[3] = 1.0
        fov.bias.fill_(FOV_START_RAD)
        for name, parameter in network.cam_enc.named_parameters():
            if name.endswith('.gamma'):
                parameter.fill_(ENCODER_LAYER_SCALE)


def _position_table(channels: int) -> Tensor:
    """Return smooth sine positions (1, 1 + 37 * 37, C), so that resized tables make sense."""
    axis = torch.linspace(-1.0, 1.0, NATIVE_GRID)
    frequencies = math.pi * 2 ** torch.linspace(-1.0, 2.5, channels // 4)
    angles = axis[:, None] * frequencies
    waves = torch.cat((angles.sin(), angles.cos()), dim=1)
    rows = waves[:, None].expand(-1, NATIVE_GRID, -1)
    columns = waves[None].expand(NATIVE_GRID, -1, -1)
    grid = torch.cat((rows, columns), dim=-1).flatten(0, 1)
    return 0.3 * torch.cat((torch.zeros(1, channels), grid))[None]
