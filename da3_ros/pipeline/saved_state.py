"""What a pipeline remembers that its input does not bring back, as bytes."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from da3_ros.errors import GeometryError, StreamError
from da3_ros.geometry.se3 import require_rigid
from da3_ros.notes import Note
from da3_ros.stream.alignment import Anchor
from da3_ros.stream.placing import Layout
from da3_ros.stream.scale.odometry import Ratio
from da3_ros.stream.scale.samples import DepthSample
from da3_ros.stream.scale.world import WorldScale
from da3_ros.stream.state import StateCodec
from da3_ros.stream.world import World


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """A pipeline between two windows."""

    windows: int
    """Made since the start."""
    newest_ns: int
    """Stamp of the newest set of the last window: tells another input."""
    generation: int
    world: World


_CODEC = StateCodec(SavedState, World, Layout, Anchor, DepthSample, WorldScale, Ratio, Note)


def state_bytes(state: SavedState) -> bytes:
    """Return a state as bytes."""
    return _CODEC.encode(state)


def state_of(data: bytes) -> SavedState:
    """Return the state that `state_bytes` wrote.

    Raises:
        StreamError: it is none.
    """
    state = _CODEC.decode(data, SavedState)
    try:
        _require_sound(state.world)
    except GeometryError as error:
        raise StreamError(f'state: {error}') from error
    return state


def windows_of(data: bytes) -> int:
    """Return how many windows a state comes after; errors as of `state_of`."""
    return state_of(data).windows


def _require_sound(world: World) -> None:
    """Raise where a world has what no window can go on from."""
    layout = world.layout
    poses = [*layout.rig.items(), *layout.seen.items(), ('given', world.given_from_world)]
    poses += [(str(key), anchor.world_from_camera) for key, anchor in world.anchors.items()]
    own = {'base': world.world_from_base, 'odometry': world.odometry_from_base}
    poses += [(name, pose) for name, pose in own.items() if pose is not None]
    for name, pose in poses:
        require_rigid(f'the pose of {name}', pose)
    for key, anchor in world.anchors.items():
        sample = anchor.sample
        if sample is not None and not _is_sample(sample):
            raise StreamError(f'state: expected a sample of depth of {key}, got other shapes')
    if world.start is not None and not (
        world.start.shape == (3,) and np.isfinite(world.start).all()
    ):
        raise StreamError(f'state: expected a place to start from, got {world.start}')
    scale, gathered = world.scale, world.gathered
    if scale is not None and not (math.isfinite(scale.log_scale) and scale.variance >= 0):
        raise StreamError(f'state: expected a scale, got {scale.log_scale} and {scale.variance}')
    if gathered is not None and not (math.isfinite(gathered.units_per_m) and gathered.sigma > 0):
        raise StreamError(f'state: expected a ratio of lengths, got {gathered}')


def _is_sample(sample: DepthSample) -> bool:
    confidence = sample.confidence
    same = sample.depth.shape == sample.known.shape
    return (
        same
        and sample.depth.ndim == 2
        and (confidence is None or confidence.shape == sample.depth.shape)
    )
