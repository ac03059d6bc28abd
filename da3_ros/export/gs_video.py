"""A flight of a camera through the Gaussians of a scene, as a video.

Colours stand beside depth: red is near, violet is far, black is where there are no Gaussians. As
in the official exporter, colours of depth are linear in its logarithm between its 1st and 99th
percentile, the same for the whole video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from da3_ros.export.caution_strip import stamp_caution
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.gs_scene import cameras_of, require_gaussians
from da3_ros.export.gs_trajectory import make_trajectory, trajectory_mode
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.export.spectral import spectral
from da3_ros.export.splat_render import cpu_backend
from da3_ros.export.splat_types import PosedCamera, SplatImage, SplatRenderer
from da3_ros.export.video_file import VideoCoding, video_file
from da3_ros.geometry.camera import ImageSize
from da3_ros.options.choices import ColourMode, DepthPlace
from da3_ros.types import ColourImage

OWNED: tuple[str, ...] = ()

FPS = 24

_CODINGS = {
    'low': VideoCoding(28, 'veryfast'),
    'medium': VideoCoding(23, 'medium'),
    'high': VideoCoding(18, 'slow'),
}
_GAP_PX = 8
_QUANTILES = (0.01, 0.99)
# The range of depth is that of the first so many values: of all of a usual video.
_MAX_VALUES = 16_000_000


@dataclass(frozen=True, slots=True)
class _DepthRange:
    """Which depths take the ends of the colours."""

    log_near: float
    log_far: float


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the one file of this format, named after how the camera moves."""
    choice = options.gs_video
    mode = trajectory_mode(choice.trj_mode, len(_given_cameras(scene, choice)))
    return (f'gs_video/{choice.output_name or f"0000_{mode}"}.mp4',)


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Render and encode the video; there are no points in it, so return 0.

    Raises:
        ExportError: the scene has no Gaussians, or there is no encoder.
    """
    cloud = require_gaussians(scene)
    choice = options.gs_video
    size = None if choice.out_image_hw is None else ImageSize(*choice.out_image_hw)
    path = make_trajectory(_given_cameras(scene, choice), choice.trj_mode, size)
    (name,) = file_names(scene, options)
    coding = _CODINGS[choice.video_quality]
    with video_file(folder / name, FPS, coding, scene.comment) as video:
        renderer = (choice.backend or cpu_backend)(cloud)
        images = _rendered(renderer, path, choice, progress)
        for frame in _frames(images, choice.vis_depth):
            video.add(stamp_caution(frame, scene.caution))
    progress(1.0)
    return 0


def _given_cameras(scene: ExportScene, choice: GsVideoOptions) -> tuple[PosedCamera, ...]:
    return cameras_of(scene) if choice.cameras is None else choice.cameras


def _rendered(
    renderer: SplatRenderer,
    path: tuple[PosedCamera, ...],
    choice: GsVideoOptions,
    progress: Callable[[float], None],
) -> Iterator[SplatImage]:
    """Yield the pictures of a path; `progress` hears of each, and may stop it."""
    done = 0
    bar = tqdm(total=len(path), desc='gs_video', unit='img', disable=not choice.enable_tqdm)
    with bar:
        for start in range(0, len(path), choice.chunk_size):
            for image in renderer(path[start : start + choice.chunk_size]):
                done += 1
                bar.update()
                progress(0.99 * done / len(path))
                yield _with_depth(image, choice.color_mode)


def _with_depth(image: SplatImage, mode: ColourMode) -> SplatImage:
    """Return a picture with the depth that the mode of gsplat's name has."""
    return image if mode == 'RGB+ED' else replace(image, depth=image.depth * image.alpha)


def _frames(images: Iterator[SplatImage], place: DepthPlace | None) -> Iterator[ColourImage]:
    """Yield the frames of the video: colours, and depth at its place."""
    pairs = ((_colours(image), image.depth) for image in images)
    if place is None:
        yield from (colours for colours, _ in pairs)
        return
    first: list[tuple[ColourImage, NDArray[np.float32]]] = []
    values = 0
    for pair in pairs:
        first.append(pair)
        values += pair[1].size
        if values >= _MAX_VALUES:
            break
    depths = _depth_range(depth for _, depth in first)
    axis = 1 if place == 'hcat' else 0
    for colours, depth in chain(first, pairs):
        shape = list(colours.shape)
        shape[axis] = _GAP_PX
        gap = np.full(shape, 255, np.uint8)
        yield np.concatenate([colours, gap, _coloured_depth(depth, depths)], axis=axis)


def _colours(image: SplatImage) -> ColourImage:
    return (np.clip(image.colour, 0.0, 1.0) * 255).astype(np.uint8)


def _depth_range(depths: Iterable[NDArray[np.float32]]) -> _DepthRange | None:
    """Return the range of colours, None when nothing is seen at all."""
    values = np.concatenate([depth.ravel() for depth in depths])[:_MAX_VALUES]
    seen = values[values > 0]
    if not seen.size:
        return None
    near = float(np.quantile(seen, _QUANTILES[0]))
    far = max(float(np.quantile(values, _QUANTILES[1])), near)
    return _DepthRange(math.log(near), math.log(far))


def _coloured_depth(depth: NDArray[np.float32], depths: _DepthRange | None) -> ColourImage:
    colours = np.zeros((*depth.shape, 3), np.uint8)
    if depths is not None:
        seen = depth > 0
        extent = max(depths.log_far - depths.log_near, 1e-9)
        colours[seen] = spectral((np.log(depth[seen]) - depths.log_near) / extent)
    return colours
