"""Networks over the graphs of engines: those of a folder, and those that are kept of a model."""

from __future__ import annotations

from pathlib import Path

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.foreign import plain_path
from da3_ros.inference.hub import HubOptions, find_checkpoint
from da3_ros.inference.runtimes.build_beside import BuildBeside
from da3_ros.inference.runtimes.engine_build import CheckpointEngine, Progress
from da3_ros.inference.runtimes.engine_files import (
    PLAIN_PRECISION,
    Engine,
    ImageSize,
    read_engine,
    size_text,
)
from da3_ros.inference.runtimes.engine_store import MAX_SIZES, EngineStore
from da3_ros.inference.runtimes.graph_compiler import GraphCompiler
from da3_ros.inference.runtimes.graph_runtime import (
    EngineGraphs,
    GraphAnyView,
    MissingSize,
    graph_network,
)
from da3_ros.inference.staged_network import SingleViewStaged, StagedNetwork
from da3_ros.inference.weights_header import is_random_file
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from da3_ros.model.capabilities import Capabilities, capabilities
from da3_ros.model.config import NetworkConfig
from da3_ros.model.presets import CAUTIONS, random_caution
from da3_ros.options import EstimatorOptions
from da3_ros.process import choose_graph_threads
from da3_ros.types import Caution


class GraphNetwork:
    """A network over the graphs of one engine, as a `WindowNetwork`.

    Args:
        engine: which has the graphs.
        options: what computes them (`runtime`), the number format and the threads.
        missing: returns an engine with graphs for another size; None where nobody makes any.

    Raises:
        ModelError: the runtime cannot be loaded, or does not know the number format.
    """

    def __init__(
        self, engine: Engine, options: EstimatorOptions, missing: MissingSize | None = None
    ) -> None:
        self._compiler = _compiler(options)
        self._graphs = EngineGraphs(engine, self._compiler, missing)
        runtime = graph_network(self._graphs)
        name, caution = engine.config.name, caution_of(engine.config, is_random=engine.is_random)
        self.precision = graph_precision(options)
        self._network: StagedNetwork | SingleViewStaged
        if isinstance(runtime, GraphAnyView):
            self._network = StagedNetwork(runtime, model_name=name, caution=caution)
        else:
            self._network = SingleViewStaged(runtime, model_name=name, caution=caution)
        self.config: NetworkConfig = engine.config
        self.model_name = name
        self.caution = caution
        self.runtime = self._compiler.name
        self.device = self._compiler.device

    @property
    def capabilities(self) -> Capabilities:
        """What it gives and takes."""
        return capabilities(self.config)

    @property
    def sizes(self) -> tuple[ImageSize, ...]:
        """Image sizes (H, W), px, that it has graphs for."""
        return self._graphs.engine.sizes

    def run(self, request: WindowRequest) -> WindowMaps:
        """Compute a window.

        Raises:
            CheckpointError: there are no graphs for its size, and they cannot be made.
            ModelError: the graphs cannot do what is asked, or cannot be compiled.
        """
        return self._network.run(request)

    def forget(self) -> None:
        """Drop what is kept of earlier windows."""
        self._network.forget()


def network_of_engine(folder: Path, options: EstimatorOptions) -> GraphNetwork:
    """Return the network of an engine's folder; only the sizes that it has graphs for go.

    Raises:
        CheckpointError: it is damaged.
        ModelError: the runtime cannot be loaded, or the graphs are for other programs.
    """
    engine = read_kept(folder)
    if engine.precision != PLAIN_PRECISION:
        raise ModelError(
            f'{plain_path(folder)}: its graphs are of {engine.precision}, for other programs; '
            f'expected {PLAIN_PRECISION}, of which the runtime makes what precision says: '
            'da3 compile'
        )
    return GraphNetwork(engine, options)


def read_kept(folder: Path) -> Engine:
    """Return the engine of a folder; large files are hashed once and their hashes remembered.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        hash_of = EngineStore().hashes.of
    except CheckpointError:
        # Nothing can be remembered here.
        return read_engine(folder)
    return read_engine(folder, hash_of)


class StoredGraphs:
    """A model over the engines that are kept of it, as a `WindowNetwork`.

    Args:
        model: name or folder of a checkpoint.
        config: of its network, which has graphs.
        options: what computes (`runtime`), the number format and the threads.
        progress: hears how far the building of an engine is.
        beside: build in another process; until that has ended a size is not ready.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
        ModelError: its network has no graphs.
    """

    device = 'cpu'

    def __init__(
        self,
        model: str,
        config: NetworkConfig,
        options: EstimatorOptions,
        progress: Progress | None = None,
        *,
        beside: bool = False,
    ) -> None:
        files = find_checkpoint(model, HubOptions(options.revision or None))
        self.config = config
        self.model_name = config.name
        self.runtime = str(options.runtime)
        self.precision = graph_precision(options)
        self.caution = caution_of(config, is_random=is_random_file(files.weights))
        self._folder = files.weights.parent
        self._options = options
        self._engine = CheckpointEngine(files, progress=progress)
        self.beside = beside
        self._builds: dict[ImageSize, BuildBeside] = {}
        self._asked: set[ImageSize] = set()
        self._network: GraphNetwork | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What it gives and takes."""
        return capabilities(self.config)

    @property
    def sizes(self) -> tuple[ImageSize, ...]:
        """Image sizes (H, W), px, that there are graphs for."""
        engine = self._engine.find()
        return () if engine is None else engine.sizes

    def is_ready(self, size: ImageSize) -> bool:
        """Return whether a window of this size is computed now; begins to build it if not.

        Of more sizes than are kept only the first are: engines that drive each other out would
        be built again and again.

        Raises:
            ModelError: the building has failed.
        """
        if size in self._asked and size not in self._builds:
            return True
        if self._network is not None and size in self._network.sizes:
            return True
        if size not in self._builds:
            if self._engine.find(size) is not None:
                self._asked.add(size)
                return True
            if len(self._asked) >= MAX_SIZES:
                return False
            self._asked.add(size)
            if not self.beside:
                return True
            self._builds[size] = self._build_beside(size)
        build = self._builds[size]
        if not build.is_done():
            return False
        del self._builds[size]
        if self._engine.find(size) is None:
            raise ModelError(f'{build.what} is not there, though it was built beside')
        return True

    def run(self, request: WindowRequest) -> WindowMaps:
        """Compute a window; graphs for its size are made if need be.

        Raises:
            CheckpointError: they cannot be made or kept.
            ModelError: the graphs cannot do what is asked, or cannot be compiled.
        """
        if self._network is None:
            height, width = request.images.shape[1:3]
            engine_for = self._found if self.beside else self._engine.get
            self._network = GraphNetwork(engine_for((height, width)), self._options, engine_for)
        return self._network.run(request)

    def forget(self) -> None:
        """Drop what is kept of earlier windows."""
        if self._network is not None:
            self._network.forget()

    def close(self) -> None:
        """End what is built beside."""
        for build in self._builds.values():
            build.close()
        self._builds.clear()

    def _found(self, size: ImageSize) -> Engine:
        """Return the engine that was built beside; nobody waits here until it is built again."""
        engine = self._engine.find(size)
        if engine is None:
            raise CheckpointError(
                f'{self.model_name}: its engine for images of {size_text(size)} (height x width, '
                'px) has been removed or driven out by other sizes'
            )
        return engine

    def _build_beside(self, size: ImageSize) -> BuildBeside:
        height, width = size
        arguments = ('compile', str(self._folder.absolute()), '--size', f'{width}x{height}')
        what = f'engine of {self.model_name} for images of {size_text(size)}'
        return BuildBeside((*arguments, '--runtime', self.runtime), what)


def caution_of(config: NetworkConfig, *, is_random: bool) -> Caution | None:
    """Return what to know before relying on a network; None for most."""
    return random_caution(config.name) if is_random else CAUTIONS.get(config.name)


def graph_precision(options: EstimatorOptions) -> str:
    """Return the number format of graphs; `auto` never gives up digits on a CPU."""
    return 'fp32' if options.precision == 'auto' else options.precision


def _compiler(options: EstimatorOptions) -> GraphCompiler:
    precision, threads = graph_precision(options), choose_graph_threads(options.threads)
    if options.runtime == 'openvino':
        from da3_ros.inference.runtimes.openvino_graphs import OpenVinoCompiler

        return OpenVinoCompiler(precision=precision, threads=threads)
    from da3_ros.inference.runtimes.onnxruntime_graphs import OnnxRuntimeCompiler

    return OnnxRuntimeCompiler(precision=precision, threads=threads)
