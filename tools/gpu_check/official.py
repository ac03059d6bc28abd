"""The official code beside ours, where a folder of it is named; never a dependency."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
import sys
from typing import Any
import warnings

import torch
from torch import Tensor

from da3_ros.model.build import Network
from tools.gpu_check.part import PACKAGE, official_root

Forward = Callable[[Tensor], dict[str, Tensor]]


def official_forward(folder: str, preset: str, ours: Network, device: torch.device) -> Forward:
    """Return the forward pass of the official network with the weights of ours.

    It computes as its public API does: no gradients, and autocast to bf16 where the device has it,
    else to fp16.

    Args:
        folder: Checkout, or folder into which the package was installed.
        preset: Name of a preset of theirs.
        ours: Network whose weights it takes.
        device: Where it computes.

    Raises:
        ImportError: It, or what it needs, is not there.
    """
    network = _network(folder, preset)
    network.load_state_dict(ours.state_dict())
    network = network.to(device).eval()
    # On a CPU only to see that it runs: float32.
    dtype = torch.bfloat16
    if device.type == 'cuda' and not torch.cuda.is_bf16_supported():
        dtype = torch.float16

    def forward(pixels: Tensor) -> dict[str, Tensor]:
        narrow = torch.autocast(device.type, dtype=dtype, enabled=device.type == 'cuda')
        with torch.no_grad(), narrow:
            output: dict[str, Tensor] = network(
                pixels,
                None,
                None,
                export_feat_layers=[],
                infer_gs=False,
                use_ray_pose=False,
                ref_view_strategy='saddle_balanced',
            )
        return output

    return forward


def _network(folder: str, preset: str) -> Any:
    root = official_root(Path(folder))
    if root is None:
        raise ImportError(f'{folder} holds no {PACKAGE}')
    sys.path.append(str(root))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # By name: it is no dependency.
            cfg = import_module(f'{PACKAGE}.cfg')
            registry = import_module(f'{PACKAGE}.registry')
            return cfg.create_object(cfg.load_config(registry.MODEL_REGISTRY[preset]))
    finally:
        sys.path.remove(str(root))
