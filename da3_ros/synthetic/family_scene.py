"""Random scenes of the family: an enclosure, what stands in it, and its colours.

What a scene looks like tells its geometry. Tiles, panels and grids have fixed physical sizes;
floor, walls and ceiling differ in their colours; every wall of an enclosure has the hue of the
direction it stands in, and objects have hues of their own. Within that everything varies: sizes,
shades, number and kind of objects, light.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray

MAX_BOXES = 10
MAX_BALLS = 3
CLEARANCE_M = 0.45
"""Least distance of a camera from anything, in the floor plan."""

_WALL_HUES = (0.02, 0.30, 0.55, 0.80)
# Towards -x, +x, -y, +y: red, green, blue, violet.
_LIGHT = np.array([0.5, 0.3, 0.81])


class Kind(Enum):
    """Kinds of scenes."""

    ROOM = 'room'
    CORRIDOR = 'corridor'
    OUTDOOR = 'outdoor'
    COURTYARD = 'courtyard'
    """Walls of a room without a roof, and pillars in rows. Never trained on."""

    @property
    def is_open(self) -> bool:
        """Whether the sky is above."""
        return self in (Kind.OUTDOOR, Kind.COURTYARD)


TRAINED_KINDS = (Kind.ROOM, Kind.CORRIDOR, Kind.OUTDOOR)
UNSEEN_KINDS = (Kind.COURTYARD,)
FAMILY_VERSION = 4
"""Changes when the scenes of a number change."""
_SHARES = (0.5, 0.25, 0.25)


class Split(Enum):
    """Disjoint sets of scenes."""

    TRAIN = 0
    VALIDATION = 1
    """For choices during training."""
    TEST = 2
    """For figures that are given to users."""
    UNSEEN = 3
    """Scenes of a kind that no training shows."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of scenes in it."""
        return UNSEEN_KINDS if self is Split.UNSEEN else TRAINED_KINDS


@dataclass(frozen=True, slots=True)
class Plan:
    """The enclosure, before anything stands in it."""

    kind: Kind
    half_x_m: float
    half_y_m: float
    height_m: float
    """Of the walls."""


@dataclass(frozen=True, slots=True, eq=False)
class FamilyScene:
    """One scene, world z up, the floor at z = 0, the enclosure centred on the origin."""

    plan: Plan
    box_centres_m: FloatArray
    """(n, 3), n <= MAX_BOXES."""
    box_halves_m: FloatArray
    """(n, 3) half sizes."""
    box_yaws_rad: FloatArray
    """(n,) about z."""
    ball_centres_m: FloatArray
    """(m, 3), m <= MAX_BALLS."""
    ball_radii_m: FloatArray
    """(m,)."""
    colours: FloatArray
    """(6 + MAX_BOXES + MAX_BALLS, 3) RGB 0..1: the faces -x, +x, -y, +y, floor, ceiling (or sky),
    the boxes, the balls."""
    light: FloatArray
    """(3,) unit vector towards the light."""
    ambient: float
    """Share of the light that comes from everywhere."""


def sample_plan(rng: np.random.Generator, kinds: tuple[Kind, ...] = TRAINED_KINDS) -> Plan:
    """Draw an enclosure of one of the kinds."""
    shares = np.array(_SHARES[: len(kinds)])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    if kind is Kind.CORRIDOR:
        sides = (rng.uniform(4.0, 9.0), rng.uniform(0.9, 1.6))
        height = rng.uniform(2.3, 3.0)
        sides = sides if rng.random() < 0.5 else sides[::-1]
    elif kind is Kind.OUTDOOR:
        sides = (rng.uniform(7.0, 16.0), rng.uniform(7.0, 16.0))
        height = rng.uniform(1.5, 4.0)
    else:
        sides = (rng.uniform(2.0, 4.5), rng.uniform(2.0, 4.5))
        height = rng.uniform(2.4, 3.2)
    return Plan(kind, float(sides[0]), float(sides[1]), float(height))


def sample_scene(rng: np.random.Generator, plan: Plan, cameras_xy_m: FloatArray) -> FamilyScene:
    """Furnish an enclosure around cameras.

    Args:
        rng: source of everything random.
        plan: the enclosure.
        cameras_xy_m: (V, 2) where cameras stand; nothing is put there.
    """
    centres, halves, yaws = _place_boxes(rng, plan, cameras_xy_m)
    balls, radii = _place_balls(rng, plan, cameras_xy_m)
    light = _LIGHT + rng.normal(0.0, 0.08, 3)
    return FamilyScene(
        plan=plan,
        box_centres_m=centres,
        box_halves_m=halves,
        box_yaws_rad=yaws,
        ball_centres_m=balls,
        ball_radii_m=radii,
        colours=_sample_colours(rng, plan),
        light=light / np.linalg.norm(light),
        ambient=float(rng.uniform(0.45, 0.65)),
    )


def _place_boxes(
    rng: np.random.Generator, plan: Plan, cameras_xy_m: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    count = int(rng.integers(4, MAX_BOXES + 1))
    halves, yaws = np.empty((count, 3)), rng.uniform(-np.pi, np.pi, count)
    room = np.array([plan.half_x_m, plan.half_y_m])
    if plan.kind is Kind.COURTYARD:
        # Pillars: square, as high as the walls, upright in the directions of the walls.
        halves[:, :2] = rng.uniform(0.12, 0.25)
        halves[:, 2] = plan.height_m / 2
        yaws[:] = 0.0
    elif plan.kind is Kind.CORRIDOR:
        halves[:] = rng.uniform((0.15, 0.15, 0.2), (0.35, 0.35, 1.0), (count, 3))
        yaws[:] = 0.0
    else:
        size = 1.6 if plan.kind is Kind.OUTDOOR else 1.0
        halves[:] = size * rng.uniform((0.15, 0.15, 0.2), (0.6, 0.6, 0.9), (count, 3))
        yaws[rng.random(count) < 0.5] = 0.0
    reach = np.linalg.norm(halves[:, :2], axis=1)
    spread = np.maximum(room - 0.6 * reach[:, None], 0.0)
    if plan.kind is Kind.OUTDOOR:
        spread = np.minimum(spread, 8.0)
    centres = np.empty((count, 3))
    centres[:, :2] = rng.uniform(-spread, spread)
    if plan.kind is Kind.CORRIDOR:
        _push_to_long_walls(centres, halves, plan)
    centres[:, 2] = halves[:, 2]
    free = _is_free(centres[:, :2], reach, cameras_xy_m)
    return centres[free], halves[free], yaws[free]


def _push_to_long_walls(centres: FloatArray, halves: FloatArray, plan: Plan) -> None:
    short = 0 if plan.half_x_m < plan.half_y_m else 1
    half = min(plan.half_x_m, plan.half_y_m)
    side = np.where(centres[:, short] < 0, -1.0, 1.0)
    centres[:, short] = side * (half - halves[:, short])


def _place_balls(
    rng: np.random.Generator, plan: Plan, cameras_xy_m: FloatArray
) -> tuple[FloatArray, FloatArray]:
    count = int(rng.integers(0, MAX_BALLS + 1))
    radii = rng.uniform(0.15, 0.45, count)
    spread = np.minimum(np.array([plan.half_x_m, plan.half_y_m]), 6.0) - radii[:, None]
    centres = np.empty((count, 3))
    centres[:, :2] = rng.uniform(-1.0, 1.0, (count, 2)) * spread
    centres[:, 2] = radii
    free = _is_free(centres[:, :2], radii, cameras_xy_m)
    return centres[free], radii[free]


def _is_free(
    centres_xy_m: FloatArray, reach_m: FloatArray, cameras_xy_m: FloatArray
) -> NDArray[np.bool_]:
    offsets = centres_xy_m[:, None] - cameras_xy_m[None]
    distance = np.sqrt((offsets**2).sum(axis=-1)).min(axis=1)
    return np.asarray(distance > reach_m + CLEARANCE_M)


def _sample_colours(rng: np.random.Generator, plan: Plan) -> FloatArray:
    """Return the colours of `FamilyScene.colours`."""
    colours = np.empty((6 + MAX_BOXES + MAX_BALLS, 3))
    saturation, value = rng.uniform(0.35, 0.6), rng.uniform(0.7, 0.9)
    for face, hue in enumerate(_WALL_HUES):
        jitter = rng.uniform(-0.03, 0.03)
        shade = value * rng.uniform(0.92, 1.0)
        colours[face] = colorsys.hsv_to_rgb((hue + jitter) % 1.0, saturation, shade)
    floor_hue = 0.22 if plan.kind.is_open else 0.09
    colours[4] = colorsys.hsv_to_rgb(
        floor_hue + rng.uniform(-0.02, 0.02), rng.uniform(0.15, 0.4), rng.uniform(0.4, 0.65)
    )
    colours[5] = colorsys.hsv_to_rgb(0.13, rng.uniform(0.0, 0.06), rng.uniform(0.92, 1.0))
    # Hues of the objects are spread evenly, so that two of one colour are rare.
    count = MAX_BOXES + MAX_BALLS
    hues = (rng.permutation(count) + rng.uniform(-0.3, 0.3, count)) / count
    for index, hue in enumerate(hues):
        colours[6 + index] = colorsys.hsv_to_rgb(
            hue % 1.0, rng.uniform(0.7, 0.95), rng.uniform(0.55, 0.95)
        )
    return colours
