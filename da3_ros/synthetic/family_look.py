"""Colours of the family: patterns of fixed physical size, light from one direction."""

from __future__ import annotations

import numpy as np

from da3_ros.synthetic.family_cast import (
    CEILING,
    FIRST_BALL,
    FIRST_BOX,
    FLOOR,
    Float32Array,
    Numbers,
    Rays,
    SceneArrays,
)

FLOOR_TILE_M = 0.5
PANEL_M = 1.0
DADO_M = 1.0
CEILING_PANEL_M = 0.6
BOX_GRID_M = 0.25
BALL_BAND_M = 0.15

_ENCLOSURE_NORMALS = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32
)
_SUN_AZIMUTH_RAD = 0.54
_SKY_BLUE = np.array([0.45, 0.65, 0.95], np.float32)
_SKY_WARM = np.array([1.0, 0.85, 0.55], np.float32)
_JOINT_M = 0.04


def shade(
    rays: Rays,
    scenes: SceneArrays,
    depth: Float32Array,
    surface: Numbers,
    focal_px: Float32Array,
) -> Float32Array:
    """Return colours (N, P, 3), about 0..1.

    Args:
        rays: of N views.
        scenes: what they look at.
        depth: (N, P) result of casting.
        surface: (N, P) likewise.
        focal_px: (N,) focal lengths.
    """
    reach = np.where(np.isfinite(depth), depth, np.float32(0.0))
    points = [rays.origin[:, k, None] + reach * rays.direction[k] for k in range(3)]
    scene = np.broadcast_to(rays.scene[:, None], surface.shape)
    albedo = scenes.colours[scene, surface]
    # Width of a pixel on a surface that faces the camera.
    footprint = np.asarray(reach / focal_px[:, None], np.float32)
    length = np.sqrt(sum(component**2 for component in rays.direction))
    tone = np.ones(depth.shape, np.float32)
    normal = np.zeros((*depth.shape, 3), np.float32)
    enclosure = surface < FIRST_BOX
    normal[enclosure] = _ENCLOSURE_NORMALS[surface[enclosure]]
    _enclosure_tone(tone, surface, points, rays, footprint * length)
    _object_tone(tone, normal, scenes, scene, surface, points, footprint)
    diffuse = np.maximum(np.einsum('npc,nc->np', normal, scenes.light[rays.scene]), 0.0)
    ambient = scenes.ambient[rays.scene][:, None]
    light = np.where(surface == CEILING, np.float32(1.0), ambient + (1 - ambient) * diffuse)
    light *= np.float32(0.85) + np.float32(0.1) * np.minimum(points[2], np.float32(1.5))
    colour = albedo * (tone * light)[..., None]
    _paint_sky(colour, rays, ~np.isfinite(depth), length)
    return np.asarray(colour)


def _fade(footprint_m: Float32Array, period_m: float) -> Float32Array:
    """Return how much of a pattern is left when pixels are as wide as that."""
    return np.asarray(np.clip(1.5 - footprint_m * np.float32(2.0 / period_m), 0.0, 1.0))


def _checker(u: Float32Array, v: Float32Array, period_m: float) -> Float32Array:
    """Return -1 or 1 in turns."""
    cells = np.floor(u * np.float32(1 / period_m)) + np.floor(v * np.float32(1 / period_m))
    return np.asarray(1.0 - 2.0 * (cells.astype(np.int32) & 1).astype(np.float32))


def _enclosure_tone(
    tone: Float32Array,
    surface: Numbers,
    points: list[Float32Array],
    rays: Rays,
    slant: Float32Array,
) -> None:
    x, y, z = points
    for part, axis in ((surface < 2, 0), ((surface == 2) | (surface == 3), 1)):
        along, height = (y if axis == 0 else x)[part], z[part]
        obliquity = np.abs(rays.direction[axis][part])
        left = _fade(slant[part] / np.maximum(obliquity, 0.05), PANEL_M)
        panels = 0.10 * _checker(along, np.zeros_like(along), PANEL_M)
        tone[part] = 1.0 + left * panels - np.where(height < DADO_M, 0.28, 0.0)
    flat = ((FLOOR, FLOOR_TILE_M, 0.22), (CEILING, CEILING_PANEL_M, 0.07))
    for number, period, contrast in flat:
        part = surface == number
        obliquity = np.maximum(np.abs(rays.direction[2][part]), 0.02)
        left = _fade(slant[part] / obliquity, period)
        tone[part] = 1.0 + contrast * left * _checker(x[part], y[part], period)


def _object_tone(
    tone: Float32Array,
    normal: Float32Array,
    scenes: SceneArrays,
    scene: Numbers,
    surface: Numbers,
    points: list[Float32Array],
    footprint: Float32Array,
) -> None:
    part = surface >= FIRST_BOX
    if not part.any():
        return
    row, thing = scene[part], surface[part] - FIRST_BOX
    centre, size, turn = (a[row, thing] for a in (scenes.centre, scenes.size, scenes.turn))
    offset = np.stack([p[part] for p in points], axis=-1) - centre
    cosine, sine = turn.T
    local = offset.copy()
    local[:, 0] = cosine * offset[:, 0] + sine * offset[:, 1]
    local[:, 1] = cosine * offset[:, 1] - sine * offset[:, 0]
    is_ball = surface[part] >= FIRST_BALL
    relative = local / size
    axis = np.abs(relative).argmax(axis=-1)
    every = np.arange(len(axis))
    sign = np.sign(relative[every, axis])
    face = np.zeros_like(local)
    face[every, axis] = sign
    facing = np.empty_like(face)
    facing[:, 0] = cosine * face[:, 0] - sine * face[:, 1]
    facing[:, 1] = sine * face[:, 0] + cosine * face[:, 1]
    facing[:, 2] = face[:, 2]
    normal[part] = np.where(is_ball[:, None], relative, facing)
    left = _fade(footprint[part], BOX_GRID_M)
    # Grids start at the lower edge of a box, bands at the lowest point of a ball.
    local[:, 2] += size[:, 2]
    nearest_line = np.abs(local / BOX_GRID_M - np.round(local / BOX_GRID_M)) * BOX_GRID_M
    nearest_line[every, axis] = 1.0
    joint = (nearest_line.min(axis=-1) < _JOINT_M / 2) * np.float32(-0.45)
    band = 0.25 * _checker(local[:, 2], np.zeros_like(axis, np.float32), BALL_BAND_M)
    tone[part] = 1.0 + left * np.where(is_ball, band, joint)


def _paint_sky(colour: Float32Array, rays: Rays, sky: object, length: Float32Array) -> None:
    mask = np.asarray(sky)
    if not mask.any():
        return
    x, y, z = (component[mask] for component in rays.direction)
    level = np.sqrt(x * x + y * y)
    towards = (x * np.cos(_SUN_AZIMUTH_RAD) + y * np.sin(_SUN_AZIMUTH_RAD)) / level
    warm = (0.5 + 0.5 * towards)[:, None].astype(np.float32)
    rise = np.clip(z / length[mask], 0.0, 1.0)[:, None]
    colour[mask] = (warm * _SKY_WARM + (1 - warm) * _SKY_BLUE) * (1.0 - 0.3 * rise)
