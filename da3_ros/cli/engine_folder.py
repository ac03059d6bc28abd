"""Engines in folders that the user names: new, or with sizes added; nothing else is touched."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from da3_ros.errors import ExportError
from da3_ros.export.files import alone_in
from da3_ros.export.staging import make_folder, staging_folder
from da3_ros.foreign import foreign_file, plain_path, read_bounded

if TYPE_CHECKING:
    from da3_ros.inference.runtimes.engine_build import CheckpointEngine
    from da3_ros.inference.runtimes.engine_files import Engine, ImageSize

_ENGINE = 'engine'
_MAX_GRAPH_BYTES = 1 << 28


def engine_in(folder: Path) -> Engine | None:
    """Return the engine that a folder is, None where it can become one.

    Raises:
        CheckpointError: the engine is damaged.
        ExportError: the folder holds something else.
    """
    from da3_ros.inference.runtimes.engine_files import is_engine, read_engine

    if is_engine(folder):
        return read_engine(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(
            f'{plain_path(folder)}: expected a new or empty folder, or one that this command '
            'wrote, got something else; use another one'
        )
    return None


def write_engine(source: CheckpointEngine, sizes: Sequence[ImageSize], folder: Path) -> Engine:
    """Write graphs for image sizes into a folder; those that are there stay as they are.

    A new folder is there when it is complete.

    Args:
        source: whose graphs.
        sizes: (H, W), px; at least one.
        folder: see `engine_in`.

    Raises:
        CheckpointError: what makes graphs is not installed, or nothing can be written.
        ExportError: the folder holds something else.
        ModelError: it cannot be exported, or the folder holds graphs of other weights.
    """
    if engine_in(folder) is not None:
        return _added(source, sizes, folder)
    try:
        with ExitStack() as undo:
            make_folder(folder.parent, undo)
            with staging_folder(folder.parent) as staging:
                _written(source, sizes, staging / _ENGINE)
                # Onto nothing, or onto an empty folder.
                (staging / _ENGINE).rename(folder)
            undo.pop_all()
    except OSError as error:
        raise ExportError(
            f'{plain_path(folder)}: cannot be written: {error.strerror or error}'
        ) from error
    found = engine_in(folder)
    assert found is not None
    return found


def _added(source: CheckpointEngine, sizes: Sequence[ImageSize], folder: Path) -> Engine:
    """Add sizes to an engine, while nobody else does."""
    from da3_ros.inference.runtimes.engine_files import graph_name, remove_scratch, stages_of

    with ExitStack() as alone:
        with foreign_file(folder, 'engine', ExportError):
            alone.enter_context(alone_in(folder))
        there = engine_in(folder)
        if there is None:
            raise ExportError(f'{plain_path(folder)}: the engine in it was removed meanwhile')
        source.require_own(there)
        remove_scratch(folder)
        missing = [size for size in sizes if size not in there.sizes]
        names = [graph_name(stage, s) for stage in stages_of(there.config) for s in missing]
        unlisted = [folder / name for name in names if name not in there.files]
        foreign = [path for path in unlisted if path.exists() and not _is_graph_of(there, path)]
        if foreign:
            raise ExportError(
                f'{plain_path(foreign[0])}: is in the way and not a graph of this engine; move it '
                'away'
            )
        return _written(source, missing, folder) or there


def _is_graph_of(engine: Engine, path: Path) -> bool:
    """Return whether a file is a graph that a process made which was killed before its end."""
    with foreign_file(path, 'graph', ExportError):
        # In the metadata of every graph, see `graph_export`.
        return engine.weights_sha256.encode() in read_bounded(path, _MAX_GRAPH_BYTES)


def _written(source: CheckpointEngine, sizes: Sequence[ImageSize], folder: Path) -> Engine | None:
    engine = None
    for size in sizes:
        engine = source.write(folder, size)
    return engine
