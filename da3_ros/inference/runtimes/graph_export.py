"""A network's stages as ONNX graphs in a folder, with the weights in one file for all of them.

The folder is an engine (see `engine_files`): it can be opened where torch is not installed, and by
other programs. A second size adds its graphs and shares the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import copy
from dataclasses import replace
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast
import warnings

import numpy as np
import torch

from da3_ros import __version__
from da3_ros.errors import ModelError
from da3_ros.inference.preprocess import IMAGE_MEAN, IMAGE_STD
from da3_ros.inference.random_weights import is_marked_random
from da3_ros.inference.runtimes.engine_files import (
    CONFIG_NAME,
    PLAIN_PRECISION,
    SCRATCH_PREFIX,
    SIZE_FREE,
    TOKENS_NAME,
    WEIGHTS_NAME,
    Engine,
    GraphPrecision,
    ImageSize,
    graph_name,
    has_graphs,
    is_engine,
    read_engine,
    with_files,
    write_config,
    write_metadata,
)
from da3_ros.model.arithmetic import narrow_parameters
from da3_ros.model.build import Network
from da3_ros.model.graph_stages import Stage, any_view_stages, single_view_stages

if TYPE_CHECKING:
    import onnx_ir as ir

    from da3_ros.model.config import AnyViewConfig, SingleViewConfig

OPSET = 18
INLINE_BYTES = 1024
"""Constants up to this size stay in the graph's own file."""

_ALIGNMENT = 64
_LEVELS = 255

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is done now, how many steps are done, and of how many."""


def export_stages(
    network: Network,
    image_size: ImageSize,
    folder: Path,
    *,
    graph_precision: GraphPrecision = PLAIN_PRECISION,
    weights_sha256: str | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Export the stages of a network for one image size.

    Args:
        network: on the CPU, in float32; with fp16 its matrices are rounded in the graph.
        image_size: (H, W), multiples of 14.
        folder: made if absent; an engine of the same weights there gets the size added.
        graph_precision: format of the matrices; in fp16 graphs every cast is explicit.
        weights_sha256: hash of the weights file; None for a hash of the parameters.
        progress: hears of every stage.

    Returns:
        The engine in the folder.

    Raises:
        ModelError: the network has no stages that can be exported, or a package is missing.
        CheckpointError: the folder holds a damaged engine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not has_graphs(network.config):
        raise ModelError(f'{network.config.name}: nested networks run in torch only')
    weights_sha256 = weights_sha256 or _parameters_sha256(network)
    engine = _engine_in(folder, network, graph_precision, weights_sha256)
    exported = _halved(network) if graph_precision == 'fp16' else network
    stages = _stages(exported, image_size)
    missing = {
        name: stage
        for name, stage in stages.items()
        if graph_name(name, image_size) not in engine.files
    }
    with (folder / WEIGHTS_NAME).open('ab') as weights:
        tensors = dict(engine.tensors)
        for done, (name, stage) in enumerate(missing.items()):
            if progress is not None:
                progress(f'export {name}', done, len(missing))
            model = _exported(stage)
            _describe(model, engine, name, image_size)
            _move_weights(model, stage, tensors, weights, is_new=not engine.sizes)
            _save(model, folder / graph_name(name, image_size))
    if progress is not None:
        progress('check', len(missing), len(missing))
    names = [graph_name(name, image_size) for name in missing]
    for name in names:
        check_graph(folder / name)
    engine = with_files(engine, *names, *(() if engine.sizes else (WEIGHTS_NAME,)))
    engine = replace(engine, sizes=(*engine.sizes, image_size), tensors=tensors)
    write_metadata(engine)
    return engine


def check_graph(path: Path) -> None:
    """Check a graph with the checker of ONNX, shapes included.

    Raises:
        ModelError: it is not valid.
    """
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelError(f'{path}: the exported graph is not valid: {error}') from error


def _engine_in(
    folder: Path,
    network: Network,
    precision: GraphPrecision,
    sha256: str,
) -> Engine:
    """Return the engine of a folder that takes one more size, a new one where there is none."""
    if is_engine(folder):
        engine = read_engine(folder)
        found = (engine.config, engine.precision, engine.weights_sha256)
        if found != (network.config, precision, sha256):
            raise ModelError(
                f'{folder}: holds graphs of other weights ({engine.config.name}, '
                f'{engine.precision}); use an empty folder'
            )
        return engine
    engine = Engine(
        folder,
        cast('AnyViewConfig | SingleViewConfig', network.config),
        precision,
        sha256,
        is_marked_random(network),
        __version__,
    )
    write_config(engine)
    (folder / WEIGHTS_NAME).write_bytes(b'')
    names = [CONFIG_NAME]
    if network.any_view is not None:
        tokens = network.any_view.backbone.pretrained.camera_token[0].float().numpy()
        np.save(folder / TOKENS_NAME, tokens)
        names.append(TOKENS_NAME)
    return with_files(engine, *names)


def _halved(network: Network) -> Network:
    """Return a copy whose matrices, those that may be, are of 16 bit."""
    halved = copy.deepcopy(network)
    narrow = narrow_parameters(halved)
    for name, parameter in halved.named_parameters():
        if name in narrow:
            parameter.data = parameter.data.half()
    return halved


def _stages(network: Network, image_size: ImageSize) -> dict[Any, Stage]:
    colours = torch.tensor((IMAGE_MEAN, IMAGE_STD)) * _LEVELS
    if network.any_view is not None:
        return dict(any_view_stages(network.any_view, image_size, colours))
    assert network.single_view is not None
    return dict(single_view_stages(network.single_view, image_size, colours))


def _exported(stage: Stage) -> ir.Model:
    """Return the graph of a stage."""
    counts = {name: torch.export.Dim(name) for name in stage.counts.values()}
    shapes = tuple({0: counts[stage.counts[name]]} for name in stage.inputs)
    with _quiet():
        program = torch.onnx.export(
            stage.module.eval(),
            tuple(stage.inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(stage.inputs),
            output_names=list(stage.outputs),
            dynamic_shapes=shapes,
            verbose=False,
        )
    if program is None:
        raise ModelError('torch exported no graph')
    return program.model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of itself and of packages that nobody needs to itself."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def _describe(model: ir.Model, engine: Engine, stage: str, image_size: ImageSize) -> None:
    """Write into a graph what it is."""
    model.producer_name, model.producer_version = 'da3_ros', __version__
    described = {
        'stage': stage,
        'model_name': engine.config.name,
        'precision': engine.precision,
        'weights_sha256': engine.weights_sha256,
        'weights_are_random': str(engine.is_random).lower(),
        'torch_version': torch.__version__,
    }
    if stage not in SIZE_FREE:
        described['image_height_px'], described['image_width_px'] = map(str, image_size)
    model.metadata_props.update({f'da3_ros.{key}': text for key, text in described.items()})
    # Where each node comes from in our sources is of no use to others.
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None


def _move_weights(
    model: ir.Model,
    stage: Stage,
    tensors: dict[str, tuple[int, int]],
    weights: BinaryIO,
    *,
    is_new: bool,
) -> None:
    """Move the constants of a graph into the weights file, each content once.

    Args:
        model: the graph.
        stage: what it was exported from; its buffers are of one image size and stay in the graph.
        tensors: what the file holds, see `Engine.tensors`; gets what is added.
        weights: the file, open at its end.
        is_new: whether anything may be added: other graphs rely on a file that is complete.
    """
    import onnx_ir as ir

    own = {name for name, _ in stage.module.named_buffers()}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= INLINE_BYTES or name in own:
            continue
        content = np.ascontiguousarray(tensor.numpy()).tobytes()
        key = hashlib.sha256(f'{tensor.dtype}:'.encode() + content).hexdigest()
        if key not in tensors:
            if not is_new:
                continue
            weights.write(bytes(-weights.tell() % _ALIGNMENT))
            tensors[key] = (weights.tell(), len(content))
            weights.write(content)
        start, length = tensors[key]
        value.const_value = ir.ExternalTensor(
            WEIGHTS_NAME,
            start,
            length,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
        )


def _save(model: ir.Model, path: Path) -> None:
    """Write a graph; who reads one of that name meanwhile keeps what he has."""
    import onnx_ir as ir

    scratch = path.with_name(f'{SCRATCH_PREFIX}{path.name}.{os.getpid()}')
    ir.save(model, scratch, format='protobuf')
    scratch.replace(path)


def _parameters_sha256(network: Network) -> str:
    """Return a hash of names and values of all parameters."""
    found = hashlib.sha256()
    for name, parameter in network.named_parameters():
        found.update(name.encode())
        found.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
