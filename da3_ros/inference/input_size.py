"""Depth at the size of the images that came in, not of those that the network saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import PreprocessError
from da3_ros.foreign import foreign_file
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.resample import DepthResampler
from da3_ros.images.decode import DecodedImage, size_of
from da3_ros.inference.placement import Placement
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.preprocess import ImageLike, as_list, decoded_image
from da3_ros.options.choices import DEPTH_SIZES

_Value = TypeVar('_Value', bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What is known of one image at its own size."""

    depth: NDArray[np.float32]
    conf: NDArray[np.float32] | None
    sky: NDArray[np.bool_] | None
    image: NDArray[np.uint8]
    visible: NDArray[np.bool_]


def check_depth_size(
    depth_size: str, images: Sequence[ImageLike] | NDArray[np.uint8], *, has_gaussians: bool
) -> None:
    """Check before computing whether a prediction can have the size that was asked for.

    Args:
        depth_size: One of `options.choices.DEPTH_SIZES`.
        images: Of the prediction.
        has_gaussians: Whether Gaussians are predicted too.

    Raises:
        PreprocessError: There is no such size, images have different ones, one cannot be read, or
            there are Gaussians, of which every pixel of the network has one.
    """
    if depth_size not in DEPTH_SIZES:
        raise PreprocessError(f'depth_size: expected one of {DEPTH_SIZES}, got {depth_size!r}')
    if depth_size == 'network':
        return
    if has_gaussians:
        raise PreprocessError(
            "depth_size='input': Gaussians (infer_gs, gs_ply, gs_video) come at the size of the "
            "network; take 'network', or leave them out"
        )
    sizes = [_size_of(image, index) for index, image in enumerate(as_list(images))]
    other = next((n for n, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        first, found = ((s.height, s.width) for s in (sizes[0], sizes[other]))
        raise PreprocessError(
            f"depth_size='input': expected images of one size, image 0 has {first}, image {other} "
            f"{found} (height, width); make them alike, run them apart (--each), or take 'network'"
        )


def _size_of(item: ImageLike, index: int) -> ImageSize:
    name = str(item) if isinstance(item, (str, PathLike)) else ''
    with foreign_file(name, f'image {index}:', PreprocessError):
        return size_of(item)


def at_input_size(
    prediction: Prediction, images: Sequence[ImageLike] | NDArray[np.uint8]
) -> Prediction:
    """Return a prediction whose arrays have the size of its images.

    Inside surfaces the inverse depth is interpolated, across edges nothing is mixed
    (`geometry.resample`). What the network did not see, because images were cropped, has no depth
    (NaN) and confidence 0, as what is transparent.

    Args:
        prediction: With placements; without Gaussians, of which every pixel of the network has
            one. Its cameras are scaled.
        images: The N that it was made of, of one size.

    Raises:
        PreprocessError: An image cannot be read.
    """
    views = [
        _view(prediction, index, decoded_image(image, index)) for index, image in enumerate(images)
    ]
    visible = np.stack([view.visible for view in views])
    return replace(
        prediction,
        depth=np.stack([view.depth for view in views]),
        conf=_stacked([view.conf for view in views]),
        sky=_stacked([view.sky for view in views]),
        intrinsics=intrinsics_at_input_size(prediction),
        processed_images=np.stack([view.image for view in views]),
        visible=None if visible.all() else visible,
        placements=tuple(_whole(placement.original) for placement in prediction.placements),
    )


def _stacked(parts: Sequence[NDArray[_Value] | None]) -> NDArray[_Value] | None:
    known = [part for part in parts if part is not None]
    return np.stack(known) if known else None


def _view(prediction: Prediction, index: int, image: DecodedImage) -> _View:
    placement = prediction.placements[index]
    sky = None if prediction.sky is None else prediction.sky[index]
    depth = prediction.depth[index]
    # The depth of the sky is made up, and would be mixed into what stands before it.
    known = depth if sky is None else np.where(sky, np.float32(np.nan), depth)
    resampler = DepthResampler(known, placement.pixel_map, placement.original)
    found, behind = resampler.depth(), None
    if sky is not None:
        behind = resampler.mask(sky)
        found = np.where(behind, resampler.nearest(depth), found)
    if image.visible is not None:
        found = np.where(image.visible, found, np.float32(np.nan))
        behind = None if behind is None else behind & image.visible
    conf = None
    if prediction.conf is not None:
        conf = np.where(np.isfinite(found), resampler.along(prediction.conf[index]), np.float32(0))
    visible = np.ones(found.shape, np.bool_) if image.visible is None else image.visible
    return _View(found, conf, behind, image.pixels, visible)


def intrinsics_at_input_size(prediction: Prediction) -> NDArray[Any] | None:
    """Return K (N, 3, 3) of the images as they came in."""
    if prediction.intrinsics is None:
        return None
    found = prediction.intrinsics.astype(np.float64)
    for index, placement in enumerate(prediction.placements):
        # `Placement.matrix`, backwards.
        found[index, :2, 2] += placement.left_px, placement.top_px
        found[index, 0] *= placement.original.width / placement.resized.width
        found[index, 1] *= placement.original.height / placement.resized.height
    return found.astype(np.float32)


def _whole(size: ImageSize) -> Placement:
    return Placement(size, size, 0, 0, size)
