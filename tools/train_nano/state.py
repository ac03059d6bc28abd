"""Everything a run consists of, in one file that is written whole or not at all.

Safetensors, with the numbers that are no tensors as JSON in its header: nothing is unpickled.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model.config import AnyViewConfig
from da3_ros.model.layers import Attention
from da3_ros.model.network import AnyViewNetwork
from da3_ros.synthetic.family_scene import FAMILY_VERSION
from tools.train_nano.config import TrainConfig
from tools.train_nano.weights import initial_compass, initial_network

RATE_FACTOR = 'rate_factor'
"""Entry of an optimiser's group by which its learning rate is multiplied."""

_MOMENTS = ('exp_avg', 'exp_avg_sq', 'step')


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    step: int = 0
    views: int = 0
    """Seen in training so far."""
    seconds: float = 0.0
    """Spent on training so far, without measuring."""
    best_score: float = float('inf')
    """Lowest validation score so far, see `metrics.score`."""


class TrainState:
    """Network, running mean of its weights, optimiser and progress."""

    def __init__(
        self, network_config: AnyViewConfig, config: TrainConfig, device: str = 'cpu'
    ) -> None:
        """Start a run."""
        self.config = config
        self.progress = Progress()
        self.network = initial_network(network_config, config.seed).to(device)
        if config.precision == 'bfloat16' and device == 'cpu':
            attend_in_float32(self.network)
        self.mean = initial_network(network_config, config.seed).to(device)
        self.mean.requires_grad_(False).eval()
        self.compass = initial_compass(network_config, config.seed).to(device)
        self.optimiser = _optimiser(self.parameters(), config)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return everything that is trained, by name."""
        parameters = {f'network.{name}': p for name, p in self.network.named_parameters()}
        return parameters | {f'compass.{name}': p for name, p in self.compass.named_parameters()}

    def update_mean(self) -> None:
        """Move the running mean towards the weights; quickly in the beginning."""
        step = self.progress.step
        keep = min(0.5 ** (1 / self.config.ema_half_life_steps), (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.mean.parameters()), list(self.network.parameters()), 1 - keep
            )

    def save(self, path: Path) -> None:
        """Write the state to a file."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.parameters().items():
            tensors[name] = parameter.detach()
            for moment, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f'{moment}.{name}'] = value
        for name, parameter in self.mean.named_parameters():
            tensors[f'mean.{name}'] = parameter
        header = {
            'progress': json.dumps(asdict(self.progress)),
            'config': self.config.to_json(),
            'family': str(FAMILY_VERSION),
        }
        scratch = path.with_name(path.name + '.part')
        save_file({k: v.contiguous() for k, v in tensors.items()}, scratch, metadata=header)
        scratch.replace(path)

    @staticmethod
    def load(
        path: Path,
        network_config: AnyViewConfig,
        device: str = 'cpu',
        changes: Mapping[str, Any] | None = None,
    ) -> 'TrainState':
        """Read a state from a file.

        Its best score is forgotten when it was reached on other scenes than those of today.

        Args:
            path: the file.
            network_config: what the network is.
            device: where it goes on.
            changes: entries of the configuration that shall be others from now on.
        """
        with safe_open(path, framework='pt', device=device) as file:
            header = file.metadata()
            config = replace(TrainConfig.from_json(header['config']), **(changes or {}))
            state = TrainState(network_config, config, device)
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        values = json.loads(header['progress'])
        state.progress = Progress(**{f.name: values[f.name] for f in fields(Progress)})
        if header.get('family') != str(FAMILY_VERSION):
            state.progress.best_score = float('inf')
        with torch.no_grad():
            for name, parameter in state.parameters().items():
                parameter.copy_(stored[name])
                if f'step.{name}' in stored:
                    # The count of steps stays on the CPU, where the optimiser looks for it.
                    state.optimiser.state[parameter] = {
                        moment: stored[f'{moment}.{name}'] for moment in _MOMENTS
                    }
            for name, parameter in state.mean.named_parameters():
                parameter.copy_(stored[f'mean.{name}'])
        return state


def attend_in_float32(network: AnyViewNetwork) -> None:
    """Compute attention in float32 whatever the precision around it.

    On a CPU the gradient of 16-bit attention is three times slower than that.
    """
    for module in network.modules():
        if isinstance(module, Attention):
            module.kernel = _float32_attention


def _float32_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with torch.autocast('cpu', enabled=False):
        return functional.scaled_dot_product_attention(q.float(), k.float(), v.float())


def _optimiser(parameters: dict[str, nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        rate = config.camera_rate if '.cam_dec.' in name else 1.0
        decay = config.weight_decay if _is_decayed(name, parameter) else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {'params': members, RATE_FACTOR: rate, 'weight_decay': decay}
            for (rate, decay), members in groups.items()
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and not name.endswith(('_token', 'pos_embed'))
