"""Colour of surface points: tiles, joints and grain, filtered to the size of a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from da3_ros.synthetic.scene import Material

Float32Array = NDArray[np.float32]
SurfaceNumbers = NDArray[np.int32]

_GRAIN_TEXEL_M = 0.005
_GRAIN_SIDE = 512
_GRAIN_LEVELS = 7
_RANDOM_SIDE = 256
_BLOCK = 16384
_JOINT_DARKNESS = np.float32(0.55)
_HALF = np.float32(0.5)


class TextureSet:
    """The materials of all surfaces of a scene, evaluated for many points at once.

    Args:
        materials: one for each surface number.
        seed: of the random tiles and the grain.
    """

    def __init__(self, materials: Sequence[Material], seed: int) -> None:
        rng = np.random.default_rng((seed, 1))
        self._colour = _table([m.colour for m in materials])
        self._contrast = _table([m.second_colour for m in materials]) - self._colour
        self._tile_u, self._tile_v = _table([m.tile_m for m in materials]).T.copy()
        self._joint = _table([m.joint_m for m in materials])
        self._variation = _table([m.variation for m in materials])
        self._grain_gain = _table([m.grain for m in materials])
        self._checker = np.array([m.checker for m in materials])
        self._shift = rng.integers(0, _RANDOM_SIDE**2, len(materials)).astype(np.int32)
        self._random = rng.random((2, _RANDOM_SIDE**2)).astype(np.float32)
        self._grain = _grain_pyramid(rng).ravel()

    def albedo(
        self,
        surface: SurfaceNumbers,
        u_m: Float32Array,
        v_m: Float32Array,
        footprint_m: Float32Array,
    ) -> Float32Array:
        """Return RGB (N, 3) in 0..1 of points.

        Args:
            surface: (N,) surface numbers.
            u_m: (N,) first surface coordinate.
            v_m: (N,) second surface coordinate.
            footprint_m: (N,) width of a pixel on the surface; finer detail is averaged out.
        """
        colour = np.empty((len(surface), 3), np.float32)
        # Blocks that stay in the processor's cache take half the time of the whole image.
        for start in range(0, len(surface), _BLOCK):
            part = slice(start, start + _BLOCK)
            colour[part] = self._block(surface[part], u_m[part], v_m[part], footprint_m[part])
        return colour

    def _block(
        self,
        surface: SurfaceNumbers,
        u_m: Float32Array,
        v_m: Float32Array,
        footprint_m: Float32Array,
    ) -> Float32Array:
        tile_u, tile_v = self._tile_u.take(surface), self._tile_v.take(surface)
        a, b = u_m / tile_u, v_m / tile_v
        column, row = np.floor(a).astype(np.int32), np.floor(b).astype(np.int32)
        cell = (row * _RANDOM_SIDE + column + self._shift.take(surface)) & (_RANDOM_SIDE**2 - 1)
        mix = np.where(
            self._checker.take(surface),
            ((column + row) & 1).astype(np.float32),
            self._random[0].take(cell),
        )
        # Tiles smaller than a pixel fade to their mean colour.
        blur = footprint_m / np.minimum(tile_u, tile_v)
        blur *= blur
        sharp = 1 / (1 + blur * blur)
        mix = _HALF + sharp * (mix - _HALF)
        gain = 1 + sharp * self._variation.take(surface) * (self._random[1].take(cell) - _HALF)
        gain *= 1 + self._grain_gain.take(surface) * self._grain_at(u_m, v_m, footprint_m)
        joint = self._joint.take(surface)
        a -= np.rint(a)
        b -= np.rint(b)
        distance = np.minimum(np.abs(a) * tile_u, np.abs(b) * tile_v)
        gain *= 1 - _JOINT_DARKNESS * _joint_cover(joint, distance, footprint_m)
        colour = self._colour.take(surface, axis=0)
        colour += mix[:, None] * self._contrast.take(surface, axis=0)
        colour *= gain[:, None]
        return colour

    def _grain_at(
        self, u_m: Float32Array, v_m: Float32Array, footprint_m: Float32Array
    ) -> Float32Array:
        """Return noise (N,) of about unit amplitude, from the level that fits the pixel."""
        texel = np.float32(_GRAIN_TEXEL_M)
        level = np.log2(np.maximum(footprint_m / texel, np.float32(1))).astype(np.int32)
        index = np.minimum(level, _GRAIN_LEVELS - 1)
        x = np.floor(u_m / texel).astype(np.int32) & (_GRAIN_SIDE - 1)
        y = np.floor(v_m / texel).astype(np.int32) & (_GRAIN_SIDE - 1)
        return np.asarray(self._grain.take((index * _GRAIN_SIDE + y) * _GRAIN_SIDE + x))


def _joint_cover(
    joint: Float32Array, distance: Float32Array, footprint_m: Float32Array
) -> Float32Array:
    """Return the share (N,) of a pixel that a joint covers, from the distance to its middle."""
    width = np.maximum(footprint_m, np.float32(1e-4))
    cover = np.minimum((_HALF * joint - distance) / width + _HALF, joint / width)
    return np.asarray(np.clip(cover, np.float32(0), np.float32(1)))


def _table(values: object) -> Float32Array:
    return np.asarray(values, dtype=np.float32)


def _grain_pyramid(rng: np.random.Generator) -> Float32Array:
    """Return noise (levels, side, side): level n holds means over 2^n texels."""
    side = _GRAIN_SIDE
    noise = np.zeros((side, side), np.float32)
    for block in (1, 2, 4, 8, 16):
        cells = rng.standard_normal((side // block, side // block)).astype(np.float32)
        noise += np.kron(cells, np.ones((block, block), np.float32))
    noise /= noise.std()
    levels = []
    for n in range(_GRAIN_LEVELS):
        block = 2**n
        mean = noise.reshape(side // block, block, side // block, block).mean(axis=(1, 3))
        levels.append(np.kron(mean, np.ones((block, block), np.float32)))
    return np.stack(levels)
