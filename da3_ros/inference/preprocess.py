"""Images of any kind to network input, and their intrinsics with them.

Four methods bring an image to sides that are multiples of 14: a bound on the longer or on the
shorter side (`upper_bound`, `lower_bound`), then a second small resize or a centre crop. Images
of one call whose sizes still differ are centre-cropped to the common part.

Unlike the upstream code, the EXIF orientation of files and PIL images is applied: a photograph
taken upright is seen upright. Arrays, and images without that tag, are not affected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps

from da3_ros.errors import PreprocessError
from da3_ros.foreign import plain_line, reason_of
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.model.config import PATCH_SIZE
from da3_ros.options.choices import RESIZE_METHODS
from da3_ros.options.network import NETWORK

if TYPE_CHECKING:
    # Who only wants to know sizes (`da3 info`) does not wait for it.
    import torch
    from torch import Tensor

ImageLike: TypeAlias = NDArray[np.uint8] | Image.Image | str | PathLike[str]

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
MAX_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a processed image lies in its original: resized to `resized`, then cropped."""

    original: ImageSize
    """Size before anything was done."""

    resized: ImageSize
    """Size after resizing."""

    left_px: int
    """First column kept of the resized image."""

    top_px: int
    """First row kept of the resized image."""

    size: ImageSize
    """Final size."""

    def camera(self, original: PinholeCamera) -> PinholeCamera:
        """Return the camera of the processed image, given that of the original."""
        return original.resized(self.resized).cropped(self.left_px, self.top_px, self.size)

    @property
    def pixel_map(self) -> PixelMap:
        """Where the pixels of the original lie in the processed image."""
        return PixelMap.placed(
            self.resized.width / self.original.width,
            self.resized.height / self.original.height,
            self.left_px,
            self.top_px,
        )

    def matrix(self, intrinsics: ArrayLike) -> NDArray[np.float32]:
        """Return K (3, 3) of the processed image, first pixel centre at (0.5, 0.5)."""
        out = np.array(intrinsics, dtype=np.float64)
        out[0] *= self.resized.width / self.original.width
        out[1] *= self.resized.height / self.original.height
        out[0, 2] -= self.left_px
        out[1, 2] -= self.top_px
        return out.astype(np.float32)

    def cropped(self, size: ImageSize) -> Placement:
        """Return the placement after a further centre crop."""
        left = self.left_px + (self.size.width - size.width) // 2
        top = self.top_px + (self.size.height - size.height) // 2
        return Placement(self.original, self.resized, left, top, size)


@dataclass(frozen=True, slots=True, eq=False)
class ProcessedImages:
    """Images of equal size, ready for the network."""

    images: NDArray[np.uint8]
    """(N, H, W, 3) uint8 RGB, sides multiples of 14."""

    placements: tuple[Placement, ...]
    """Where each image lies in its original."""

    def pixels(self, device: torch.device | str = 'cpu') -> Tensor:
        """Return the network input (1, N, 3, H, W) float32, normalised on the device."""
        import torch

        return normalise(torch.from_numpy(self.images).to(device))[None]


def normalise(images: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, 3) as ImageNet-normalised float32 (N, 3, H, W)."""
    import torch

    unit = images.permute(0, 3, 1, 2).to(torch.float32).div(255)
    mean = torch.tensor(IMAGE_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGE_STD, device=images.device).view(3, 1, 1)
    return ((unit - mean) / std).contiguous()


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
    if method not in RESIZE_METHODS:
        raise PreprocessError(
            f'unknown resize method {method!r}, expected one of {RESIZE_METHODS}'
        )
    if process_res < PATCH_SIZE:
        raise PreprocessError(f'process_res must be at least {PATCH_SIZE}, got {process_res}')
    items = _as_list(images)

    def process(indexed: tuple[int, ImageLike]) -> tuple[NDArray[np.uint8], Placement]:
        index, item = indexed
        return _resize(load_image(item, index), process_res, method, index)

    if len(items) == 1:
        results = [process((0, items[0]))]
    else:
        with ThreadPoolExecutor(min(MAX_WORKERS, len(items))) as pool:
            results = list(pool.map(process, enumerate(items)))
    return _unify(results)


def load_image(item: ImageLike, index: int = 0) -> NDArray[np.uint8]:
    """Return an image as uint8 RGB (H, W, 3).

    Args:
        item: Array, PIL image or path.
        index: Position in the caller's list, for messages.

    Raises:
        PreprocessError: The image cannot be read or is of a kind not known.
    """
    if isinstance(item, np.ndarray):
        return _from_array(item, index)
    try:
        if isinstance(item, Image.Image):
            return _upright(item)
        if isinstance(item, (str, PathLike)):
            with Image.open(item) as opened:
                return _upright(opened)
    except Exception as error:
        # Decoders raise anything, and an image is not all of a batch.
        name, reason = plain_line(item), reason_of(error)
        raise PreprocessError(f'image {index}: cannot read {name}: {reason}') from error
    raise PreprocessError(
        f'image {index}: expected a uint8 array, a PIL image or a path, got {type(item).__name__}'
    )


def _upright(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))


def _from_array(array: NDArray[Any], index: int) -> NDArray[np.uint8]:
    is_colour = array.ndim == 3 and array.shape[2] == 3
    is_convertible = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 4)
    if array.dtype != np.uint8 or array.size == 0 or not (is_colour or is_convertible):
        raise PreprocessError(
            f'image {index}: expected a uint8 array (H, W, 3), got {array.dtype} {array.shape}'
        )
    if is_colour:
        return np.ascontiguousarray(array)
    return np.asarray(Image.fromarray(array).convert('RGB'))


def _as_list(images: Any) -> list[ImageLike]:
    is_one_image = isinstance(images, (str, PathLike, Image.Image)) or (
        isinstance(images, np.ndarray) and images.ndim != 4
    )
    if is_one_image or not isinstance(images, Iterable):
        raise PreprocessError(
            f'expected a list of images, got {type(images).__name__}; put a single image in a list'
        )
    items = list(images)
    if not items:
        raise PreprocessError('expected at least one image, got none')
    return items


def _resize(
    image: NDArray[np.uint8], process_res: int, method: str, index: int
) -> tuple[NDArray[np.uint8], Placement]:
    original = _size(image)
    image = bounded(image, process_res, method)
    height, width = input_size(original, process_res, method)
    _check_sides(height, width, original, index)
    if method.endswith('crop'):
        placement = _whole(original, image).cropped(ImageSize(height, width))
        rows = slice(placement.top_px, placement.top_px + height)
        return image[rows, placement.left_px : placement.left_px + width], placement
    if (height, width) != image.shape[:2]:
        enlarge = height > image.shape[0] or width > image.shape[1]
        image = _interpolate(image, height, width, enlarge=enlarge)
    return image, _whole(original, image)


def bounded(image: NDArray[np.uint8], process_res: int, method: str) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) with its bounded side at `process_res`: the first of the steps.

    `preprocess` makes the same pixels of the result as of the image itself.
    """
    original = _size(image)
    size = _bounded_size(original, process_res, method)
    if size == original:
        return image
    enlarge = size.height > original.height or size.width > original.width
    return _interpolate(image, size.height, size.width, enlarge=enlarge)


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


def _whole(original: ImageSize, resized: NDArray[np.uint8]) -> Placement:
    size = _size(resized)
    return Placement(original, size, 0, 0, size)


def _size(image: NDArray[np.uint8]) -> ImageSize:
    return ImageSize(int(image.shape[0]), int(image.shape[1]))


def _interpolate(
    image: NDArray[np.uint8], height: int, width: int, *, enlarge: bool
) -> NDArray[np.uint8]:
    kind = cv2.INTER_CUBIC if enlarge else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (width, height), interpolation=kind), np.uint8)


def _nearest_multiple(length: int) -> int:
    """Return the multiple of the patch size nearest to a length, the larger one on a tie."""
    return (length + PATCH_SIZE // 2) // PATCH_SIZE * PATCH_SIZE


def _check_sides(height: int, width: int, original: ImageSize, index: int) -> None:
    if min(height, width) < PATCH_SIZE:
        raise PreprocessError(
            f'image {index}: {original.height} x {original.width} would become {height} x {width}'
            f', but a side needs at least {PATCH_SIZE} pixels; raise process_res or crop the image'
        )


def _unify(results: Sequence[tuple[NDArray[np.uint8], Placement]]) -> ProcessedImages:
    size = ImageSize(
        min(placement.size.height for _, placement in results),
        min(placement.size.width for _, placement in results),
    )
    images = np.empty((len(results), size.height, size.width, 3), np.uint8)
    placements = []
    for target, (image, placement) in zip(images, results, strict=True):
        cropped = placement.cropped(size)
        top, left = cropped.top_px - placement.top_px, cropped.left_px - placement.left_px
        target[:] = image[top : top + size.height, left : left + size.width]
        placements.append(cropped)
    return ProcessedImages(images, tuple(placements))
