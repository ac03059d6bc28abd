"""The stages of a network computed by compiled graphs, whatever compiles them; no torch.

Views are encoded and decoded one at a time: what a view gives depends neither on how many others
there are nor on their order, to the last bit, and memory stays that of one view. Which view is the
reference is chosen between the graphs, in float32.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
import threading
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.foreign import foreign_file
from da3_ros.inference.runtimes.engine_files import (
    TOKENS_NAME,
    Engine,
    ImageSize,
    StageName,
)
from da3_ros.inference.runtimes.graph_compiler import Floats, Graph, GraphCompiler
from da3_ros.inference.runtimes.stages import EncodedView, FusedWindow, InputCameras, Maps
from da3_ros.model.config import PATCH_SIZE, AnyViewConfig, SingleViewConfig
from da3_ros.model.plain.pose_encoding import decode_cameras, encode_cameras
from da3_ros.model.plain.reference_view import select_reference

MAX_LOADED_SIZES = 2
"""Image sizes whose graphs stay in memory; of others they are loaded again."""

MissingSize: TypeAlias = Callable[[ImageSize], Engine]
"""Returns an engine that has graphs for a size."""


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What is kept of a view between `encode` and `fuse`."""

    tokens: Floats
    """(1, 1 + h * w, C)."""
    reference_token: Floats
    """(C,)"""


class EngineGraphs:
    """The compiled graphs of an engine, loaded when they are first needed."""

    def __init__(
        self, engine: Engine, compiler: GraphCompiler, missing: MissingSize | None = None
    ) -> None:
        """Open an engine.

        Args:
            engine: it.
            compiler: what runs the graphs.
            missing: asked for sizes that the engine has no graphs for; None where nobody can make
                any.
        """
        self.engine = engine
        self.compiler = compiler
        self._missing = missing
        self._loaded: OrderedDict[ImageSize | None, dict[StageName, Graph]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, stage: StageName, size: ImageSize, batch: int | None) -> Graph:
        """Return a graph.

        Raises:
            CheckpointError: the engine has none for this size.
            ModelError: it cannot be compiled.
        """
        with self._lock:
            if size not in self.engine.sizes and self._missing is not None:
                self.engine = self._missing(size)
            self.engine.require(size)
            graphs = self._loaded.setdefault(size, {})
            self._loaded.move_to_end(size)
            while len(self._loaded) > MAX_LOADED_SIZES:
                self._loaded.popitem(last=False)
            if stage not in graphs:
                path = self.engine.graph(stage, size)
                if self._missing is not None and not path.exists():
                    # Another process has removed the engine since.
                    self.engine = self._missing(size)
                graphs[stage] = self.compiler.load(path, stage, batch)
            return graphs[stage]


class GraphAnyView:
    """An any-view network over compiled graphs; see `stages.AnyViewRuntime`."""

    def __init__(self, graphs: EngineGraphs) -> None:
        """Take the graphs of an any-view network."""
        config = graphs.engine.config
        self.config = cast('AnyViewConfig', config)
        self.name = graphs.compiler.name
        self.device = graphs.compiler.device
        self._graphs = graphs
        # Of the reference view, of every other.
        self._camera_tokens = _camera_tokens(graphs.engine)

    @property
    def engine(self) -> Engine:
        """Where the graphs are from."""
        return self._graphs.engine

    def encode(self, images: NDArray[np.uint8]) -> tuple[EncodedView, ...]:
        """Encode views alone; see `AnyViewRuntime.encode`."""
        size = image_size_of(images)
        graph = self._graphs.get('encode', size, 1)
        return tuple(self._encoded(graph, image[None], size) for image in images)

    def _encoded(self, graph: Graph, image: NDArray[np.uint8], size: ImageSize) -> EncodedView:
        channels, patches = self.config.backbone.embed_dim, patches_of(size)
        image = np.ascontiguousarray(image)
        tokens, reference = graph.run({'images': image}, (1, 1 + patches, channels), (1, channels))
        view = _View(tokens, reference[0])
        return EncodedView(view, size, tokens.nbytes + reference.nbytes)

    def fuse(
        self,
        views: Sequence[EncodedView],
        cameras: InputCameras | None,
        *,
        strategy: str,
        wanted: Sequence[int],
    ) -> FusedWindow:
        """Let the views of a window see one another; see `AnyViewRuntime.fuse`."""
        size = common_size(views)
        held: list[_View] = [view.held for view in views]
        reference = 0
        if cameras is None:
            reference = self._reference(held, strategy)
            camera_tokens = self._assumed(len(held), reference)
        else:
            camera_tokens = self._known(cameras, held, size, strategy)
        levels, features = self._fused(held, camera_tokens, size, wanted)
        extrinsics, intrinsics = self._cameras(features, size)
        return FusedWindow(levels, tuple(wanted), size, reference, extrinsics, intrinsics)

    def decode(self, fused: FusedWindow) -> Maps:
        """Return the maps of the wanted views; see `AnyViewRuntime.decode`."""
        size = fused.image_size
        graph = self._graphs.get('decode', size, 1)
        levels: list[Floats] = fused.held
        count = len(fused.wanted)
        depth, confidence = (np.empty((count, *size), np.float32) for _ in range(2))
        for view in range(count):
            inputs = {f'level_{i}': level[view : view + 1] for i, level in enumerate(levels)}
            depth[view : view + 1], confidence[view : view + 1] = graph.run(
                inputs, (1, *size), (1, *size)
            )
        return Maps(depth, confidence, None)

    def _reference(self, views: Sequence[_View], strategy: str) -> int:
        try:
            return select_reference(np.stack([view.reference_token for view in views]), strategy)
        except ValueError as error:
            raise ModelError(str(error)) from error

    def _assumed(self, count: int, reference: int) -> Floats:
        """Return the camera tokens (V, C) where cameras are not known."""
        others = np.arange(count) != reference
        tokens: Floats = self._camera_tokens[others.astype(np.int64)]
        return tokens

    def _known(
        self, cameras: InputCameras, views: Sequence[_View], size: ImageSize, strategy: str
    ) -> Floats:
        """Return the camera tokens (V, C) of known cameras."""
        if self.config.camera is None:
            raise ModelError(f'{self.config.name} has no camera encoder: it takes no cameras')
        intrinsics = cameras.intrinsics
        if intrinsics is None:
            # Only the cameras of this first pass are needed: the fewest levels that there are.
            first = self._assumed(len(views), self._reference(views, strategy))
            _, features = self._fused(views, first, size, (0,))
            _, intrinsics = self._cameras(features, size)
            assert intrinsics is not None
        encoding = encode_cameras(cameras.extrinsics, intrinsics, size)
        graph = self._graphs.get('cameras', size, None)
        (tokens,) = graph.run({'encoding': encoding}, (len(views), self.config.backbone.embed_dim))
        return tokens

    def _fused(
        self, views: Sequence[_View], camera_tokens: Floats, size: ImageSize, wanted: Sequence[int]
    ) -> tuple[list[Floats], Floats]:
        """Return the four levels (N, h * w, 2 C) and the camera features (V, 2 C)."""
        channels = self.config.backbone.feature_dim
        inputs = {
            'tokens': np.concatenate([view.tokens for view in views]),
            'camera_tokens': camera_tokens,
            'wanted': np.asarray(wanted, np.int64),
        }
        shapes = [(len(wanted), patches_of(size), channels)] * 4
        *levels, features = self._graphs.get('fuse', size, None).run(
            inputs, *shapes, (len(views), channels)
        )
        return levels, features

    def _cameras(self, features: Floats, size: ImageSize) -> tuple[Floats | None, Floats | None]:
        """Return extrinsics (V, 3, 4) and intrinsics (V, 3, 3) of camera features (V, 2 C)."""
        if self.config.camera is None:
            return None, None
        graph = self._graphs.get('poses', size, None)
        (encoding,) = graph.run({'camera_features': features}, (len(features), 9))
        extrinsics, intrinsics = decode_cameras(encoding, size)
        return extrinsics.astype(np.float32), intrinsics.astype(np.float32)


def _camera_tokens(engine: Engine) -> Floats:
    """Return the tokens (2, C) of the reference view and of every other.

    Raises:
        CheckpointError: they are damaged.
    """
    path = engine.folder / TOKENS_NAME
    with foreign_file(path, 'engine', CheckpointError):
        tokens = np.load(path, allow_pickle=False)
        channels = cast('AnyViewConfig', engine.config).backbone.embed_dim
        if tokens.shape != (2, channels) or tokens.dtype != np.float32:
            raise ValueError(
                f'expected float32 of shape (2, {channels}), got {tokens.dtype} {tokens.shape}'
            )
    return cast('Floats', tokens)


class GraphSingleView:
    """A single-view network over compiled graphs; see `stages.SingleViewRuntime`."""

    def __init__(self, graphs: EngineGraphs) -> None:
        """Take the graphs of a single-view network."""
        config = graphs.engine.config
        self.config = cast('SingleViewConfig', config)
        self.name = graphs.compiler.name
        self.device = graphs.compiler.device
        self._graphs = graphs

    @property
    def engine(self) -> Engine:
        """Where the graphs are from."""
        return self._graphs.engine

    def maps(self, images: NDArray[np.uint8]) -> Maps:
        """Return the maps of views; see `SingleViewRuntime.maps`."""
        size = image_size_of(images)
        graph = self._graphs.get('maps', size, 1)
        depth, sky = (np.empty((len(images), *size), np.float32) for _ in range(2))
        for view, image in enumerate(images):
            inputs = {'images': np.ascontiguousarray(image[None])}
            depth[view : view + 1], sky[view : view + 1] = graph.run(
                inputs, (1, *size), (1, *size)
            )
        return Maps(depth, None, sky)


def graph_network(graphs: EngineGraphs) -> GraphAnyView | GraphSingleView:
    """Return the runtime for an engine's kind of network."""
    if graphs.engine.config.any_view is not None:
        return GraphAnyView(graphs)
    return GraphSingleView(graphs)


def image_size_of(images: NDArray[np.uint8]) -> ImageSize:
    """Return (H, W) of images (V, H, W, 3).

    Raises:
        ModelError: they are none.
    """
    if images.ndim != 4 or len(images) < 1 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ModelError(
            f'images must be uint8 of shape (V, H, W, 3) with V >= 1, got {images.dtype} '
            f'{images.shape}'
        )
    return int(images.shape[1]), int(images.shape[2])


def common_size(views: Sequence[EncodedView]) -> ImageSize:
    """Return the image size of views.

    Raises:
        ModelError: there are none, or they differ.
    """
    sizes = {view.image_size for view in views}
    if len(sizes) != 1:
        raise ModelError(f'views of a window must be of one size, got {sorted(sizes)}')
    return sizes.pop()


def patches_of(size: ImageSize) -> int:
    """Return the number of patches of an image."""
    return size[0] // PATCH_SIZE * (size[1] // PATCH_SIZE)
