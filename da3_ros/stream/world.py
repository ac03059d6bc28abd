"""What a reconstruction remembers from window to window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
import math

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.sim3 import Sim3
from da3_ros.stream.alignment import Anchor, ViewKey
from da3_ros.stream.placing import Layout
from da3_ros.stream.scale.odometry import Ratio
from da3_ros.stream.scale.world import WorldScale

# World units from where a world began, beyond which places lose the millimetre.
_FARTHEST = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """All that outlives a window; replaced as a whole, so that a failure changes nothing."""

    layout: Layout
    anchors: Mapping[ViewKey, Anchor] = field(default_factory=dict)
    scale: WorldScale | None = None
    """None before the first window."""
    world_from_base: FloatArray | None = None
    """Of the newest set; None before the first window."""
    odometry_from_base: FloatArray | None = None
    """The same set's base in the odometry's frame, metres; None when that is not known."""
    given_from_world: FloatArray = field(default_factory=lambda: np.eye(4))
    """(4, 4) the frame that sets are given in; the world itself unless the odometry's is asked."""
    start: FloatArray | None = None
    """(3,) where the first camera stood first; None before the first window."""
    gathered: Ratio | None = None
    """What odometry has measured up to now, not well enough yet, in world units per metre."""
    typical: float = math.nan
    """Median depth of the newest window, world units; NaN when none is known."""

    def stretched(self, poses: FloatArray, factor: float) -> FloatArray:
        """Return poses (..., 4, 4) in another unit: the first camera's first place stays.

        Where that would carry the base beyond all sense, the base stays instead: units that follow
        one another without any sense do not multiply.
        """
        fixed = np.zeros(3) if self.start is None else self.start
        newest = self.world_from_base
        if newest is not None:
            distance = float(np.abs(newest[:3, 3] - fixed).max())
            fixed = newest[:3, 3] if factor * distance > _FARTHEST else fixed
        moved: FloatArray = poses.copy()
        moved[..., :3, 3] = fixed + factor * (poses[..., :3, 3] - fixed)
        return moved

    def in_new_unit(self, factor: float) -> World:
        """Return the world with all lengths that the next window hangs on in another unit."""
        if factor == 1.0:
            return self
        stretch = Sim3(factor, np.eye(3), np.zeros(3))
        seen = {
            camera: pose if camera in self.layout.rig else stretch.apply_to_pose(pose)
            for camera, pose in self.layout.seen.items()
        }
        newest = self.world_from_base
        return replace(
            self,
            layout=Layout(self.layout.rig, seen),
            world_from_base=None if newest is None else self.stretched(newest, factor),
        )
