"""Ray casting for many small views at once.

Views are taken in blocks that fit a processor's cache. Within a block every (view, object) pair
that may be visible is tested against all rays of its view; the n-th visible objects of all views
together, so that a step works on a few large arrays. All rays have z = 1 in the optical frame:
the ray parameter of a hit is its depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.synthetic.family_scene import MAX_BALLS, MAX_BOXES, FamilyScene

Float32Array = NDArray[np.float32]
Numbers = NDArray[np.intp]

ENCLOSURE_FACES = 6
FLOOR, CEILING = 4, 5
FIRST_BOX = ENCLOSURE_FACES
FIRST_BALL = ENCLOSURE_FACES + MAX_BOXES
_NEAR_M = 1e-3
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class SceneArrays:
    """Scenes side by side, padded to the largest number of objects."""

    half: Float32Array
    """(S, 2) enclosure."""
    height: Float32Array
    """(S,) of the walls."""
    is_open: NDArray[np.bool_]
    """(S,) whether the sky is above."""
    centre: Float32Array
    """(S, O, 3) of boxes, then balls."""
    size: Float32Array
    """(S, O, 3) half sizes of boxes; the radius, three times, of balls."""
    turn: Float32Array
    """(S, O, 2) cosine and sine of a box's yaw."""
    present: NDArray[np.bool_]
    """(S, O) whether there is such an object."""
    colours: Float32Array
    """(S, 6 + O, 3)."""
    light: Float32Array
    """(S, 3)."""
    ambient: Float32Array
    """(S,)."""

    @staticmethod
    def of(scenes: list[FamilyScene]) -> SceneArrays:
        """Put scenes side by side."""
        count, objects = len(scenes), MAX_BOXES + MAX_BALLS
        centre = np.zeros((count, objects, 3), np.float32)
        size = np.ones((count, objects, 3), np.float32)
        turn = np.zeros((count, objects, 2), np.float32)
        turn[..., 0] = 1.0
        present = np.zeros((count, objects), np.bool_)
        for row, scene in enumerate(scenes):
            boxes = slice(0, len(scene.box_yaws_rad))
            balls = slice(MAX_BOXES, MAX_BOXES + len(scene.ball_radii_m))
            centre[row, boxes], centre[row, balls] = scene.box_centres_m, scene.ball_centres_m
            size[row, boxes] = scene.box_halves_m
            size[row, balls] = scene.ball_radii_m[:, None]
            turn[row, boxes, 0] = np.cos(scene.box_yaws_rad)
            turn[row, boxes, 1] = np.sin(scene.box_yaws_rad)
            present[row, boxes] = present[row, balls] = True
        plans = [scene.plan for scene in scenes]
        return SceneArrays(
            half=np.array([(p.half_x_m, p.half_y_m) for p in plans], np.float32),
            height=np.array([p.height_m for p in plans], np.float32),
            is_open=np.array([p.kind.is_open for p in plans]),
            centre=centre,
            size=size,
            turn=turn,
            present=present,
            colours=np.array([scene.colours for scene in scenes], np.float32),
            light=np.array([scene.light for scene in scenes], np.float32),
            ambient=np.array([scene.ambient for scene in scenes], np.float32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """Rays of N views, P pixels each."""

    scene: Numbers
    """(N,) scene of each view."""
    origin: Float32Array
    """(N, 3) world."""
    direction: Float32Array
    """(3, N, P) world, of z = 1 in the optical frame, no component exactly zero."""
    forward: Float32Array
    """(N, 3) optical axis in the world."""
    cosine: Float32Array
    """(N,) cosine of the largest angle between a ray and the optical axis."""


def make_rays(
    scene: Numbers, rotation: Float32Array, origin: Float32Array, pixels: Float32Array
) -> Rays:
    """Return the rays of views.

    Args:
        scene: (N,) scene of each view.
        rotation: (N, 3, 3) world_from_camera.
        origin: (N, 3) camera centres.
        pixels: (N, 2, P) normalised image coordinates x, y.
    """
    direction = np.matmul(rotation[..., :2], pixels) + rotation[..., 2:]
    direction = np.ascontiguousarray(np.moveaxis(direction, 1, 0))
    direction[direction == 0] = _TINY
    widest = (pixels**2).sum(axis=1).max(axis=1)
    return Rays(scene, origin, direction, rotation[..., 2], 1.0 / np.sqrt(1.0 + widest))


def cast(rays: Rays, scenes: SceneArrays) -> tuple[Float32Array, Numbers]:
    """Return depth (N, P) and the surface that every ray meets first (N, P).

    Surfaces are numbered like the rows of `FamilyScene.colours`. Rays through the open top have
    an infinite depth.
    """
    depth, surface = _cast_enclosure(rays, scenes)
    with np.errstate(invalid='ignore'):
        for views, objects in _visible(rays, scenes):
            boxes = objects < MAX_BOXES
            for chosen, test in ((boxes, _enter_box), (~boxes, _enter_ball)):
                if not chosen.any():
                    continue
                rows, things = views[chosen], objects[chosen]
                entry = test(rays, scenes, rows, things)
                nearest = depth[rows]
                hit = (entry > _NEAR_M) & (entry < nearest)
                depth[rows] = np.where(hit, entry, nearest)
                number = (FIRST_BOX + things)[:, None]
                surface[rows] = np.where(hit, number, surface[rows])
    return depth, surface


def _cast_enclosure(rays: Rays, scenes: SceneArrays) -> tuple[Float32Array, Numbers]:
    half, height = scenes.half[rays.scene], scenes.height[rays.scene]
    dx, dy, dz = rays.direction
    ox, oy, oz = rays.origin.T[..., None]
    to_x = (np.copysign(half[:, :1], dx) - ox) / dx
    to_y = (np.copysign(half[:, 1:], dy) - oy) / dy
    to_z = (np.where(dz > 0, height[:, None], np.float32(0.0)) - oz) / dz
    depth = np.minimum(np.minimum(to_x, to_y), to_z)
    along = np.where(to_x == depth, dx > 0, 2 + (dy > 0))
    surface = np.where(to_z == depth, FLOOR + (dz > 0), along)
    sky = (surface == CEILING) & scenes.is_open[rays.scene][:, None]
    depth[sky] = np.inf
    return depth, surface


def _visible(rays: Rays, scenes: SceneArrays) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield rounds of views and one object for each, every visible pair once."""
    centre, size = scenes.centre[rays.scene], scenes.size[rays.scene]
    radius = np.sqrt((size**2).sum(axis=-1))
    offset = centre - rays.origin[:, None]
    distance = np.sqrt((offset**2).sum(axis=-1))
    ahead = np.einsum('noc,nc->no', offset, rays.forward)
    # The sphere around the object against the cone around the image.
    cone = np.arccos(rays.cosine)[:, None]
    reach = np.arcsin(np.minimum(radius / np.maximum(distance, 1e-6), 1.0))
    angle = np.arccos(np.clip(ahead / np.maximum(distance, 1e-6), -1.0, 1.0))
    seen = scenes.present[rays.scene] & ((angle < cone + reach) | (distance <= radius))
    rank = np.cumsum(seen, axis=1)
    for turn in range(1, int(rank.max(initial=0)) + 1):
        views, objects = np.nonzero(seen & (rank == turn))
        yield views, objects


def _enter_box(rays: Rays, scenes: SceneArrays, rows: Numbers, things: Numbers) -> Float32Array:
    """Return where rays enter boxes, -1 where they miss."""
    scene = rays.scene[rows]
    cosine, sine = scenes.turn[scene, things].T[..., None]
    half = scenes.size[scene, things].T[..., None]
    ox, oy, oz = (rays.origin[rows] - scenes.centre[scene, things]).T[..., None]
    dx, dy, dz = (component[rows] for component in rays.direction)
    local = (
        (cosine * dx + sine * dy, cosine * ox + sine * oy, half[0]),
        (cosine * dy - sine * dx, cosine * oy - sine * ox, half[1]),
        (dz, oz, half[2]),
    )
    near, far = None, None
    for direction, origin, extent in local:
        inverse = 1.0 / np.where(direction == 0, np.float32(_TINY), direction)
        middle = -origin * inverse
        reach = extent * np.abs(inverse)
        near = middle - reach if near is None else np.maximum(near, middle - reach)
        far = middle + reach if far is None else np.minimum(far, middle + reach)
    assert near is not None
    assert far is not None
    return np.asarray(np.where(near < far, near, np.float32(-1.0)))


def _enter_ball(rays: Rays, scenes: SceneArrays, rows: Numbers, things: Numbers) -> Float32Array:
    """Return where rays enter balls; NaN where they miss."""
    scene = rays.scene[rows]
    offset = (rays.origin[rows] - scenes.centre[scene, things]).T[..., None]
    radius = scenes.size[scene, things, 0][:, None]
    d = [component[rows] for component in rays.direction]
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = d[0] * offset[0] + d[1] * offset[1] + d[2] * offset[2]
    c = (offset**2).sum(axis=0) - radius * radius
    return np.asarray((-b - np.sqrt(b * b - a * c)) / a)
