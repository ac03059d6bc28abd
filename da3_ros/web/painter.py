"""What a result changes in the scene; keeps the newest sets and the map within bounds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.types import PosedView, WindowResult
from da3_ros.web.points import DrawnPoints, points_of_set
from da3_ros.web.remembered import VoxelMap
from da3_ros.web.settings import MAX_PAST_SETS, ViewSettings
from da3_ros.web.stage import CLOUDS, MAP, Stage, following

if TYPE_CHECKING:
    import viser

# A room is about so deep: what a world without metres is compared with.
_ROOM_M = 3.0
# Side of a drawn point and of a voxel of the map, in a room.
_POINT_M = 0.02
_VOXEL_M = 0.05
# Side of a drawn point of the map, in voxels: nearly closes surfaces.
_MAP_POINT = 0.9
# The ground is below nearly all points.
_GROUND_PERCENTILE = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    node: str
    points: DrawnPoints


class Painter:
    """Draws results. One thread at a time.

    Args:
        server: whose scene it is.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        self._stage = Stage(server)
        self._kept: deque[_Kept] = deque(maxlen=MAX_PAST_SETS)
        self._map: VoxelMap | None = None
        self._voxel = _VOXEL_M
        self._map_nodes: set[int] = set()
        self._sets = 0
        self._seen_from_world: FloatArray | None = None
        self._views: dict[str, PosedView] = {}

    @property
    def points(self) -> int:
        """How many points are in the scene."""
        return self._stage.points

    def clear(self) -> None:
        """Forget the world."""
        with self._stage.atomic():
            self._stage.clear()
        self._kept.clear()
        self._map = None
        self._map_nodes.clear()
        self._seen_from_world = None
        self._views = {}

    def clear_map(self) -> None:
        """Start the map anew, with the next result."""
        with self._stage.atomic():
            for index in self._map_nodes:
                self._stage.drop_cloud(_map_node(index))
        self._map_nodes.clear()
        self._map = None

    def apply(self, settings: ViewSettings) -> None:
        """Draw what is there with other settings."""
        with self._stage.atomic():
            self._stage.switch(settings)
            self._limit_sets(settings)
            for kept in self._kept:
                self._put_kept(kept, settings)
            for index in self._map_nodes:
                self._put_chunk(index, settings)
            self._put_cameras(settings)

    def draw(self, result: WindowResult, path: FloatArray, settings: ViewSettings) -> None:
        """Draw a result.

        Args:
            result: with at least one set.
            path: (P, 3), all positions of the robot, thinned.
            settings: the state of the controls.
        """
        new = []
        if settings.show_clouds or settings.show_map or self._seen_from_world is None:
            new = [points_of_set(posed, settings) for posed in result.new_sets]
        self._views = {view.id.camera: view for posed in result.new_sets for view in posed.views}
        base = result.new_sets[-1].world_from_base
        with self._stage.atomic():
            if self._seen_from_world is None:
                self._begin(result, new, settings)
            self._stage.switch(settings)
            self._put_sets(new, settings)
            self._put_map(new, settings)
            self._put_cameras(settings)
            self._stage.put_robot(base)
            self._stage.put_path(path)
            self._follow(base, settings)

    def _begin(self, result: WindowResult, new: list[DrawnPoints], settings: ViewSettings) -> None:
        """Fit the sizes of things and the grid to a new world."""
        depth = np.concatenate([part.depth for part in new])
        typical = float(np.median(depth)) if len(depth) else _ROOM_M
        self._stage.fit(1.0 if result.alignment.is_metric else typical / _ROOM_M)
        heights = np.concatenate([part.points[:, 2] for part in new])
        lowest = float(np.percentile(heights, _GROUND_PERCENTILE)) if len(heights) else 0.0
        self._stage.put_grid(min(0.0, lowest), settings.show_grid)

    def _put_sets(self, new: list[DrawnPoints], settings: ViewSettings) -> None:
        if not settings.show_clouds:
            return
        for points in new:
            kept = _Kept(f'{CLOUDS}/{self._sets % MAX_PAST_SETS}', points)
            self._sets += 1
            self._kept.append(kept)
            self._put_kept(kept, settings)
        self._limit_sets(settings)

    def _limit_sets(self, settings: ViewSettings) -> None:
        while len(self._kept) > settings.past_sets:
            self._stage.drop_cloud(self._kept.popleft().node)

    def _put_kept(self, kept: _Kept, settings: ViewSettings) -> None:
        visible = kept.points.visible(settings)
        self._stage.put_cloud(
            kept.node,
            kept.points.points[visible],
            kept.points.colours[visible],
            _POINT_M * self._stage.unit * settings.point_size,
        )

    def _put_map(self, new: list[DrawnPoints], settings: ViewSettings) -> None:
        if not settings.show_map:
            return
        if self._map is None:
            self._voxel = settings.voxel_size or _VOXEL_M * self._stage.unit
            self._map = VoxelMap(self._voxel)
        changed: set[int] = set()
        for points in new:
            good = points.near_and_sure(settings)
            changed.update(
                self._map.add(points.points[good], points.colours[good], points.height[good])
            )
        self._map_nodes |= changed
        for index in sorted(changed):
            self._put_chunk(index, settings)

    def _put_chunk(self, index: int, settings: ViewSettings) -> None:
        if self._map is None:
            return
        chunk = self._map.chunk(index)
        shown = np.ones(len(chunk.keys), bool)
        if settings.max_height > 0:
            shown = chunk.height <= settings.max_height
        self._stage.put_cloud(
            _map_node(index),
            chunk.points[shown],
            chunk.colours[shown],
            _MAP_POINT * self._voxel * settings.point_size,
        )

    def _put_cameras(self, settings: ViewSettings) -> None:
        if settings.show_cameras:
            self._stage.put_cameras(self._views, settings.show_images)

    def _follow(self, base: FloatArray, settings: ViewSettings) -> None:
        before = self._seen_from_world
        seen = following(base, before, follow=settings.follow, turn=settings.turn)
        self._stage.put_world(seen)
        self._seen_from_world = seen


def _map_node(index: int) -> str:
    return f'{MAP}/{index}'
