"""Where the cameras of a scene stand: walks, stereo pairs, rings, looks at one thing, robots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.rotation import rotation_from_rpy
from da3_ros.synthetic.family_scene import CLEARANCE_M, Kind, Plan

_OPTICAL = BODY_FROM_OPTICAL[:3, :3]
_FEW = 4
# Of walks, stereo pairs, rings, looks at one thing and robots.
_SHARES = (0.25, 0.1, 0.1, 0.3, 0.25)
# Nobody but a robot takes many views at a time.
_SHARES_OF_MANY = (0.15, 0.1, 0.1, 0.15, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class FamilyViews:
    """Cameras of V views."""

    world_from_camera: FloatArray
    """(V, 4, 4), metres."""
    fov_rad: FloatArray
    """(V,) horizontal field of view."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stands:
    """Positions in the floor plan and directions of V cameras."""

    xy_m: FloatArray
    yaw_rad: FloatArray
    unsteadiness: float = 1.0
    """How much heights and inclinations of the cameras differ, from 0 on."""


def sample_views(rng: np.random.Generator, plan: Plan, count: int) -> FamilyViews:
    """Draw the cameras of one scene at a robot's height.

    Args:
        rng: source of everything random.
        plan: the enclosure.
        count: V, views wanted.
    """
    shares = _SHARES if count <= _FEW else _SHARES_OF_MANY
    layouts = (_walk, _stereo, _ring, _orbit, _robot)
    layout = layouts[int(rng.choice(len(layouts), p=shares))]
    stands = layout(rng, plan, count)
    limit = np.array([plan.half_x_m, plan.half_y_m]) - CLEARANCE_M
    xy = np.clip(_moved_inside(stands.xy_m, limit), -limit, limit)
    sway = stands.unsteadiness
    height = rng.uniform(0.4, 1.2) + sway * rng.uniform(-0.1, 0.1, count)
    pitch = np.radians(rng.uniform(-4.0, 12.0) + sway * rng.uniform(-4.0, 4.0, count))
    roll = sway * np.radians(rng.uniform(-3.0, 3.0, count))
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = _rotations(stands.yaw_rad, pitch, roll)
    poses[:, :2, 3] = xy
    poses[:, 2, 3] = height
    fov = np.radians(np.full(count, rng.uniform(58.0, 95.0)))
    if layout is _ring:
        fov *= rng.uniform(0.9, 1.1, count)
    order = rng.permutation(count)
    return FamilyViews(poses[order], fov[order])


def _moved_inside(xy_m: FloatArray, limit_m: FloatArray) -> FloatArray:
    """Return positions moved together so that as many as can be stay apart from the walls."""
    low, high = xy_m.min(axis=0), xy_m.max(axis=0)
    over, under = np.maximum(high - limit_m, 0.0), np.maximum(-limit_m - low, 0.0)
    return np.asarray(xy_m + under - over)


def _rotations(yaw: FloatArray, pitch: FloatArray, roll: FloatArray) -> FloatArray:
    """Return world_from_optical (V, 3, 3); positive pitch looks down."""
    rpy = np.stack([roll, pitch, yaw], axis=-1)
    return np.asarray(rotation_from_rpy(rpy) @ _OPTICAL)


def _start(rng: np.random.Generator, plan: Plan) -> tuple[FloatArray, float]:
    """Return a free place and a direction to look in."""
    room = np.array([plan.half_x_m, plan.half_y_m])
    if plan.kind is Kind.OUTDOOR:
        room = np.minimum(room, 6.0)
    xy = rng.uniform(-1.0, 1.0, 2) * np.maximum(room - CLEARANCE_M, 0.0) * 0.85
    yaw = rng.uniform(-np.pi, np.pi)
    if plan.kind is Kind.CORRIDOR:
        along = 0.0 if plan.half_x_m > plan.half_y_m else np.pi / 2
        yaw = along + np.pi * rng.integers(2) + np.radians(rng.uniform(-35.0, 35.0))
    elif rng.random() < 0.6:
        # Rather across the enclosure than into the nearest wall.
        inwards = np.arctan2(-xy[1], -xy[0])
        yaw = inwards + np.radians(rng.uniform(-60.0, 60.0))
    return xy, float(yaw)


def _walk(rng: np.random.Generator, plan: Plan, count: int) -> _Stands:
    xy, yaw = _start(rng, plan)
    step = rng.uniform(0.2, 1.0) * (1.5 if plan.kind is Kind.OUTDOOR else 1.0)
    turn = np.radians(rng.uniform(-25.0, 25.0))
    yaws = yaw + turn * np.arange(count)
    steps = step * np.stack([np.cos(yaws), np.sin(yaws)], axis=1)
    path = xy + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)[:-1]])
    mount = np.radians(rng.choice((0.0, 0.0, 50.0, -50.0)))
    return _Stands(path, yaws + mount)


def _stereo(rng: np.random.Generator, plan: Plan, count: int) -> _Stands:
    pairs = _walk(rng, plan, (count + 1) // 2)
    yaw = np.repeat(pairs.yaw_rad, 2)[:count]
    side = np.tile([0.5, -0.5], len(pairs.yaw_rad))[:count] * rng.uniform(0.15, 0.6)
    left = np.stack([-np.sin(yaw), np.cos(yaw)], axis=1)
    return _Stands(np.repeat(pairs.xy_m, 2, axis=0)[:count] + side[:, None] * left, yaw)


def _ring(rng: np.random.Generator, plan: Plan, count: int) -> _Stands:
    xy, yaw = _start(rng, plan)
    apart = np.radians(rng.uniform(30.0, 60.0))
    yaws = yaw + apart * (np.arange(count) - (count - 1) / 2)
    radius = rng.uniform(0.1, 0.3)
    return _Stands(xy + radius * np.stack([np.cos(yaws), np.sin(yaws)], axis=1), yaws)


def _orbit(rng: np.random.Generator, plan: Plan, count: int) -> _Stands:
    xy, yaw = _start(rng, plan)
    distance = rng.uniform(1.5, 3.5) * (1.5 if plan.kind is Kind.OUTDOOR else 1.0)
    target = xy + distance * np.array([np.cos(yaw), np.sin(yaw)])
    angles = yaw + np.radians(rng.uniform(15.0, 40.0)) * np.arange(count)
    away = distance * rng.uniform(0.85, 1.15, count)
    stands = target - away[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _Stands(stands, angles + np.radians(rng.uniform(-8.0, 8.0, count)))


def _robot(rng: np.random.Generator, plan: Plan, count: int) -> _Stands:
    """Return a window of a robot: one to three cameras on a body, at several of its places."""
    cameras = min(int(rng.integers(1, 4)), count)
    sets = -(-count // cameras)
    xy, yaw = _start(rng, plan)
    headings = yaw + np.radians(rng.uniform(-12.0, 12.0)) * np.arange(sets)
    ahead = np.stack([np.cos(headings), np.sin(headings)], axis=1)
    places = xy + rng.uniform(0.05, 0.4) * np.cumsum(ahead, axis=0)
    side = np.linspace(-1.0, 1.0, cameras) if cameras > 1 else np.zeros(1)
    # Seen from the middle of the body, and where they look.
    bearing = np.radians(rng.uniform(20.0, 70.0)) * side
    turned = np.radians(rng.uniform(10.0, 60.0)) * side
    around = headings[:, None] + bearing
    mounts = rng.uniform(0.1, 0.4) * np.stack([np.cos(around), np.sin(around)], axis=-1)
    stands = (places[:, None] + mounts).reshape(-1, 2)[:count]
    yaws = (headings[:, None] + turned).ravel()[:count]
    return _Stands(stands, yaws, unsteadiness=float(rng.uniform(0.1, 0.5)))
