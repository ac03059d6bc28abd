"""What is trained, on what, and how fast."""

from dataclasses import asdict, dataclass
import json
from typing import Any, Literal

from da3_ros.geometry.camera import ImageSize
from da3_ros.model.forward import ForwardOptions

FIRST = ForwardOptions(ref_view_strategy='first')
"""How the network is asked everywhere: its scenes have no better reference view than another."""

NANO_SIZE = ImageSize(70, 98)
"""Image size that it is trained at; the longer side is the preset's `process_res`."""

Precision = Literal['float32', 'bfloat16']
DepthSpace = Literal['log', 'linear']


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides a run's result; stored with it and compared on resuming."""

    views_total: int = 2_500_000
    """Views after which the learning rate has reached its end."""
    views_per_step: int = 48
    """Views of one step, over all of its scenes."""
    view_counts: tuple[int, ...] = (4, 8, 2, 6, 1)
    """Views per scene, step by step in turns; each divides `views_per_step`."""
    learning_rate: float = 1e-3
    """At the end of the warm-up."""
    camera_rate: float = 0.3
    """Learning rate of the camera decoder, as a part of the others'. Its input is not normalised:
    at the full rate a few steps are enough for none of its units to answer any more."""
    final_fraction: float = 0.03
    """Of the learning rate that is left at the end."""
    warmup_steps: int = 300
    weight_decay: float = 0.05
    """On matrices and kernels; never on biases, norms, tokens and positions."""
    gradient_limit: float = 1.0
    """Largest norm of a gradient; longer ones are shortened."""
    ema_half_life_steps: int = 400
    """Weights that are measured and exported are a running mean with this half-life."""
    condition_every: int = 5
    """Once in so many steps the network is told the true cameras (a fifth, as in the paper)."""
    rays_every: int = 3
    """Once in so many steps the ray branch runs and is trained."""
    decoded_fraction: float = 0.5
    """Of a scene's views whose dense maps are computed; cameras are learned from all. Dense maps
    are most of a step's cost, and views of one scene resemble each other."""
    depth_space: DepthSpace = 'log'
    """Where depth errors are taken: of logarithms (relative errors), or of depths as published."""
    weight_confidence: float = 0.2
    """Of the logarithm of confidence, which keeps it from falling to one everywhere."""
    weight_gradient: float = 1.0
    weight_ray: float = 2.0
    weight_point: float = 1.0
    weight_camera: float = 1.0
    weight_direction: float = 0.3
    """Of the directions from camera to camera; see `losses.direction_loss`."""
    weight_spread: float = 0.3
    """Of the distances between cameras, as a whole; see `losses.spread_loss`."""
    weight_match: float = 0.3
    """Of attention that finds the same surface in other views; see `matching`."""
    weight_compass: float = 1.0
    """Of the orientation in the world, read from every view alone; see `losses.compass_loss`."""
    weight_idle: float = 0.1
    """Of units of the camera decoder that never answer; see `losses.idle_loss`."""
    precision: Precision = 'bfloat16'
    """Of matrix products in the forward pass; weights are always float32."""
    seed: int = 0
    """Of the initial weights."""

    def to_json(self) -> str:
        """Return the configuration as text."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> 'TrainConfig':
        """Return the configuration in a text of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        values['view_counts'] = tuple(values['view_counts'])
        return TrainConfig(**values)
