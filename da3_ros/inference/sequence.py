"""Images that follow each other, seen in windows: those of a video or a folder, one by one.

The windows are those of the stream, without stamps: an image is known by its number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from operator import index
from types import TracebackType
from typing import SupportsIndex, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import ModelError
from da3_ros.images.decode import DecodedImage
from da3_ros.inference.given_cameras import checked_camera
from da3_ros.inference.input_size import (
    at_input_size,
    check_depth_size,
    intrinsics_at_input_size,
)
from da3_ros.inference.missing_intrinsics import MissingIntrinsics
from da3_ros.inference.prediction import Prediction
from da3_ros.inference.prediction_export import readable_path
from da3_ros.inference.preprocess import ImageLike, check_sides, decoded_image, input_size
from da3_ros.inference.scene_request import SceneRequest, SequenceViews
from da3_ros.inference.window_network import WindowNetwork

_Value = TypeVar('_Value', bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class SequencePrediction:
    """What `ImageSequence` says about a window of V images, N of which are new."""

    numbers: tuple[int, ...]
    """Of the window's images, oldest first, counted from 0 over the whole sequence."""

    new: Prediction
    """Of the N images at the end that were in no window before; `alignment` is that of the whole
    window."""

    extrinsics: NDArray[np.float32] | None
    """(V, 3, 4) camera_from_world of all images, in the window's own world, as
    `Prediction.extrinsics`."""

    intrinsics: NDArray[np.float32] | None
    """(V, 3, 3) of all images, as `Prediction.intrinsics`."""

    @property
    def new_numbers(self) -> tuple[int, ...]:
        """Numbers of the images that `new` is of."""
        return self.numbers[len(self.numbers) - len(self.new.depth) :]


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """An image that windows still to come may see."""

    number: int
    image: DecodedImage
    path: str | None
    """See `Prediction.image_paths`."""
    extrinsics: NDArray[np.float32] | None
    """(4, 4)."""
    intrinsics: NDArray[np.float64] | None
    """(3, 3)."""


class ImageSequence:
    """Windows of images that come one by one; made by `ScenePredictor.sequence`.

    The first window goes out after `stride` images, and windows grow until they are full. Each
    has a world and a unit of its own, unless extrinsics are given. What is said about a window is
    what `inference` says about its images, to rounding, for less work: an image that stays in
    windows is encoded once, and only new ones get depth. With extrinsics all do, by which the
    scale is measured.

    Images and what was computed of them are kept as long as windows need them. One thread at a
    time may use a sequence; calls of `inference` and other sequences of the model may make it
    encode again.

    Args:
        predict: computes a window.
        request: how, for every window, with its `process_res`; images and cameras count for
            nothing.
        window: most images per window.
        stride: new images per window, at most `window`.

    Raises:
        ModelError: the numbers are out of range, or none.
    """

    def __init__(
        self,
        predict: Callable[[SceneRequest], Prediction],
        request: SceneRequest,
        window: int,
        stride: int,
    ) -> None:
        window, stride = _whole('window', window), _whole('stride', stride)
        if not 1 <= stride <= window:
            raise ModelError(
                f'sequence: expected 1 <= stride <= window, got stride {stride}, window {window}; '
                'a larger stride would leave images without depth'
            )
        self._predict_scene = predict
        self._request = request
        self._stride = stride
        self._images: deque[_Kept] = deque(maxlen=window)
        self._new = 0
        self._next = 0
        # No other sequence has it.
        self._generation: Hashable = object()
        self._networks: dict[str, WindowNetwork] = {}
        self._said: set[str] = set()
        self._is_open = True

    def __enter__(self) -> ImageSequence:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of all images, those that no window had among them."""
        self.close()

    def push(
        self,
        image: ImageLike,
        extrinsics: ArrayLike | None = None,
        intrinsics: ArrayLike | None = None,
    ) -> SequencePrediction | None:
        """Take the next image, and predict the window that it completes.

        Cameras count where those of all images of a window are known; a note says if they are
        known of some only.

        Args:
            image: uint8 RGB array (H, W, 3), PIL image or path. An array may be written to again.
            extrinsics: (4, 4) or (3, 4) known camera_from_world, as for `inference`, all of the
                sequence in one world; None if unknown.
            intrinsics: (3, 3) known intrinsics in pixels of the image; None if unknown.

        Returns:
            None before `stride` new images are there.

        Raises:
            PreprocessError: image or camera cannot be used, then the sequence goes on as if it
                had not come; or the window's cannot be brought to one size, see `inference`.
            ModelError: the sequence is closed, or as of `inference`.
            MemoryExceededError: memory ran out. After any failure of a window the next one has
                its images as new ones, as many as it still sees.
        """
        if not self._is_open:
            raise ModelError('sequence: expected an open one, got an image after close()')
        self._images.append(self._read(image, extrinsics, intrinsics))
        self._next += 1
        self._new += 1
        return self.flush() if self._new >= self._stride else None

    def flush(self) -> SequencePrediction | None:
        """Predict a window with the new images that no window had: the end of the input.

        Returns:
            None without such images.

        Raises:
            ModelError: as of `push`.
            MemoryExceededError: as of `push`.
        """
        images = tuple(self._images)
        new = min(self._new, len(images))
        if not new:
            return None
        first = len(images) - new
        is_input_size = self._request.depth_size == 'input'
        check_depth_size(
            self._request.depth_size, [image.image for image in images], has_gaussians=False
        )
        prediction = self._predict(images, range(first, len(images)))
        self._new = 0
        intrinsics, found = prediction.intrinsics, _of_images(prediction, first)
        if is_input_size:
            intrinsics = intrinsics_at_input_size(prediction)
            found = at_input_size(found, [image.image for image in images[first:]])
        return SequencePrediction(
            numbers=tuple(image.number for image in images),
            new=found,
            extrinsics=prediction.extrinsics,
            intrinsics=intrinsics,
        )

    def close(self) -> None:
        """Let go of all images and of what was computed of them; nothing can be pushed then."""
        self._is_open = False
        self._images.clear()
        self._new = 0
        for network in self._networks.values():
            network.forget()
        self._networks.clear()

    def _read(
        self, image: ImageLike, extrinsics: ArrayLike | None, intrinsics: ArrayLike | None
    ) -> _Kept:
        """Return an image that windows can take, with the next number."""
        number = self._next
        pose, matrix = checked_camera(number, extrinsics, intrinsics)
        decoded = decoded_image(image, number)
        request = self._request
        assert request.process_res is not None
        size = input_size(decoded.size, request.process_res, request.process_res_method)
        check_sides(*size, decoded.size, number)
        if isinstance(image, np.ndarray) and np.may_share_memory(decoded.pixels, image):
            decoded = replace(decoded, pixels=decoded.pixels.copy())
        if not decoded.name:
            decoded = replace(decoded, name=f'image {number}')
        return _Kept(number, decoded, readable_path(image), pose, matrix)

    def _predict(self, images: Sequence[_Kept], wanted: range) -> Prediction:
        """Return what is said about a window; depth only of those that are wanted."""
        poses = [image.extrinsics for image in images if image.extrinsics is not None]
        matrices = [image.intrinsics for image in images if image.intrinsics is not None]
        views = SequenceViews(
            keys=tuple((self._generation, image.number) for image in images),
            wanted=tuple(wanted),
            networks=self._networks,
            said=self._said,
        )
        request = replace(
            self._request,
            image=[image.image for image in images],
            extrinsics=np.stack(poses) if len(poses) == len(images) else None,
            intrinsics=np.stack(matrices) if len(matrices) == len(images) else None,
            depth_size='network',
            views=views,
        )
        prediction = self._predict_scene(request)
        some = {'extrinsics': len(poses), 'intrinsics': len(matrices)}
        notes = tuple(
            f'{name} are known of {count} of {len(images)} images of the window: not used'
            for name, count in some.items()
            if 0 < count < len(images)
        )
        paths = tuple(image.path for image in images)
        return replace(prediction, image_paths=paths, notes=(*notes, *prediction.notes))


def _whole(name: str, number: SupportsIndex) -> int:
    try:
        return index(number)
    except TypeError:
        raise ModelError(f'sequence: {name} must be a whole number, got {number!r}') from None


def _of_images(prediction: Prediction, first: int) -> Prediction:
    """Return a prediction of the images from one on, which keeps no other in memory."""
    intrinsics = prediction.intrinsics
    is_missing = isinstance(intrinsics, MissingIntrinsics)
    return replace(
        prediction,
        depth=prediction.depth[first:].copy(),
        sky=_from(first, prediction.sky),
        conf=_from(first, prediction.conf),
        extrinsics=_from(first, prediction.extrinsics),
        intrinsics=intrinsics if is_missing else _from(first, intrinsics),
        processed_images=_from(first, prediction.processed_images),
        visible=_from(first, prediction.visible),
        placements=prediction.placements[first:],
        image_paths=prediction.image_paths[first:],
    )


def _from(first: int, values: NDArray[_Value] | None) -> NDArray[_Value] | None:
    return None if values is None else values[first:].copy()
