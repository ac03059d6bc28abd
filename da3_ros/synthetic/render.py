"""Rendering by ray casting: exact depth, shaded colour.

A camera's rays have z = 1 in the optical frame, so the ray parameter of a hit is its depth. For a
pinhole without skew every component of a ray is a function of the column plus a function of the
row; solids are tested only inside the image rectangle that contains them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert, transform_points
from da3_ros.synthetic.scene import Ball, Box, Scene
from da3_ros.synthetic.texture import Float32Array, SurfaceNumbers, TextureSet
from da3_ros.types import ColourImage, FloatImage

_NEAR_M = 1e-3
_TINY = 1e-200
_LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])
_FACES = 6
# The six unit normals in the order axis, then minus before plus.
_NORMALS = np.concatenate([[-axis, axis] for axis in np.eye(3)])


@dataclass(frozen=True, slots=True, eq=False)
class RenderedView:
    """One image of the synthetic world and the truth about it."""

    image: ColourImage
    """(H, W, 3) uint8 RGB."""
    depth: FloatImage
    """(H, W) z along the optical axis, metres; known everywhere."""
    camera: PinholeCamera
    """Exact intrinsics at (H, W)."""
    world_from_camera: FloatArray
    """(4, 4), metres."""


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """What every ray meets first; arrays of the image's shape, written in place."""

    depth: FloatArray
    surface: SurfaceNumbers
    u_m: Float32Array
    v_m: Float32Array
    light: Float32Array
    """Diffuse light by the surface's direction, 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rays:
    """Rays of a camera: origin plus depth times (x[column], y[row], 1) in the optical frame."""

    x: FloatArray
    y: FloatArray
    camera: PinholeCamera
    world_from_camera: FloatArray

    @staticmethod
    def of(camera: PinholeCamera, world_from_camera: FloatArray) -> _Rays:
        """Return the rays through all pixel centres."""
        k, size = camera.K, camera.size
        x = (np.arange(size.width) - k[0, 2]) / k[0, 0]
        y = (np.arange(size.height) - k[1, 2]) / k[1, 1]
        return _Rays(x, y, camera, world_from_camera)

    def directions(
        self, a_from_camera: FloatArray, rows: slice, columns: slice
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the three components (h, w) in frame a, none of them exactly zero."""
        x, y = self.x[None, columns], self.y[rows, None]
        i, j, k = (r[0] * x + (r[1] * y + r[2]) for r in a_from_camera[:3, :3])
        # A ray parallel to a face would divide by zero and lose its sign; this one meets the
        # face at an astronomical distance instead.
        for component in (i, j, k):
            component[component == 0] = _TINY
        return i, j, k

    def rectangle(self, corners_world: FloatArray) -> tuple[slice, slice] | None:
        """Return rows and columns that contain a convex solid, None when it is out of sight."""
        local = transform_points(invert(self.world_from_camera), corners_world)
        size = self.camera.size
        if local[:, 2].max() <= _NEAR_M:
            return None
        if local[:, 2].min() <= _NEAR_M:
            return slice(0, size.height), slice(0, size.width)
        pixels = self.camera.project(local)
        low = np.floor(pixels.min(axis=0)).astype(int)
        high = np.ceil(pixels.max(axis=0)).astype(int) + 1
        left, right = max(low[0], 0), min(high[0], size.width)
        top, bottom = max(low[1], 0), min(high[1], size.height)
        if left >= right or top >= bottom:
            return None
        return slice(top, bottom), slice(left, right)


class Renderer:
    """Renders one scene from any camera.

    Args:
        scene: the room and what is in it.
        seed: of the texture's random parts.
    """

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        walls = scene.walls
        room = [*walls, scene.floor, scene.ceiling]
        boxes = [box.material for box in scene.boxes for _ in range(_FACES)]
        balls = [ball.material for ball in scene.balls]
        self._textures = TextureSet([*room, *boxes, *balls], seed)

    def depth(self, camera: PinholeCamera, world_from_camera: FloatArray) -> FloatImage:
        """Return the exact depth image (H, W) in metres."""
        return self._cast(camera, world_from_camera).depth.astype(np.float32)

    def render(
        self, camera: PinholeCamera, world_from_camera: FloatArray, supersample: int = 1
    ) -> RenderedView:
        """Return the image and its depth.

        Args:
            camera: intrinsics without skew.
            world_from_camera: (4, 4) pose of the optical frame.
            supersample: colour is the mean of this many samples per side of a pixel; depth is
                always that of the pixel's centre.
        """
        hits = self._cast(camera, world_from_camera)
        depth = hits.depth.astype(np.float32)
        if supersample > 1:
            height, width = camera.size.height, camera.size.width
            fine = camera.resized(ImageSize(height * supersample, width * supersample))
            colour = self._shade(self._cast(fine, world_from_camera), fine, world_from_camera)
            blocks = colour.reshape(height, supersample, width, supersample, 3)
            colour = blocks.mean(axis=(1, 3), dtype=np.float32)
        else:
            colour = self._shade(hits, camera, world_from_camera)
        image = (np.clip(colour, 0.0, 1.0) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        return RenderedView(image, depth, camera, world_from_camera)

    def _cast(self, camera: PinholeCamera, world_from_camera: FloatArray) -> _Hits:
        rays = _Rays.of(camera, world_from_camera)
        # Rays that miss a ball take the root of a negative number; NaN is nowhere a hit.
        with np.errstate(invalid='ignore'):
            hits = _cast_room(rays, self._scene)
            for index, box in enumerate(self._scene.boxes):
                _cast_box(rays, box, _FACES * (1 + index), hits)
            first_ball = _FACES * (1 + len(self._scene.boxes))
            for index, ball in enumerate(self._scene.balls):
                _cast_ball(rays, ball, first_ball + index, hits)
        return hits

    def _shade(
        self, hits: _Hits, camera: PinholeCamera, world_from_camera: FloatArray
    ) -> Float32Array:
        depth = hits.depth.astype(np.float32).ravel()
        surface, light = hits.surface.ravel(), hits.light.ravel()
        # A pixel covers more of a surface that is seen at a grazing angle; the mean obliquity of
        # indoor surfaces is enough for filtering.
        footprint = depth * np.float32(1.5 / camera.K[0, 0])
        colour = self._textures.albedo(surface, hits.u_m.ravel(), hits.v_m.ravel(), footprint)
        slope = _Rays.of(camera, world_from_camera).directions(
            world_from_camera, slice(None), slice(None)
        )[2]
        rise = np.float32(world_from_camera[2, 3]) + depth * slope.ravel().astype(np.float32)
        # Light falls off towards the floor and into the corners between floor and walls.
        ambient = np.float32(0.78) + np.float32(0.16) * np.minimum(rise, np.float32(1.5))
        colour *= ((np.float32(0.58) + np.float32(0.42) * light) * ambient)[:, None]
        return colour.reshape(*hits.depth.shape, 3)


def _diffuse(normals: FloatArray) -> FloatArray:
    return np.asarray(0.5 + 0.5 * (normals @ _LIGHT))


def _face_coordinates(
    axis: NDArray[np.intp], point: tuple[FloatArray, FloatArray, FloatArray]
) -> tuple[Float32Array, Float32Array]:
    """Return surface coordinates of points on faces normal to an axis, upright on walls."""
    x, y, z = point
    u = np.where(axis == 0, y, x)
    v = np.where(axis == 2, y, z)
    return u.astype(np.float32), v.astype(np.float32)


def _cast_room(rays: _Rays, scene: Scene) -> _Hits:
    """Return the hits of the room's inner faces: where rays leave the cuboid around them."""
    half = np.array(scene.room_size_m) / 2
    origin = rays.world_from_camera[:3, 3] - (0.0, 0.0, half[2])
    everything = slice(None)
    d = rays.directions(rays.world_from_camera, everything, everything)
    exits = [(np.where(d[k] > 0, half[k], -half[k]) - origin[k]) / d[k] for k in range(3)]
    depth = np.minimum(np.minimum(exits[0], exits[1]), exits[2])
    axis = np.where(exits[2] == depth, 2, np.where(exits[1] == depth, 1, 0))
    positive = np.where(axis == 2, d[2] > 0, np.where(axis == 1, d[1] > 0, d[0] > 0))
    face = 2 * axis + positive
    x, y, z = (origin[k] + depth * d[k] for k in range(3))
    u, v = _face_coordinates(axis, (x, y, z + half[2]))
    # Seen from inside, the normals point the other way.
    light = _diffuse(-_NORMALS).astype(np.float32)[face]
    return _Hits(depth, face.astype(np.int32), u, v, light)


def _cast_box(rays: _Rays, box: Box, first_surface: int, hits: _Hits) -> None:
    half = np.array(box.size_m) / 2
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    rectangle = rays.rectangle(transform_points(box.world_from_box, signs * half))
    if rectangle is None:
        return
    box_from_camera = invert(box.world_from_box) @ rays.world_from_camera
    origin = box_from_camera[:3, 3]
    d = rays.directions(box_from_camera, *rectangle)
    middle = [-origin[k] / d[k] for k in range(3)]
    reach = [np.abs(half[k] / d[k]) for k in range(3)]
    near = [m - r for m, r in zip(middle, reach, strict=True)]
    far = [m + r for m, r in zip(middle, reach, strict=True)]
    entry = np.maximum(np.maximum(near[0], near[1]), near[2])
    leave = np.minimum(np.minimum(far[0], far[1]), far[2])
    seen = (entry < leave) & (entry > _NEAR_M) & (entry < hits.depth[rectangle])
    if not seen.any():
        return
    depth = entry[seen]
    n0, n1, n2 = (n[seen] for n in near)
    d0, d1, d2 = (component[seen] for component in d)
    axis = np.where((n0 >= n1) & (n0 >= n2), 0, np.where(n1 >= n2, 1, 2))
    # A ray enters through the face that looks against it.
    positive = np.choose(axis, (d0 < 0, d1 < 0, d2 < 0))
    face = 2 * axis + positive
    point = (origin[0] + depth * d0, origin[1] + depth * d1, origin[2] + depth * d2)
    normals = _NORMALS @ box.world_from_box[:3, :3].T
    light = (_diffuse(normals) + box.material.glow).astype(np.float32)[face]
    u, v = _face_coordinates(axis, point)
    _write(hits, rectangle, seen, (depth, first_surface + face, u, v, light))


def _cast_ball(rays: _Rays, ball: Ball, surface: int, hits: _Hits) -> None:
    centre, radius = np.array(ball.centre_m), ball.radius_m
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T
    rectangle = rays.rectangle(centre + radius * signs)
    if rectangle is None:
        return
    to_origin = rays.world_from_camera[:3, 3] - centre
    d0, d1, d2 = rays.directions(rays.world_from_camera, *rectangle)
    # |o + t d|^2 = r^2 with o from the centre: the smaller root is the entry.
    a = d0 * d0 + d1 * d1 + d2 * d2
    b = d0 * to_origin[0] + d1 * to_origin[1] + d2 * to_origin[2]
    root = np.sqrt(b * b - a * (to_origin @ to_origin - radius**2))
    entry = (-b - root) / a
    seen = (entry > _NEAR_M) & (entry < hits.depth[rectangle])
    if not seen.any():
        return
    depth = entry[seen]
    directions = np.stack([d0[seen], d1[seen], d2[seen]], axis=-1)
    normals = (to_origin + depth[:, None] * directions) / radius
    u = radius * np.arctan2(normals[:, 1], normals[:, 0])
    v = radius * np.arcsin(np.clip(normals[:, 2], -1.0, 1.0))
    values = (depth, np.full(depth.shape, surface), u, v, _diffuse(normals))
    _write(hits, rectangle, seen, values)


def _write(
    hits: _Hits,
    rectangle: tuple[slice, slice],
    seen: NDArray[np.bool_],
    values: tuple[
        FloatArray,
        NDArray[np.intp],
        NDArray[np.floating],
        NDArray[np.floating],
        NDArray[np.floating],
    ],
) -> None:
    """Write depth, surface, u, v and light of the seen pixels of a rectangle."""
    depth, surface, u, v, light = values
    hits.depth[rectangle][seen] = depth
    hits.surface[rectangle][seen] = surface
    hits.u_m[rectangle][seen] = u
    hits.v_m[rectangle][seen] = v
    hits.light[rectangle][seen] = light
