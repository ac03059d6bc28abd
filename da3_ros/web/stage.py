"""The scene in the browser: which nodes there are and what is in them.

Every node keeps its name for good, out of a limited set of names: viser keeps the newest message
of every node for browsers that come later, so that this bounds its memory too. A cloud is sent
anew as a whole, never points apart from colours.

All stands below one node, the world. To follow the robot the world is moved, not the eyes of the
browsers: those belong to the people there, and what a browser says of them is late.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix, rotation_from_rpy
from da3_ros.geometry.se3 import rigid
from da3_ros.types import ColourImage, PosedView
from da3_ros.web.settings import ViewSettings

if TYPE_CHECKING:
    import viser

WORLD = '/world'
CLOUDS = '/world/clouds'
MAP = '/world/map'
CAMERAS = '/world/cameras'
TRAJECTORY = '/world/trajectory'
ROBOT = '/world/robot'
GRID = '/world/grid'

_IMAGE_SIDE_PX = 320
# Where people look from at first, and at what, in units: near behind the robot, where it came
# from, which in a room is seldom inside a wall.
_EYE, _AIM = (-1.7, 0.0, 1.5), (1.2, 0.0, 0.1)
_START_RGB, _END_RGB = np.array([20, 60, 255]), np.array([255, 90, 0])
_CAMERA_RGB = (
    (255, 170, 40),
    (60, 190, 240),
    (120, 220, 120),
    (240, 110, 160),
    (190, 150, 250),
    (240, 230, 110),
)


class Stage:
    """Puts clouds, cameras and the path into a viser scene. One thread at a time.

    Args:
        server: whose scene it is.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._clouds: dict[str, viser.PointCloudHandle] = {}
        self._cameras: dict[str, viser.CameraFrustumHandle] = {}
        self._numbers: dict[str, int] = {}
        self._parents = {
            name: server.scene.add_frame(name, show_axes=False)
            for name in (WORLD, CLOUDS, MAP, CAMERAS, TRAJECTORY)
        }
        self._robot: viser.FrameHandle | None = None
        self._grid: viser.GridHandle | None = None
        self._path: viser.LineSegmentsHandle | None = None
        self.unit = 1.0
        """What is a metre to a person in a room, world units: sizes of drawn things follow it."""
        self.fit(self.unit)

    def atomic(self) -> AbstractContextManager[None]:
        """Return a context whose changes browsers see at once."""
        return self._server.atomic()

    def clear(self) -> None:
        """Take everything away."""
        single = (self._robot, self._grid, self._path)
        for handle in (*self._clouds.values(), *self._cameras.values(), *single):
            if handle is not None:
                handle.remove()
        self._clouds.clear()
        self._cameras.clear()
        self._robot = self._grid = self._path = None

    def switch(self, settings: ViewSettings) -> None:
        """Show and hide the kinds of things."""
        self._parents[CLOUDS].visible = settings.show_clouds
        self._parents[MAP].visible = settings.show_map
        self._parents[CAMERAS].visible = settings.show_cameras
        self._parents[TRAJECTORY].visible = settings.show_trajectory
        if self._grid is not None:
            self._grid.visible = settings.show_grid

    def put_cloud(
        self, name: str, points: NDArray[np.float32], colours: ColourImage, point_size: float
    ) -> None:
        """Put a cloud in the place of the one of that name.

        Args:
            name: of the node, below `CLOUDS` or `MAP`.
            points: (P, 3), world.
            colours: (P, 3) uint8 RGB.
            point_size: side of a point, world units.
        """
        if len(points) == 0:
            self.drop_cloud(name)
            return
        self._clouds[name] = self._server.scene.add_point_cloud(
            name,
            points,
            colours,
            point_size=point_size,
            point_shape='circle',
            point_shading='flat',
            precision='float32',
        )

    def drop_cloud(self, name: str) -> None:
        """Take a cloud away, if there is one."""
        handle = self._clouds.pop(name, None)
        if handle is not None:
            handle.remove()

    @property
    def points(self) -> int:
        """How many points there are in all clouds."""
        return sum(len(handle.points) for handle in self._clouds.values())

    def put_cameras(self, views: Mapping[str, PosedView], show_images: bool) -> None:
        """Put cameras where they are now and take away the ones that are not named.

        Args:
            views: camera name to its newest view.
            show_images: whether the images go with them.
        """
        for camera in [name for name in self._cameras if name not in views]:
            self._cameras.pop(camera).remove()
        for camera, view in views.items():
            image = _small(view.image) if show_images else None
            pose = view.world_from_camera
            handle = self._cameras.get(camera)
            if handle is None:
                self._cameras[camera] = self._new_camera(camera, view, image)
                continue
            handle.wxyz = _wxyz(pose)
            handle.position = pose[:3, 3]
            handle.fov, handle.aspect = _field_of_view(view)
            handle.image = image

    def _new_camera(
        self, camera: str, view: PosedView, image: ColourImage | None
    ) -> viser.CameraFrustumHandle:
        fov, aspect = _field_of_view(view)
        number = self._numbers.setdefault(camera, len(self._numbers))
        return self._server.scene.add_camera_frustum(
            camera_node(number, camera),
            fov=fov,
            aspect=aspect,
            scale=0.22 * self.unit,
            thickness=0.012 * self.unit,
            color=_CAMERA_RGB[number % len(_CAMERA_RGB)],
            image=image,
            format='jpeg',
            jpeg_quality=80,
            wxyz=_wxyz(view.world_from_camera),
            position=view.world_from_camera[:3, 3],
            cast_shadow=False,
            receive_shadow=False,
        )

    def put_robot(self, world_from_base: FloatArray) -> None:
        """Put the axes of the robot's base where it is."""
        if self._robot is None:
            self._robot = self._server.scene.add_frame(
                ROBOT, axes_length=0.3 * self.unit, axes_radius=0.012 * self.unit
            )
        self._robot.wxyz = _wxyz(world_from_base)
        self._robot.position = world_from_base[:3, 3]

    def put_path(self, line: FloatArray) -> None:
        """Draw the path, old to new in colour.

        Args:
            line: (P, 3), at least one position.
        """
        if len(line) < 2:
            return
        share = np.linspace(0, 1, len(line))[:, None]
        rgb = (_START_RGB * (1 - share) + _END_RGB * share).astype(np.uint8)
        self._path = self._server.scene.add_line_segments(
            f'{TRAJECTORY}/path',
            np.stack([line[:-1], line[1:]], axis=1).astype(np.float32),
            np.stack([rgb[:-1], rgb[1:]], axis=1),
            thickness=0.03 * self.unit,
        )

    def put_grid(self, height: float, is_shown: bool) -> None:
        """Lay the grid at a height of the world."""
        self._grid = self._server.scene.add_grid(
            GRID,
            infinite_grid=True,
            cell_size=0.5 * self.unit,
            section_size=self.unit,
            cell_color=(60, 66, 76),
            section_color=(92, 100, 114),
            fade_distance=30.0 * self.unit,
            shadow_opacity=0.0,
            position=(0.0, 0.0, height),
            visible=is_shown,
        )

    def put_world(self, seen_from_world: FloatArray) -> None:
        """Move everything to where it is to be seen: a rigid transform (4, 4)."""
        self._parents[WORLD].wxyz = _wxyz(seen_from_world)
        self._parents[WORLD].position = seen_from_world[:3, 3]

    def fit(self, unit: float) -> None:
        """Fit the sizes of things, and where all look from, to a unit (see `unit`)."""
        is_other = unit != self.unit
        self.unit = unit
        position, look_at = (np.array(_EYE) * unit, np.array(_AIM) * unit)
        initial = self._server.initial_camera
        initial.position, initial.look_at = position, look_at
        if not is_other:
            return
        for client in self._server.get_clients().values():
            client.camera.position = position
            client.camera.look_at = look_at


def camera_node(number: int, camera: str) -> str:
    """Return the name of a camera's node.

    A slash in a camera's name would make a node below another; the number keeps names apart.
    """
    return f'{CAMERAS}/{number}_{camera.replace("/", "_")}'


def following(
    world_from_base: FloatArray, before: FloatArray | None, *, follow: bool, turn: bool
) -> FloatArray:
    """Return seen_from_world (4, 4): where the world is put so that the robot is seen well.

    The one who follows sees the robot at the origin, and the one who turns with it sees it look
    along x. Up stays up.

    Args:
        world_from_base: (4, 4).
        before: what was returned before in this world; None at its start, which is seen as by one
            who follows and turns.
        follow: whether the robot stays at the origin.
        turn: whether, following, its heading stays along x.
    """
    if before is not None and not follow:
        return before
    if before is None or turn:
        yaw_rad = math.atan2(world_from_base[1, 0], world_from_base[0, 0])
        rotation = rotation_from_rpy([0.0, 0.0, -yaw_rad])
    else:
        rotation = before[:3, :3]
    return rigid(rotation, -rotation @ world_from_base[:3, 3])


def _wxyz(pose: FloatArray) -> FloatArray:
    return np.asarray(quaternion_xyzw_from_matrix(pose[:3, :3])[..., [3, 0, 1, 2]])


def _field_of_view(view: PosedView) -> tuple[float, float]:
    """Return the vertical angle (rad) and width over height of what a camera sees."""
    size, focal = view.camera.size, view.camera.K.diagonal()
    vertical = 2 * math.atan(size.height / 2 / focal[1])
    return vertical, float((size.width / focal[0]) / (size.height / focal[1]))


def _small(image: ColourImage) -> ColourImage:
    height, width = image.shape[:2]
    factor = _IMAGE_SIDE_PX / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
