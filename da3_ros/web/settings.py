"""What a person at the browser may change; frozen, replaced as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.errors import ConfigError
from da3_ros.options.export import GLB
from da3_ros.options.output import OUTPUT

MAX_PAST_SETS = 40
MAX_POINTS_PER_VIEW = 100_000


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """The state of the controls, and what they start with.

    Raises:
        ConfigError: on construction, when a value is outside its range; names it.
    """

    point_size: float = 1.0
    """Side of a drawn point, as a multiple of one that suits the scene."""
    points_per_view: int = 16_000
    """Points taken of one view at most; counts for sets that come from then on."""
    min_confidence: float = OUTPUT.min_confidence
    """Points whose raw confidence (>= 1) is below are not drawn."""
    max_depth: float = 0.0
    """Points farther from their camera are not drawn, world units; 0 for no limit."""
    max_height: float = 0.0
    """Points higher above the robot's base are not drawn (ceilings), world units; 0 for all."""
    past_sets: int = 8
    """Newest frame sets whose whole clouds are drawn, 1 to 40."""
    edge_filter: float = OUTPUT.edge_filter
    """Smallest step of depth that is an edge (see `geometry.edges`); 0 keeps flying pixels."""
    voxel_size: float = 0.0
    """Edge of the voxels of the map, world units; 0 for one that suits the scene."""
    show_clouds: bool = True
    show_map: bool = True
    show_depth: bool = True
    show_cameras: bool = GLB.show_cameras
    show_images: bool = True
    show_trajectory: bool = True
    show_grid: bool = True
    follow: bool = True
    """Whether the view moves along with the robot."""
    turn: bool = True
    """Whether a view that follows also turns as the robot does."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        ranges = {
            'point_size': (0.01, 100.0),
            'points_per_view': (1, MAX_POINTS_PER_VIEW),
            'min_confidence': (1.0, 1e6),
            'max_depth': (0.0, 1e6),
            'max_height': (0.0, 1e6),
            'past_sets': (1, MAX_PAST_SETS),
            'edge_filter': (0.0, 10.0),
            'voxel_size': (0.0, 100.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f'viewer: {name}: expected {low:g} to {high:g}, got {value}')
