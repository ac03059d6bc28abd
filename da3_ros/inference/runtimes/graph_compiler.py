"""What compiles graphs and runs them: the interface of the libraries that do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.inference.runtimes.engine_files import StageName

Floats: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]


class Graph(Protocol):
    """A compiled graph; one thread at a time runs it and reads its results."""

    def run(self, inputs: Mapping[str, NDArray[np.generic]], *shapes: Shape) -> list[Floats]:
        """Compute.

        Args:
            inputs: contiguous arrays by name.
            shapes: of the outputs, all of them.

        Returns:
            The outputs. Where the size of the first dimension is free, they may be memory of the
            graph, which its next run writes to; else each is in memory of its own.

        Raises:
            ModelError: it cannot be computed, or is not the graph of this stage.
        """
        ...


class GraphCompiler(Protocol):
    """Makes graphs ready to run."""

    name: str
    """As the option `runtime` names it."""
    device: str
    """Where graphs compute, as torch names devices."""

    def load(self, path: Path, stage: StageName, batch: int | None, identity: str) -> Graph:
        """Compile a graph.

        Args:
            path: its file.
            stage: what it computes; precision may depend on it.
            batch: size of the first dimension of every input; None leaves it free.
            identity: differs wherever the graph or its weights do.

        Raises:
            ModelError: it cannot be compiled.
        """
        ...


def checked(results: list[Floats], shapes: Sequence[Shape]) -> list[Floats]:
    """Return the results of a graph; a folder of somebody else may have any graph.

    Raises:
        ModelError: they are not float32 of these shapes.
    """
    found = [(str(result.dtype), result.shape) for result in results]
    if found != [('float32', tuple(shape)) for shape in shapes]:
        raise ModelError(
            f'a graph of the engine: expected float32 of shapes {list(shapes)}, got {found}; make '
            'the engine again: da3 compile'
        )
    return results
