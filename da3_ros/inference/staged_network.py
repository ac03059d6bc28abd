"""Networks over a runtime: the stages of windows, each view computed once while it is in them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
import threading
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.inference.runtimes.stages import (
    AnyViewRuntime,
    EncodedView,
    InputCameras,
    Maps,
    SingleViewRuntime,
)
from da3_ros.inference.window_cache import CACHE_BYTES, WindowCache
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from da3_ros.model.capabilities import Capabilities, capabilities
from da3_ros.model.config import AnyViewConfig, SingleViewConfig
from da3_ros.model.notes_of_input import (
    NO_RAYS,
    PREDICTED_INTRINSICS,
    UNUSED_CAMERAS,
)
from da3_ros.model.plain.sky import fill_sky
from da3_ros.notes import Note
from da3_ros.types import Caution

Runtime = TypeVar('Runtime', bound=AnyViewRuntime | SingleViewRuntime)
FloatImages: TypeAlias = NDArray[np.float32]
FillSky: TypeAlias = Callable[[FloatImages, FloatImages], FloatImages]
"""Of depth and sky score (V, H, W) of a window to depth that has sky filled in."""


def _no_state() -> Hashable:
    return None


class _OverRuntime(Generic[Runtime]):
    """What both kinds of network tell of themselves. Threads compute windows one after the other.

    Args:
        runtime: computes it.
        model_name: name of the preset.
        caution: what to know before relying on it.
        state: returns what the kept results of views depend on besides images, where that may
            change.
    """

    def __init__(
        self,
        runtime: Runtime,
        model_name: str,
        caution: Caution | None,
        state: Callable[[], Hashable],
    ) -> None:
        self._runtime = runtime
        self.model_name = model_name
        self.caution = caution
        self._state = state
        # Graphs have one memory for inputs and results: threads would get each other's.
        self._turn = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """What it gives and takes."""
        return capabilities(self._runtime.config)

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._runtime.device

    @property
    def runtime(self) -> str:
        """What computes it."""
        return self._runtime.name


class StagedNetwork(_OverRuntime[AnyViewRuntime]):
    """An any-view network as a `WindowNetwork`.

    A view is encoded once while windows that follow each other contain it, and only the wanted
    views are decoded. The result is that of a forward pass over the whole window, to rounding.

    Args:
        runtime: computes the stages.
        model_name: name of the preset.
        caution: what to know before relying on it.
        cache_bytes: most memory that encoded views may take between windows.
        state: returns what encoded views depend on besides images, where that may change: what
            was encoded in another state is encoded again.
    """

    def __init__(
        self,
        runtime: AnyViewRuntime,
        *,
        model_name: str,
        caution: Caution | None = None,
        cache_bytes: int = CACHE_BYTES,
        state: Callable[[], Hashable] = _no_state,
    ) -> None:
        super().__init__(runtime, model_name, caution, state)
        self._encoded = WindowCache[EncodedView](lambda view: view.nbytes, cache_bytes)

    @property
    def config(self) -> AnyViewConfig:
        """Its configuration."""
        return self._runtime.config

    def run(self, request: WindowRequest) -> WindowMaps:
        """Compute a window.

        Raises:
            ModelError: cameras are to come from rays, which these stages do not give, or the
                runtime cannot do what is asked.
        """
        if request.use_ray_pose or self.config.camera is None:
            why = 'use_ray_pose' if request.use_ray_pose else 'a network without camera decoder'
            raise ModelError(f'{why} needs runtime torch, got runtime {self.runtime}')
        with self._turn:
            return self._computed(request)

    def _computed(self, request: WindowRequest) -> WindowMaps:
        images, cameras = request.images, request.cameras
        views = self._encoded.results(
            len(images),
            request.keys,
            (self._state(), images.shape[1:]),
            lambda places: self._runtime.encode(_some(images, places)),
        )
        fused = self._runtime.fuse(
            views,
            cameras,
            strategy=request.ref_view_strategy,
            wanted=wanted_views(request),
        )
        maps = self._runtime.decode(fused)
        return WindowMaps(
            wanted=fused.wanted,
            depth=maps.depth,
            confidence=maps.confidence,
            sky=maps.sky,
            extrinsics=fused.extrinsics,
            intrinsics=fused.intrinsics,
            notes=camera_notes(cameras),
        )

    def forget(self) -> None:
        """Drop what is kept of earlier windows."""
        self._encoded.forget()


class SingleViewStaged(_OverRuntime[SingleViewRuntime]):
    """A network that sees each view alone, as a `WindowNetwork`.

    The maps of a view are computed once while windows that follow each other contain it; a window
    gets all of them, for the depth of its sky depends on all.

    Args:
        runtime: computes the maps.
        model_name: name of the preset.
        caution: what to know before relying on it.
        cache_bytes: most memory that maps may take between windows.
        state: as for `StagedNetwork`.
        fill: fills in the sky of a window.
    """

    def __init__(
        self,
        runtime: SingleViewRuntime,
        *,
        model_name: str,
        caution: Caution | None = None,
        cache_bytes: int = CACHE_BYTES,
        state: Callable[[], Hashable] = _no_state,
        fill: FillSky = fill_sky,
    ) -> None:
        super().__init__(runtime, model_name, caution, state)
        self._fill = fill
        self._maps = WindowCache[Maps](_bytes_of, cache_bytes)

    @property
    def config(self) -> SingleViewConfig:
        """Its configuration."""
        return self._runtime.config

    def run(self, request: WindowRequest) -> WindowMaps:
        """Compute a window; the maps are of all its views."""
        images = request.images
        with self._turn:
            views = self._maps.results(
                len(images),
                request.keys,
                (self._state(), images.shape[1:]),
                lambda places: _apart(self._runtime.maps(_some(images, places))),
            )
        depth = np.concatenate([view.depth for view in views])
        sky = np.concatenate([view.sky for view in views if view.sky is not None])
        notes: tuple[Note, ...] = () if request.cameras is None else (UNUSED_CAMERAS,)
        return WindowMaps(
            wanted=tuple(range(len(images))),
            depth=self._fill(depth, sky),
            confidence=None,
            sky=sky,
            extrinsics=None,
            intrinsics=None,
            notes=(*notes, NO_RAYS) if request.use_ray_pose else notes,
        )

    def forget(self) -> None:
        """Drop what is kept of earlier windows."""
        self._maps.forget()


def wanted_views(request: WindowRequest) -> tuple[int, ...]:
    """Return the views whose maps are asked for."""
    return tuple(range(len(request.images))) if request.wanted is None else request.wanted


def camera_notes(cameras: InputCameras | None) -> tuple[Note, ...]:
    """Return what to know of how known cameras went into an any-view network."""
    if cameras is None or cameras.intrinsics is not None:
        return ()
    return (PREDICTED_INTRINSICS,)


def _some(images: NDArray[np.uint8], places: Sequence[int]) -> NDArray[np.uint8]:
    return images if len(places) == len(images) else images[list(places)]


def _apart(maps: Maps) -> list[Maps]:
    """Return the maps of each view, none of which keeps another in memory."""
    return [
        Maps(
            maps.depth[view : view + 1].copy(),
            None,
            None if maps.sky is None else maps.sky[view : view + 1].copy(),
        )
        for view in range(len(maps.depth))
    ]


def _bytes_of(maps: Maps) -> int:
    return maps.depth.nbytes + (0 if maps.sky is None else maps.sky.nbytes)
