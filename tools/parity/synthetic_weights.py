"""Synthetic weights that anyone can regenerate from tensor names and shapes alone.

    value = float32(standard_normal from PCG64(crc32(name))) * scale + mean

`name` is the checkpoint's name, with the leading `model.`; scale and mean follow from name and
shape. The goldens in `test/data/golden` were made with these weights, so the rule must stay
bit-identical: `test_weights.py` checks it against frozen checksums.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
import math
import re
from typing import overload
import zlib

import numpy as np
from numpy.typing import NDArray
import torch

from da3_ros.model.build import Network, build_network
from da3_ros.model.config import AnyViewConfig, NestedConfig, NetworkConfig, SingleViewConfig
from da3_ros.model.nested import NestedNetwork
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.single_view import SingleViewNetwork

_TIED = re.compile(r'(output_conv2_aux\.)[123](\.2\.(?:weight|bias))$')

# First match wins: pattern of the name -> (scale, mean) of vectors and tables.
_PLAIN_RULES = (
    (r'(?:pos_embed|cls_token)$', 0.2, 0.0),
    (r'camera_token$', 0.5, 0.0),
    (r'gamma$', 0.05, 0.2),
)
_VECTOR_RULES = (
    (r'[qk]_norm\.weight$', 0.1, 1.3),
    (r'weight$', 0.1, 1.0),
    (r'cam_dec\.fc_fov\.0\.bias$', 0.05, 1.0),
    (r'da3_metric\.head\.scratch\.sky_output_conv2\.2\.bias$', 0.05, -0.3),
    (r'sky_output_conv2\.2\.bias$', 0.05, -1.2),
    (r'', 0.05, 0.0),
)
# Pattern of the name -> gain of matrices and kernels, divided by the root of the fan-in.
_GAINS = (
    (r'cam_dec\.backbone\.[02]\.weight$', 1.4),
    (r'scratch\.output_conv2\.2\.weight$', 0.6),
    (r'scratch\.sky_output_conv2\.2\.weight$', 0.8),
    (r'output_conv1_aux\.3\.4\.weight$', 0.006),
    (r'output_conv2_aux\.3\.5\.weight$', 0.3),
    (r'cam_dec\.fc_fov\.0\.weight$', 0.1),
    (r'attn\.qkv\.weight$', 1.5),
    (r'', 1.0),
)

Array = NDArray[np.float32]


def canonical_name(name: str) -> str:
    """Return the name under which a tied tensor is stored."""
    return _TIED.sub(r'\g<1>0\2', name)


def synthetic_tensor(name: str, shape: Iterable[int]) -> Array:
    """Return the tensor of a checkpoint name, e.g. `model.cam_dec.fc_t.bias`."""
    name, size = canonical_name(name), tuple(int(side) for side in shape)
    scale, mean = _scale_and_mean(name, size)
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    values: Array = generator.standard_normal(size).astype(np.float32)
    values *= np.float32(scale)
    values += np.float32(mean)
    _shape_ray_map(name, values)
    return values


@overload
def synthetic_network(config: AnyViewConfig, threads: int = ...) -> AnyViewNetwork: ...
@overload
def synthetic_network(config: SingleViewConfig, threads: int = ...) -> SingleViewNetwork: ...
@overload
def synthetic_network(config: NestedConfig, threads: int = ...) -> NestedNetwork: ...
@overload
def synthetic_network(config: NetworkConfig, threads: int = ...) -> Network: ...


def synthetic_network(config: NetworkConfig, threads: int = 1) -> Network:
    """Build a network with synthetic weights.

    Args:
        config: What to build.
        threads: Tensors made at once; each comes from a generator of its own, so that their
            number changes no bit.
    """
    network = build_network(config)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(synthetic_tensor(f'model.{name}', shapes[name]))

    # Largest first, so that no thread is left alone with one at the end.
    names = sorted(shapes, key=lambda name: -shapes[name].numel())
    with ThreadPoolExecutor(threads) as pool:
        state = dict(zip(names, pool.map(tensor, names), strict=True))
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def _scale_and_mean(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    rules = _PLAIN_RULES + (_VECTOR_RULES if len(shape) == 1 else ())
    for pattern, scale, mean in rules:
        if re.search(pattern, name):
            return scale, mean
    # Transposed convolutions whose stride equals their kernel: one tap per output.
    is_transposed = re.search(r'resize_layers\.[01]\.weight$', name)
    fan_in = shape[0] if is_transposed else math.prod(shape[1:])
    gain = next(gain for pattern, gain in _GAINS if re.search(pattern, name))
    return gain / float(np.sqrt(fan_in)), 0.0


def _shape_ray_map(name: str, values: Array) -> None:
    """Make the ray map look like a pinhole camera's, so that fitting it is well conditioned."""
    if name.endswith('output_conv2_aux.3.0.weight'):
        half = values.shape[1] // 2
        values[0:4] = 0.0
        for row, channel, value in ((0, 0, 2.0), (1, 0, -2.0), (2, half, 2.0), (3, half, -2.0)):
            values[row, channel, 1, 1] = value
    elif name.endswith('output_conv2_aux.3.0.bias'):
        values[0:4] = 0.0
    elif name.endswith('output_conv2_aux.3.5.weight'):
        values[0:3] *= np.float32(0.3)
        for row, column, step in ((0, 0, 0.2), (0, 1, -0.2), (1, 2, 0.2), (1, 3, -0.2)):
            values[row, column] += step
    elif name.endswith('output_conv2_aux.3.5.bias'):
        values[2] += 1.5
