"""Images of any kind to network input, and their intrinsics with them.

Four methods bring an image to sides that are multiples of 14: a bound on the longer or on the
shorter side (`upper_bound`, `lower_bound`), then a second small resize or a centre crop. Images
of one call whose sizes still differ are centre-cropped to the common part, as in the official
code, and a note says how much of which view is lost.

Unlike the upstream code, the EXIF orientation of files and PIL images is applied: a photograph
taken upright is seen upright. Arrays, and images without that tag, are not affected. Nor is depth
made up for what is fully transparent: the network sees the mean colour there, and a pixel that
holds any of it is not `visible`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from da3_ros.errors import PreprocessError
from da3_ros.foreign import plain_path, reason_of
from da3_ros.geometry.camera import ImageSize
from da3_ros.images.decode import DecodedImage, decode, from_array, read_image
from da3_ros.inference.image_notes import Lost, crop_notes, image_notes
from da3_ros.inference.placement import Placement
from da3_ros.model.config import PATCH_SIZE
from da3_ros.notes import Note
from da3_ros.options.choices import RESIZE_METHODS
from da3_ros.options.network import NETWORK

if TYPE_CHECKING:
    # Who only wants to know sizes (`da3 info`) does not wait for it.
    import torch
    from torch import Tensor

ImageLike: TypeAlias = NDArray[np.uint8] | Image.Image | str | PathLike[str] | DecodedImage
Mask: TypeAlias = NDArray[np.bool_]
_Value = TypeVar('_Value', bound=np.generic)

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
MAX_WORKERS = 8

# Images of more pixels are reduced while they are read, unless the network wants that many.
_MOST_PIXELS = 64_000_000
# Largest rounding error of the mean of ones.
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class ProcessedImages:
    """Images of equal size, ready for the network."""

    images: NDArray[np.uint8]
    """(N, H, W, 3) uint8 RGB, sides multiples of 14."""

    placements: tuple[Placement, ...]
    """Where each image lies in its original."""

    visible: Mask | None = None
    """(N, H, W) False where the image is transparent; None when all of all images can be seen."""

    notes: tuple[Note, ...] = ()
    """What a user should know of how the images were read and cropped."""

    def pixels(self, device: torch.device | str = 'cpu') -> Tensor:
        """Return the network input (1, N, 3, H, W) float32, normalised on the device."""
        import torch

        return normalise(torch.from_numpy(self.images).to(device))[None]


def normalise(images: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, 3) as ImageNet-normalised float32 (N, 3, H, W)."""
    import torch

    unit = images.permute(0, 3, 1, 2).to(torch.float32).div(255)
    mean, std = (_per_channel(values, images.device) for values in (IMAGE_MEAN, IMAGE_STD))
    return ((unit - mean) / std).contiguous()


def _per_channel(values: tuple[float, float, float], device: torch.device) -> Tensor:
    """Return (3, 1, 1) numbers, made on the device: the host would wait for a copy."""
    import torch

    return torch.stack([torch.full((1, 1), value, device=device) for value in values])


def preprocess(
    images: Sequence[ImageLike] | NDArray[np.uint8],
    process_res: int,
    method: str = NETWORK.process_res_method,
) -> ProcessedImages:
    """Bring images to one size that the network takes.

    Args:
        images: One or more images: uint8 RGB arrays (H, W, 3), PIL images, or paths.
        process_res: Wanted length of the bounded side, in pixels.
        method: One of `options.RESIZE_METHODS`.

    Returns:
        Images of equal size.

    Raises:
        PreprocessError: No images, an unknown method, or an image that cannot be read or would
            become smaller than one patch; the message gives its index.
    """
    items = as_list(images)
    names = [_name(item, index) for index, item in enumerate(items)]
    return unified(resized_images(dict(enumerate(items)), process_res, method), names)


def resized_images(
    items: Mapping[int, ImageLike], process_res: int, method: str
) -> list[ResizedImage]:
    """Return images at the network's size, each by itself; arguments and errors of `preprocess`.

    Args:
        items: By their index for messages.
        process_res: See there.
        method: See there.
    """
    if method not in RESIZE_METHODS:
        raise PreprocessError(
            f'unknown resize method {method!r}, expected one of {RESIZE_METHODS}'
        )
    if process_res < PATCH_SIZE:
        raise PreprocessError(f'process_res must be at least {PATCH_SIZE}, got {process_res}')
    most_pixels = max(_MOST_PIXELS, (4 * process_res) ** 2)

    def process(indexed: tuple[int, ImageLike]) -> ResizedImage:
        index, item = indexed
        decoded = decoded_image(item, index, most_pixels)
        return _resize(decoded, _plan(decoded.size, process_res, method, index))

    if len(items) == 1:
        return [process(pair) for pair in items.items()]
    with ThreadPoolExecutor(min(MAX_WORKERS, len(items))) as pool:
        return list(pool.map(process, items.items()))


def load_image(item: ImageLike, index: int = 0) -> NDArray[np.uint8]:
    """Return an image as uint8 RGB (H, W, 3) at its own size; see `decoded_image`."""
    return decoded_image(item, index).pixels


def decoded_image(item: ImageLike, index: int = 0, most_pixels: int | None = None) -> DecodedImage:
    """Return the pixels of an image, and which of them can be seen.

    Args:
        item: Array, PIL image or path.
        index: Position in the caller's list, for messages.
        most_pixels: Images of more are reduced while they are read; None never reduces.

    Raises:
        PreprocessError: The image cannot be read or is of a kind not known.
    """
    if isinstance(item, DecodedImage):
        return item
    if isinstance(item, np.ndarray):
        try:
            return from_array(item)
        except ValueError as error:
            raise PreprocessError(f'image {index}: {error}') from error
    if not isinstance(item, (Image.Image, str, PathLike)):
        raise PreprocessError(
            f'image {index}: expected a uint8 array, a PIL image or a path, got '
            f'{type(item).__name__}'
        )
    try:
        if isinstance(item, Image.Image):
            return decode(item, most_pixels=most_pixels)
        return read_image(item, most_pixels=most_pixels)
    except Exception as error:  # what a parser raises at the bytes of others
        name = plain_path(str(item))
        raise PreprocessError(f'image {index}: cannot read {name}: {reason_of(error)}') from error


def _name(item: ImageLike, index: int) -> str:
    if isinstance(item, (str, PathLike)):
        return plain_path(Path(item).name)
    known = plain_path(item.name) if isinstance(item, DecodedImage) else ''
    return known or f'image {index}'


def as_list(images: Any) -> list[ImageLike]:
    """Return the images of one call.

    Raises:
        PreprocessError: There is none, or a single one that is in no list.
    """
    is_one_image = isinstance(images, (str, PathLike, Image.Image)) or (
        isinstance(images, np.ndarray) and images.ndim != 4
    )
    if is_one_image or not isinstance(images, Iterable):
        raise PreprocessError(
            f'expected a list of images, got {type(images).__name__}; put a single image in a '
            'list, and list the files of a folder'
        )
    items = list(images)
    if not items:
        raise PreprocessError('expected at least one image, got none')
    return items


@dataclass(frozen=True, slots=True)
class _Step:
    """One of the resizings of an image."""

    size: ImageSize
    """Afterwards."""
    enlarges: bool
    """Whether a side grows."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How an image gets its size."""

    steps: tuple[_Step, ...]
    """One after the other."""
    placement: Placement


@dataclass(frozen=True, slots=True, eq=False)
class ResizedImage:
    """An image at the network's size, before all get one shape."""

    image: NDArray[np.uint8]
    visible: Mask | None
    placement: Placement
    remarks: tuple[Note, ...]


def bounded(image: NDArray[np.uint8], process_res: int, method: str) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) with its bounded side at `process_res`: the first of the steps.

    `preprocess` makes the same pixels of the result as of the image itself.
    """
    original = ImageSize(int(image.shape[0]), int(image.shape[1]))
    size = _bounded_size(original, process_res, method)
    return image if size == original else _interpolated(image, _step(original, size))


def input_size(original: ImageSize, process_res: int, method: str) -> tuple[int, int]:
    """Return (H, W) of what `preprocess` makes of one image, without computing it."""
    size = _bounded_size(original, process_res, method)
    if method.endswith('crop'):
        return size.height - size.height % PATCH_SIZE, size.width - size.width % PATCH_SIZE
    return _nearest_multiple(size.height), _nearest_multiple(size.width)


def _bounded_size(original: ImageSize, process_res: int, method: str) -> ImageSize:
    bound = max if method.startswith('upper') else min
    side = bound(original.height, original.width)
    if side == process_res:
        return original
    scale = process_res / float(side)
    # Python's round takes ties to the even neighbour, as the reference does.
    height, width = (max(1, round(n * scale)) for n in (original.height, original.width))
    return ImageSize(height, width)


def _plan(original: ImageSize, process_res: int, method: str, index: int) -> _Plan:
    """Return how an image is resized, as the reference does it.

    Raises:
        PreprocessError: it would become smaller than a patch.
    """
    first = _bounded_size(original, process_res, method)
    last = input_size(original, process_res, method)
    check_sides(*last, original, index)
    steps = [] if first == original else [_step(original, first)]
    if method.endswith('crop'):
        whole = Placement(original, first, 0, 0, first)
        return _Plan(tuple(steps), whole.cropped(ImageSize(*last)))
    size = ImageSize(*last)
    if size != first:
        steps.append(_step(first, size))
    return _Plan(tuple(steps), Placement(original, size, 0, 0, size))


def _step(before: ImageSize, after: ImageSize) -> _Step:
    return _Step(after, after.height > before.height or after.width > before.width)


def _resize(decoded: DecodedImage, plan: _Plan) -> ResizedImage:
    image, placement = decoded.pixels, plan.placement
    visible = None if decoded.visible is None else decoded.visible.astype(np.float32)
    for step in plan.steps:
        image = _interpolated(image, step)
        if visible is not None:
            # Cubic weights go below 0, so that some of what is missing would not be noticed.
            visible = _interpolated(visible, step, cv2.INTER_LINEAR)
    image = _part(image, placement.left_px, placement.top_px, placement.size)
    mask = None
    if visible is not None:
        whole = np.asarray(visible > 1 - _ROUNDING)
        mask = _part(whole, placement.left_px, placement.top_px, placement.size)
    return ResizedImage(image, mask, placement, decoded.remarks)


def _interpolated(
    image: NDArray[Any], step: _Step, enlarging: int = cv2.INTER_CUBIC
) -> NDArray[Any]:
    size = (step.size.width, step.size.height)
    kind = enlarging if step.enlarges else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=kind))


def _part(image: NDArray[_Value], left: int, top: int, size: ImageSize) -> NDArray[_Value]:
    return image[top : top + size.height, left : left + size.width]


def _nearest_multiple(length: int) -> int:
    """Return the multiple of the patch size nearest to a length, the larger one on a tie."""
    return (length + PATCH_SIZE // 2) // PATCH_SIZE * PATCH_SIZE


def check_sides(height: int, width: int, original: ImageSize, index: int) -> None:
    """Check that an image has a patch at least at the size (H, W) that it gets."""
    if min(height, width) < PATCH_SIZE:
        raise PreprocessError(
            f'image {index}: {original.height} x {original.width} would become {height} x {width}'
            f', but a side needs at least {PATCH_SIZE} pixels; raise process_res or crop the image'
        )


def unified(results: Sequence[ResizedImage], names: Sequence[str]) -> ProcessedImages:
    """Return images with their margins cut to a common size; names are for notes."""
    sizes = [result.placement.size for result in results]
    size = ImageSize(min(s.height for s in sizes), min(s.width for s in sizes))
    images = np.empty((len(results), size.height, size.width, 3), np.uint8)
    is_whole = all(result.visible is None for result in results)
    visible = None if is_whole else np.ones(images.shape[:3], np.bool_)
    placements = []
    for index, result in enumerate(results):
        placement = result.placement
        cropped = placement.cropped(size)
        left, top = cropped.left_px - placement.left_px, cropped.top_px - placement.top_px
        images[index] = _part(result.image, left, top, size)
        if visible is not None and result.visible is not None:
            visible[index] = _part(result.visible, left, top, size)
        placements.append(cropped)
    lost = [
        Lost(name, 1 - size.height * size.width / (own.height * own.width))
        for name, own in zip(names, sizes, strict=True)
    ]
    return ProcessedImages(
        images,
        tuple(placements),
        None if visible is None or visible.all() else visible,
        (*image_notes(names, [result.remarks for result in results]), *crop_notes(lost)),
    )
