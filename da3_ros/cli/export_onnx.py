"""`da3 export-onnx`: the stages of a network as graphs, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from da3_ros.cli.engine_progress import EngineBar
from da3_ros.cli.engine_sizes import Aspects, Sizes, in_pixels, wanted_sizes
from da3_ros.cli.process import unwind_on_terminate
from da3_ros.cli.reporting import in_words, reporting, show_files
from da3_ros.cli.table_options import takes_options
from da3_ros.cli.wanted_network import config_of
from da3_ros.errors import ModelError
from da3_ros.options.choices import Precision
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.inference.runtimes.engine_build import CheckpointEngine
    from da3_ros.inference.runtimes.engine_files import ImageSize


@takes_options(Entrance.ENGINES)
def export_onnx(
    precision: Precision,
    process_res: int,
    as_json: bool,
    model: Annotated[
        str,
        typer.Argument(
            help='Network: folder, hub repository, or name; `da3 models` lists the names.'
        ),
    ],
    out: Annotated[Path, typer.Option('--out', '-o', help='Folder of the graphs, new or empty.')],
    size: Sizes = None,
    aspect: Aspects = None,
) -> None:
    """Write the stages of a network as ONNX graphs, for other programs."""
    with unwind_on_terminate(), reporting('export-onnx', as_json=as_json) as report:
        source = _source(model, precision)
        sizes = wanted_sizes(size or (), aspect or (), process_res or source.config.process_res)
        found = _written(source, sizes, out)
        report.content = {'model': model, 'out': str(out), **found}
        report.print_summary = lambda: _show(out, found)


def _source(model: str, precision: Precision) -> CheckpointEngine:
    """Return what makes graphs of a network.

    Raises:
        BadParameter: there are no graphs of this precision.
        CheckpointError: the network cannot be found or read.
        ModelError: it has no graphs, or what makes them is not installed.
    """
    from da3_ros.inference.hub import find_checkpoint
    from da3_ros.inference.runtimes.engine_build import CheckpointEngine, require_graphs
    from da3_ros.inference.runtimes.packages import EXTRA, missing_builders

    if precision == 'bf16':
        raise typer.BadParameter('--precision: expected fp32 or fp16, got bf16')
    require_graphs(config_of(model))
    missing = missing_builders()
    if missing:
        raise ModelError(
            f'{", ".join(missing)}: not installed, and needed to export; in a clone of da3_ros: '
            f'{EXTRA["onnxruntime"]}'
        )
    return CheckpointEngine(
        find_checkpoint(model),
        graph_precision='fp16' if precision == 'fp16' else 'fp32',
        progress=EngineBar(f'exporting {model}'),
    )


def _written(source: CheckpointEngine, sizes: Sequence[ImageSize], out: Path) -> dict[str, Any]:
    from da3_ros.cli.engine_folder import write_engine
    from da3_ros.cli.onnx_readme import README_NAME, keep_readme, write_readme

    began = time.perf_counter()
    own_readme = keep_readme(out)
    engine = write_engine(source, sizes, out)
    names = [*sorted(engine.files), 'engine.json']
    notes = [f'{README_NAME} was changed by somebody and stays as it is']
    if own_readme:
        write_readme(engine)
        names.append(README_NAME)
        notes = []
    return {
        'network': engine.config.name,
        'precision': engine.precision,
        'sizes': [in_pixels(size) for size in engine.sizes],
        'files': names,
        'seconds': time.perf_counter() - began,
        'notes': notes,
    }


def _show(out: Path, found: dict[str, Any]) -> None:
    sizes, took = ', '.join(found['sizes']), in_words(found['seconds'])
    print(f'{found["network"]} {found["precision"]} for {sizes}, {took}')
    show_files(out, found['files'])
    for note in found['notes']:
        print(f'note: {note}')
