"""Features of the network as colours: the three directions in which they vary most.

Per layer a picture of every view, `feat_vis/feat_layer_<i>/<view>.jpg`, colour on the left and
features on the right, and all of them as a video, `feat_vis/feat_layer_<i>.mp4`. The directions,
and the range that the colours span, are those of all views together, so that equal colours are
equal features within a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

from da3_ros.errors import ExportError
from da3_ros.export.caution_strip import stamp_caution
from da3_ros.export.images import enlarged, write_colour
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.export.video_file import VideoCoding, video_file
from da3_ros.types import ColourImage

OWNED: tuple[str, ...] = (
    'feat_vis/feat_layer_*.mp4',
    'feat_vis/feat_layer_*/[0-9][0-9][0-9][0-9][0-9][0-9].jpg',
)

_CODING = VideoCoding(18, 'slow')
_COLOURS = 3
_PERCENTILES = (10.0, 90.0)
# Features that hardly vary at all are one colour and not noise.
_MIN_RANGE = 1e-4

Features = NDArray[np.float32]


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return per layer a picture of every view, and the video."""
    return tuple(
        name
        for layer in _features(scene)
        for name in (
            *(f'feat_vis/{layer}/{index:06d}.jpg' for index in range(len(scene.views))),
            f'feat_vis/{layer}.mp4',
        )
    )


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write pictures and videos; there are no points in them, so return 0.

    Raises:
        ExportError: the scene has no features.
    """
    layers = _features(scene)
    for number, (layer, features) in enumerate(layers.items()):

        def step(share: float, number: int = number) -> None:
            progress((number + share) / len(layers))

        path = folder / f'feat_vis/{layer}.mp4'
        with video_file(path, options.feat_vis_fps, _CODING, scene.comment) as video:
            for index, (view, colours) in enumerate(
                zip(scene.views, feature_colours(features), strict=True)
            ):
                sheet = stamp_caution(_sheet(view.image, colours), scene.caution)
                picture = folder / f'feat_vis/{layer}/{index:06d}.jpg'
                write_colour(picture, sheet, scene.comment)
                video.add(sheet)
                step((index + 1) / len(scene.views))
    return 0


def _sheet(image: ColourImage, colours: ColourImage) -> ColourImage:
    large = enlarged(image)
    height, width = large.shape[:2]
    grown = cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.concatenate([large, np.asarray(grown, np.uint8)], axis=1)


def feature_colours(features: Features) -> ColourImage:
    """Return colours (V, h, w, 3) of features (V, h, w, C).

    Principal components of all features together, each stretched from its 10th to its 90th
    percentile over 0..255. A component has the sign that makes its largest entry positive.
    """
    tokens = np.nan_to_num(features.reshape(-1, features.shape[-1])).astype(np.float64)
    tokens -= tokens.mean(axis=0)
    values = tokens @ _main_directions(tokens.T @ tokens)
    low, high = np.percentile(values, _PERCENTILES, axis=0)
    unit = np.clip((values - low) / np.maximum(high - low, _MIN_RANGE), 0.0, 1.0)
    colours = np.zeros((len(unit), _COLOURS), np.uint8)
    colours[:, : unit.shape[1]] = unit * 255
    return colours.reshape(*features.shape[:3], _COLOURS)


def _main_directions(scatter: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvectors (C, 3) of the largest eigenvalues; fewer when C is smaller."""
    size = len(scatter)
    if size <= _COLOURS + 1 or not scatter.any():
        _, vectors = np.linalg.eigh(scatter)
        vectors = vectors[:, ::-1][:, :_COLOURS]
    else:
        # The vector to start from is a constant: equal features give equal pictures.
        found, vectors = eigsh(scatter, k=_COLOURS, v0=np.ones(size))
        vectors = vectors[:, np.argsort(found)[::-1]]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    directions: NDArray[np.float64] = vectors * np.where(largest < 0, -1.0, 1.0)
    return directions


def _features(scene: ExportScene) -> Mapping[str, Features]:
    found = {} if scene.stills is None else scene.stills.features
    if not found:
        raise ExportError(
            'feat_vis: the scene has no features; give export_feat_layers, the numbers of the '
            'blocks to show, to the inference'
        )
    return found
