"""What stands in the room: walls, boxes and balls, each with a material of fixed physical size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import rotation_from_rpy
from da3_ros.geometry.se3 import invert, rigid, transform_points

Colour = tuple[float, float, float]

ROOM_SIZE_M = (10.0, 8.0, 3.0)
_BOXES_ON_FLOOR = 9
_BALLS = 3
_POSTERS = 10


@dataclass(frozen=True, slots=True)
class Material:
    """A pattern of tiles; lengths are physical, so that nearer looks larger."""

    colour: Colour
    """RGB in 0..1."""
    second_colour: Colour
    """RGB that tiles vary towards."""
    tile_m: tuple[float, float]
    """Width and height of a tile."""
    joint_m: float
    """Width of the dark joint between tiles; 0 for none."""
    checker: bool = False
    """Whether the two colours alternate strictly rather than at random."""
    variation: float = 0.15
    """Relative spread of brightness from tile to tile."""
    grain: float = 0.12
    """Relative amplitude of the fine noise."""
    glow: float = 0.0
    """Light that the surface gives by itself, added to what falls on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """A solid cuboid."""

    world_from_box: FloatArray
    """(4, 4); the origin is the box's centre."""
    size_m: tuple[float, float, float]
    material: Material


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """A solid sphere."""

    centre_m: tuple[float, float, float]
    """In the world."""
    radius_m: float
    material: Material


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A room around the world's origin, z up, floor at z = 0, with solids in it."""

    room_size_m: tuple[float, float, float]
    """Extent along world x, y, z; x and y are centred."""
    floor: Material
    ceiling: Material
    walls: tuple[Material, Material, Material, Material]
    """At -x, +x, -y, +y."""
    boxes: tuple[Box, ...]
    balls: tuple[Ball, ...]

    def clearance_m(self, points: FloatArray) -> FloatArray:
        """Return for world points (N, 3) the distance (N,) to the nearest surface.

        Negative inside a solid or outside the room.
        """
        half = np.array(self.room_size_m) / 2
        best = (half - np.abs(points - (0.0, 0.0, half[2]))).min(axis=1)
        for box in self.boxes:
            best = np.minimum(best, _distance_to_box(points, box))
        for ball in self.balls:
            centre = np.array(ball.centre_m)
            best = np.minimum(best, np.linalg.norm(points - centre, axis=1) - ball.radius_m)
        return np.asarray(best)


def _distance_to_box(points: FloatArray, box: Box) -> FloatArray:
    local = transform_points(invert(box.world_from_box), points)
    excess = np.abs(local) - np.array(box.size_m) / 2
    outside = np.linalg.norm(np.maximum(excess, 0.0), axis=1)
    return np.asarray(outside + np.minimum(excess.max(axis=1), 0.0))


def make_scene(seed: int, path: FloatArray, clearance_m: float = 0.6) -> Scene:
    """Return a furnished room in which a path stays free.

    Args:
        seed: decides materials and furniture.
        path: (N, 3) positions in the world that the robot visits.
        clearance_m: horizontal distance that furniture keeps from them.
    """
    rng = np.random.default_rng(seed)
    boxes = list(_furniture(rng, path, clearance_m))
    boxes += [_lamp(x, y) for x in (-2.5, 2.5) for y in (-1.8, 1.8)]
    boxes += [_poster(rng, index) for index in range(_POSTERS)]
    return Scene(
        room_size_m=ROOM_SIZE_M,
        floor=_floor(rng),
        ceiling=Material((0.86, 0.87, 0.88), (0.80, 0.82, 0.84), (0.6, 0.6), 0.012, grain=0.05),
        walls=(_wall(rng), _wall(rng), _wall(rng), _wall(rng)),
        boxes=tuple(boxes),
        balls=tuple(_balls(rng, path, clearance_m)),
    )


def _floor(rng: np.random.Generator) -> Material:
    wood = (
        Material((0.50, 0.36, 0.24), (0.66, 0.50, 0.34), (0.9, 0.14), 0.006, variation=0.2),
        Material((0.46, 0.45, 0.44), (0.72, 0.70, 0.66), (0.5, 0.5), 0.014, checker=True),
        Material((0.55, 0.42, 0.36), (0.66, 0.58, 0.50), (0.3, 0.3), 0.012, variation=0.25),
    )
    return wood[int(rng.integers(len(wood)))]


def _wall(rng: np.random.Generator) -> Material:
    base = np.array([0.74, 0.72, 0.68]) + rng.uniform(-0.16, 0.12, 3)
    other = np.clip(base * rng.uniform(0.82, 0.95), 0, 1)
    tile = ((0.8, 1.5), (0.25, 0.075), (1.2, 0.6))[int(rng.integers(3))]
    return Material(_colour(base), _colour(other), tile, 0.012, variation=0.12, grain=0.10)


def _solid_material(rng: np.random.Generator) -> Material:
    base = rng.uniform(0.15, 0.85, 3)
    tile = float(rng.uniform(0.06, 0.3))
    return Material(
        _colour(base),
        _colour(np.clip(base + rng.uniform(-0.35, 0.35, 3), 0.05, 0.95)),
        (tile, tile * float(rng.uniform(0.5, 1.5))),
        0.008,
        checker=bool(rng.random() < 0.3),
        variation=0.3,
    )


def _furniture(rng: np.random.Generator, path: FloatArray, clearance_m: float) -> Iterator[Box]:
    """Yield boxes on the floor: half of them anywhere inside, half of them along the walls."""
    half = np.array(ROOM_SIZE_M) / 2
    flat_path = path * (1.0, 1.0, 0.0)
    made = 0
    # Most draws succeed; the bound only keeps a path that fills the room from looping for ever.
    for _ in range(400):
        if made == _BOXES_ON_FLOOR:
            return
        size = rng.uniform((0.4, 0.4, 0.4), (1.1, 0.9, 1.9))
        yaw = rng.uniform(-np.pi, np.pi) if made % 2 else 0.0
        reach = half[:2] - 0.5 * float(np.hypot(size[0], size[1]))
        centre = rng.uniform(-reach, reach)
        if made % 2 == 0:
            side = int(rng.integers(2))
            centre[side] = float(rng.choice([-1, 1])) * (half[side] - size[side] / 2)
        world_from_box = rigid(rotation_from_rpy([0.0, 0.0, yaw]), [*centre, size[2] / 2])
        box = Box(world_from_box, (size[0], size[1], size[2]), _solid_material(rng))
        if _distance_to_box(flat_path, box).min() >= clearance_m:
            made += 1
            yield box


def _balls(rng: np.random.Generator, path: FloatArray, clearance_m: float) -> Iterator[Ball]:
    made = 0
    for _ in range(200):
        if made == _BALLS:
            return
        radius = float(rng.uniform(0.18, 0.4))
        x, y = rng.uniform((-4.4, -3.4), (4.4, 3.4))
        distance = np.hypot(path[:, 0] - x, path[:, 1] - y).min() - radius
        if distance >= clearance_m:
            made += 1
            yield Ball((float(x), float(y), radius), radius, _solid_material(rng))


def _lamp(x: float, y: float) -> Box:
    light = Material((1.0, 1.0, 0.96), (1.0, 0.98, 0.92), (0.3, 0.3), 0.01, grain=0.0, glow=1.0)
    return Box(rigid(np.eye(3), [x, y, ROOM_SIZE_M[2] - 0.03]), (1.2, 0.3, 0.06), light)


def _poster(rng: np.random.Generator, index: int) -> Box:
    """Return a thin board on a wall: every wall gets some."""
    side, sign = divmod(index % 4, 2)
    width, height = rng.uniform((0.5, 0.5), (1.6, 1.1))
    centre = np.empty(3)
    centre[side] = (ROOM_SIZE_M[side] / 2 - 0.02) * (1 if sign else -1)
    along = ROOM_SIZE_M[1 - side] / 2 - width
    centre[1 - side] = rng.uniform(-along, along)
    centre[2] = rng.uniform(1.1, 2.1)
    size = (0.04, width, height) if side == 0 else (width, 0.04, height)
    base = rng.uniform(0.05, 0.95, 3)
    cell = float(rng.uniform(0.05, 0.16))
    material = Material(
        _colour(base), _colour(1.0 - base), (cell, cell), 0.0, variation=0.5, grain=0.1
    )
    return Box(rigid(np.eye(3), centre), size, material)


def _colour(values: FloatArray) -> Colour:
    r, g, b = np.clip(values, 0.0, 1.0)
    return float(r), float(g), float(b)
