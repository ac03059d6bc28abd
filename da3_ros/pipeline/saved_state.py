"""What a pipeline remembers that its input does not bring back, as bytes."""

from __future__ import annotations

from dataclasses import dataclass

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
    return _CODEC.decode(data, SavedState)


def windows_of(data: bytes) -> int:
    """Return how many windows a state comes after; errors as of `state_of`."""
    return state_of(data).windows
