"""Scenes of more views than memory takes: refused before a file is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from da3_ros.errors import ModelError

if TYPE_CHECKING:
    from da3_ros.cli.scene_options import SceneOptions
    from da3_ros.geometry.camera import ImageSize
    from da3_ros.inference.api import DepthAnything3
    from da3_ros.inference.preprocess import ImageLike
    from da3_ros.inference.view_limit import ViewLimit
    from da3_ros.inference.window_pass import WindowPredictor
    from da3_ros.model.config import NetworkConfig
    from da3_ros.model.memory_estimate import NumberFormat
    from da3_ros.options.choices import Precision

    Predictor: TypeAlias = DepthAnything3 | WindowPredictor

_GIB = 2**30


class TooManyViewsError(ModelError):
    """Raised when a scene has more views than memory takes at once."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to see in a scene."""

    views: int
    """At most."""
    sizes: frozenset[ImageSize]
    """Of its images, as they are seen."""
    has_poses: bool = False
    """Whether the poses of the cameras are known."""


class Measured(Protocol):
    """A source whose extent is known before anything of it is decoded."""

    path: Path
    """What the user named."""

    def extent(self, *, exact: bool = False) -> Extent:
        """Return how much there is to see; nothing is decoded.

        Args:
            exact: count, whatever a header says.

        Raises:
            SourceError: an image is none.
        """
        ...

    def fewer(self, most: int) -> str:
        """Return how to ask for at most so many views."""
        ...


class ViewCheck:
    """Compares scenes with the memory that is free.

    Args:
        options: of the command.
        read_config: returns the configuration of the network that will be loaded.
        choose_device: returns the name of the device for a `--device`.
        infer_gs: whether Gaussians are predicted.
    """

    def __init__(
        self,
        options: SceneOptions,
        read_config: Callable[[], NetworkConfig],
        choose_device: Callable[[str], str],
        *,
        infer_gs: bool,
    ) -> None:
        self._options = options
        self._read_config = read_config
        self._choose_device = choose_device
        self._infer_gs = infer_gs

    def check_source(self, source: Measured, model: Predictor | None) -> int | None:
        """Return how many views of a source fit; nothing is decoded for that.

        Args:
            source: not opened yet.
            model: None before it is loaded: then only what is too much for sure is refused.

        Returns:
            The number, None where it is not known or smaller chunks and images are allowed.

        Raises:
            SourceError: an image of the source is none.
            TooManyViewsError: it has more views than fit; says what to do.
        """
        if self._options.prediction.allow_smaller:
            return None
        extent = source.extent()
        limit = self._limit(extent.sizes, model)
        if limit is None:
            return None
        most = max(1, limit.fits)
        if extent.views > most:
            # Before anybody is sent away, count: headers of files that are cut are wrong.
            extent = source.extent(exact=True)
        if extent.views > most:
            raise _too_many(source.path, extent.views, limit, source.fewer(limit.advised))
        return most

    def check_images(self, path: Path, images: Sequence[ImageLike], model: Predictor) -> None:
        """Check images that belong to one scene.

        Raises:
            SourceError: one of them is no image.
            TooManyViewsError: they do not fit.
        """
        if self._options.prediction.allow_smaller or len(images) == 1:
            return
        limit = self._limit(sizes_of(images), model)
        if limit is not None and len(images) > max(1, limit.fits):
            raise _too_many(path, len(images), limit, FEWER_IMAGES)

    def _limit(self, sizes: frozenset[ImageSize], model: Predictor | None) -> ViewLimit | None:
        from da3_ros.inference.view_limit import (
            common_input_size,
            limit_before_loading,
            limit_of,
        )
        from da3_ros.inference.window_pass import WindowPredictor

        network = self._options.network
        config = self._read_config() if model is None else model.network_config
        side = network.process_res or config.process_res
        size = common_input_size(sizes, side, network.process_res_method)
        if model is not None and not isinstance(model, WindowPredictor):
            return limit_of(model, size, infer_gs=self._infer_gs)
        device = self._choose_device(network.device)
        return limit_before_loading(
            config,
            device,
            size,
            dtype=number_format(network.precision, device),
            infer_gs=self._infer_gs,
        )


def number_format(precision: Precision, device: str) -> NumberFormat:
    """Return the format of the backbone's matrices; torch is asked for those of its devices.

    Raises:
        ModelError: the device has no such format.
    """
    if device == 'cpu' and precision != 'fp16':
        # NumPy has no bf16: as wide as this.
        return np.dtype(np.float16 if precision == 'bf16' else np.float32)
    import torch

    from da3_ros.model.arithmetic import Arithmetic

    return Arithmetic(precision).dtype(torch.device(device))


FEWER_IMAGES = 'fewer images, --each for images of their own'


def sizes_of(images: Sequence[ImageLike]) -> frozenset[ImageSize]:
    """Return the sizes of images as they are seen; files are not decoded.

    Raises:
        SourceError: a file is no image.
    """
    return frozenset(map(_size_of, images))


def _size_of(image: ImageLike) -> ImageSize:
    from da3_ros.foreign import foreign_file
    from da3_ros.images.decode import size_of

    name = image if isinstance(image, (str, PathLike)) else ''
    with foreign_file(str(name), 'image'):
        return size_of(image)


def _too_many(path: Path, views: int, limit: ViewLimit, fewer: str) -> TooManyViewsError:
    return TooManyViewsError(
        f'{path}: {views} views would take about {limit.bytes_of(views) / _GIB:.0f} GiB of '
        f'memory, about {limit.fits} fit; use {fewer}, or a smaller --process-res or --model'
    )
