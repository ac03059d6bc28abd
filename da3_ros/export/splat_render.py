"""Pictures of Gaussians on any CPU: slow, but exact.

Every pixel sums, nearest first, the Gaussians that reach at least 1 / 255 there, at most 0.999
each, until less than 1e-4 of the light is left: the definition that gsplat 1.5 implements on
GPUs, here in double precision. Tiles of the image are only a way to find who reaches a pixel.

Source: Kerbl et al., "3D Gaussian Splatting" (2023), section 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.splat_project import MIN_ALPHA, ImageSplats, prepare, project
from da3_ros.export.splat_types import PosedCamera, SplatImage, SplatRenderer
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize

_MAX_ALPHA = 0.999
_MIN_LIGHT = 1e-4
_MIN_COVER = 1e-10

_TILE_PX = 8
# Splats blended at once: few enough to stay in the cache and to stop early behind a wall.
_BATCH = 128

# Powers of u and v in a tile, measured from its first pixel: 1, u, v, uu, uv, vv; (6, pixels).
_V, _U = (axis.ravel().astype(np.float64) for axis in np.indices((_TILE_PX, _TILE_PX)))
_POWERS = np.stack([np.ones_like(_U), _U, _V, _U * _U, _U * _V, _V * _V])


def cpu_backend(cloud: GaussianCloud) -> SplatRenderer:
    """Return a renderer of the cloud that needs nothing but numpy."""
    prepared = prepare(cloud)

    def render(cameras: Sequence[PosedCamera]) -> Iterator[SplatImage]:
        for camera in cameras:
            yield rasterize(project(prepared, camera), camera.camera.size)

    return render


def rasterize(splats: ImageSplats, size: ImageSize) -> SplatImage:
    """Return the picture of splats that are sorted by depth."""
    features = np.concatenate(
        [splats.colour, splats.depth[:, None], np.ones((len(splats.depth), 1))], axis=1
    )
    rows, columns = -(-size.height // _TILE_PX), -(-size.width // _TILE_PX)
    canvas = np.zeros((rows, _TILE_PX, columns, _TILE_PX, features.shape[1]))
    tiles = _tile_ranges(splats, size)
    for row in range(rows):
        splat, column = _pairs_of_row(tiles, row)
        exponents = _exponents(splats, splat, column * _TILE_PX, row * _TILE_PX)
        bounds = np.searchsorted(column, np.arange(columns + 1))
        for index in range(columns):
            part = slice(bounds[index], bounds[index + 1])
            if part.start < part.stop:
                light = _blend(exponents[part], features, splat[part])
                canvas[row, :, index] = light.reshape(_TILE_PX, _TILE_PX, -1)
    whole = canvas.reshape(rows * _TILE_PX, columns * _TILE_PX, -1)[: size.height, : size.width]
    alpha = whole[..., 4]
    return SplatImage(
        colour=whole[..., :3].astype(np.float32),
        depth=(whole[..., 3] / np.maximum(alpha, _MIN_COVER)).astype(np.float32),
        alpha=alpha.astype(np.float32),
    )


def _tile_ranges(splats: ImageSplats, size: ImageSize) -> NDArray[np.int32]:
    """Return (S, 4) first and last column and row of the tiles that each splat may touch.

    A splat between two pixel centres touches none: its last tile lies before its first.
    """
    last = np.array([size.width - 1, size.height - 1])
    first_px = np.maximum(np.ceil(splats.mean_px - splats.reach_px), 0)
    last_px = np.minimum(np.floor(splats.mean_px + splats.reach_px), last)
    low, high = first_px // _TILE_PX, last_px // _TILE_PX
    high[first_px > last_px] = -1
    return np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1).astype(np.int32)


def _pairs_of_row(
    tiles: NDArray[np.int32], row: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return splats and tile columns that meet in a row: column by column, nearest first."""
    in_row = np.flatnonzero((tiles[:, 2] <= row) & (row <= tiles[:, 3]))
    counts = np.maximum(tiles[in_row, 1] - tiles[in_row, 0] + 1, 0)
    splat = np.repeat(in_row, counts)
    starts = np.cumsum(counts) - counts
    column = np.arange(len(splat)) - np.repeat(starts - tiles[in_row, 0], counts)
    # numpy sorts 16-bit integers by radix, in linear time.
    order = np.argsort(column.astype(np.uint16), kind='stable')
    return splat[order], column[order]


def _exponents(
    splats: ImageSplats, splat: NDArray[np.intp], left_px: NDArray[np.int64], top_px: int
) -> FloatArray:
    """Return ln(alpha) of pairs as coefficients (pairs, 6) of `_POWERS` in their tile."""
    u = splats.mean_px[splat, 0] - left_px
    v = splats.mean_px[splat, 1] - top_px
    uu, uv, vv = splats.precision[splat].T
    along_u, along_v = uu * u + uv * v, uv * u + vv * v
    constant = np.log(splats.opacity[splat]) - (along_u * u + along_v * v) / 2
    return np.stack([constant, along_u, along_v, -uu / 2, -uv, -vv / 2], axis=1)


def _blend(exponents: FloatArray, features: FloatArray, splat: NDArray[np.intp]) -> FloatArray:
    """Return the features (pixels, C) that the splats of a tile, nearest first, add up to."""
    light = np.zeros((_POWERS.shape[1], features.shape[1]))
    through = np.ones(_POWERS.shape[1])
    for start in range(0, len(splat), _BATCH):
        alpha = np.exp(exponents[start : start + _BATCH] @ _POWERS)
        np.minimum(alpha, _MAX_ALPHA, out=alpha)
        alpha *= alpha >= MIN_ALPHA
        behind = np.cumprod(1.0 - alpha, axis=0)
        behind *= through
        alpha[0] *= through
        alpha[1:] *= behind[:-1]
        alpha *= behind > _MIN_LIGHT
        light += alpha.T @ features[splat[start : start + _BATCH]]
        through = behind[-1]
        if through.max() <= _MIN_LIGHT:
            break
    return light
