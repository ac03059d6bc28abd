"""Gaussians as the binary PLY that viewers of 3D Gaussian Splatting read.

Coordinates are those of the scene's world, in metres when the scene is metric; nothing is moved
or scaled. The header has no comments, because some viewers count its lines.

Source: Kerbl et al., "3D Gaussian Splatting" (2023), for the columns: position, a normal of
zeros, colour coefficients, logit of the opacity, logarithms of the scales, quaternion w x y z.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.gs_scene import require_gaussians
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.options.export import GsPlyOptions
from da3_ros.types import Mask, PosedView

OWNED: tuple[str, ...] = ('gs_ply/[0-9][0-9][0-9][0-9].ply',)

_FILE = 'gs_ply/0000.ply'
# Half the distance between 1 and the number below it, so that opacities of 0 and 1 stay finite.
_OPACITY_MARGIN = 2.0**-24
_MOST_VIEWS_STEP = 12


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the one file of this format."""
    return (_FILE,)


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the Gaussians that the options keep, and return their number.

    Raises:
        ExportError: the scene has no Gaussians, or the options keep none.
    """
    cloud = require_gaussians(scene)
    choice = options.gs_ply
    kept = _kept_of_each_view(scene, cloud, choice)
    count = sum(len(part) for part in kept)
    if count == 0:
        raise ExportError(
            f'gs_ply: none of {len(cloud.means)} Gaussians is left; ask for a lower min_opacity '
            f'(now {choice.min_opacity}), a smaller border_share (now {choice.border_share:.3g}) '
            f'or a higher depth_quantile (now {choice.depth_quantile})'
        )
    names = columns(cloud.harmonics.shape[2] if choice.all_harmonics else 1)
    header = [
        'ply',
        'format binary_little_endian 1.0',
        *([f'comment {scene.comment}'] if scene.comment else []),
        f'element vertex {count}',
        *(f'property float {name}' for name in names),
        'end_header',
    ]
    with (folder / _FILE).open('wb') as file:
        file.write(('\n'.join(header) + '\n').encode('ascii'))
        for index, part in enumerate(kept):
            file.write(_rows(cloud, part, choice.all_harmonics).tobytes())
            progress((index + 1) / len(kept))
    return count


def columns(harmonics: int) -> tuple[str, ...]:
    """Return the names of the columns for so many coefficients per colour channel."""
    return (
        *('x', 'y', 'z', 'nx', 'ny', 'nz'),
        *(f'f_dc_{i}' for i in range(3)),
        *(f'f_rest_{i}' for i in range(3 * (harmonics - 1))),
        'opacity',
        *(f'scale_{i}' for i in range(3)),
        *(f'rot_{i}' for i in range(4)),
    )


def _kept_of_each_view(
    scene: ExportScene, cloud: GaussianCloud, choice: GsPlyOptions
) -> list[NDArray[np.intp]]:
    """Return the indices of the Gaussians to keep, for every view that is not skipped."""
    views, height, width = cloud.grid
    step = choice.views_interval or max(views // _MOST_VIEWS_STEP, 1)
    useful = cloud.usable() & (cloud.opacities >= choice.min_opacity)
    pixels = height * width
    kept = []
    for index in range(0, views, step):
        chosen = _kept_pixels(scene.views[index], choice).ravel()
        first = index * pixels
        kept.append(first + np.flatnonzero(chosen & useful[first : first + pixels]))
    return kept


def _kept_pixels(view: PosedView, choice: GsPlyOptions) -> Mask:
    """Return the pixels (h, w) away from the border that are neither deep nor sky."""
    height, width = view.depth.shape
    rows, cols = int(choice.border_share * height), int(choice.border_share * width)
    kept = np.zeros((height, width), np.bool_)
    kept[rows : height - rows, cols : width - cols] = True
    known = np.isfinite(view.depth)
    if not known.any():
        return kept & known
    # Sky counts here, so that a view loses the same pixels as in the official exporter.
    limit = np.quantile(view.depth[known], choice.depth_quantile)
    kept &= known & (np.where(known, view.depth, 0) <= limit)
    return kept if view.sky is None else kept & ~view.sky


def _rows(
    cloud: GaussianCloud, part: NDArray[np.intp], all_harmonics: bool
) -> NDArray[np.float32]:
    """Return the lines of the file, (len(part), columns) little-endian."""
    harmonics = cloud.harmonics[part]
    opacity = np.clip(
        cloud.opacities[part].astype(np.float64), _OPACITY_MARGIN, 1.0 - _OPACITY_MARGIN
    )
    scales = np.maximum(cloud.scales[part].astype(np.float64), np.finfo(np.float32).tiny)
    blocks = [
        cloud.means[part],
        np.zeros((len(part), 3)),
        harmonics[:, :, 0],
        *([harmonics[:, :, 1:].reshape(len(part), -1)] if all_harmonics else []),
        np.log(opacity / (1.0 - opacity))[:, None],
        np.log(scales),
        cloud.rotations_wxyz[part],
    ]
    return np.concatenate(blocks, axis=1, dtype='<f4', casting='same_kind')
