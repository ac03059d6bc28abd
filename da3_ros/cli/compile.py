"""`da3 compile`: engines ahead of time, and what there is of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from da3_ros.cli.engine_progress import EngineBar
from da3_ros.cli.engine_sizes import Aspects, Sizes, in_pixels, wanted_sizes
from da3_ros.cli.process import unwind_on_terminate
from da3_ros.cli.reporting import in_words, reporting
from da3_ros.cli.table_options import takes_options
from da3_ros.cli.wanted_network import config_of
from da3_ros.foreign import plain_path
from da3_ros.options.choices import RUNTIMES, Precision, Runtime
from da3_ros.options.network import NETWORK
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.inference.runtimes.engine_build import CheckpointEngine
    from da3_ros.inference.runtimes.engine_files import Engine, ImageSize
    from da3_ros.options import EstimatorOptions

_MIB = 2**20


@takes_options(Entrance.ENGINES)
def compile_engines(
    runtime: Runtime,
    precision: Precision,
    process_res: int,
    as_json: bool,
    model: Annotated[
        str | None,
        typer.Argument(
            help='Network: folder, hub repository, or name; `da3 models` lists the names.',
            show_default=False,
        ),
    ] = None,
    size: Sizes = None,
    aspect: Aspects = None,
    out: Annotated[
        Path | None,
        typer.Option(
            '--out',
            help='Folder of the engine, for a machine without torch; default: the cache.',
            show_default=False,
        ),
    ] = None,
    list_all: Annotated[
        bool, typer.Option('--list', help='List the engines in the cache and build none.')
    ] = False,
    remove: Annotated[
        bool,
        typer.Option(
            '--remove', help='Remove the engines of MODEL from the cache, without MODEL all.'
        ),
    ] = False,
) -> None:
    """Build what runtimes other than torch compute, ahead of the first use."""
    with unwind_on_terminate(), reporting('compile', as_json=as_json) as report:
        if list_all or remove:
            from da3_ros.cli.engine_list import describe_engines, remove_engines, show_engines

            found = remove_engines(model) if remove else describe_engines(model)
            report.content = {'removed' if remove else 'engines': found}
            report.print_summary = lambda: show_engines(found, removed=remove)
            return
        options = _options(model, runtime, precision)
        rows = _built(options, _sizes(options, size, aspect, process_res), out)
        report.content = {'model': model, 'runtime': options.runtime, 'engines': rows}
        report.print_summary = lambda: _show(options, rows)


def _options(model: str | None, runtime: Runtime, precision: Precision) -> EstimatorOptions:
    """Return the options of the network; its runtime is one that is installed.

    Raises:
        BadParameter: nothing has to be built for what is asked.
        ModelError: no such runtime is installed.
    """
    from da3_ros.inference.runtimes.packages import EXTRA, is_installed, require_runtime

    if not model:
        raise typer.BadParameter('expected MODEL, e.g. da3-small; or --list, or --remove')
    if runtime == 'torch':
        raise typer.BadParameter('--runtime: nothing has to be built for torch')
    if precision == 'fp16':
        raise typer.BadParameter('--precision: fp16 needs a GPU; expected fp32 or bf16')
    if runtime == 'auto':
        preferred = next((name for name in EXTRA if is_installed(name)), next(iter(EXTRA)))
        (runtime,) = (known for known in RUNTIMES if known == preferred)
    require_runtime(runtime)
    return replace(NETWORK, model=model, runtime=runtime, precision=precision, device='cpu')


def _sizes(
    options: EstimatorOptions, size: Sizes, aspect: Aspects, process_res: int
) -> tuple[ImageSize, ...]:
    """Return the sizes that are asked for; those of an aspect are as large as the model's own.

    Raises:
        BadParameter: one is no size, or they are more than are kept.
        ModelError: the network has no graphs.
    """
    from da3_ros.inference.runtimes.engine_build import require_graphs
    from da3_ros.inference.runtimes.engine_store import MAX_SIZES

    config = config_of(options.model)
    require_graphs(config)
    sizes = wanted_sizes(size or (), aspect or (), process_res or config.process_res)
    if len(sizes) > MAX_SIZES:
        raise typer.BadParameter(f'expected at most {MAX_SIZES} sizes, got {len(sizes)}')
    return sizes


def _built(
    options: EstimatorOptions, sizes: tuple[ImageSize, ...], out: Path | None
) -> list[dict[str, Any]]:
    from da3_ros.inference.hub import find_checkpoint
    from da3_ros.inference.runtimes.engine_build import CheckpointEngine

    bar = EngineBar(f'building {options.model}')
    source = CheckpointEngine(find_checkpoint(options.model), progress=bar)
    rows = []
    for size in sizes:
        began = time.perf_counter()
        engine, is_new = _one(source, size, out)
        _try(engine, size, options)
        rows.append(
            {
                'folder': str(engine.folder),
                'size': in_pixels(size),
                'built': is_new,
                'bytes': engine.nbytes,
                'seconds': time.perf_counter() - began,
            }
        )
    bar.close()
    return rows


def _one(source: CheckpointEngine, size: ImageSize, out: Path | None) -> tuple[Engine, bool]:
    """Return the engine with graphs for a size, and whether these were built now."""
    from da3_ros.cli.engine_folder import engine_in, write_engine

    there = source.find(size) if out is None else engine_in(out)
    if there is not None:
        source.require_own(there)
    if there is not None and size in there.sizes:
        return there, False
    return source.get(size) if out is None else write_engine(source, (size,), out), True


def _try(engine: Engine, size: ImageSize, options: EstimatorOptions) -> None:
    """Compute a black image: what the runtime keeps of a graph that it compiled is there then.

    Raises:
        ModelError: the runtime cannot compute the engine.
    """
    import numpy as np

    from da3_ros.inference.runtimes.choose import open_network
    from da3_ros.inference.window_network import WindowRequest

    network = open_network(str(engine.folder), replace(options, model=str(engine.folder)))
    network.run(WindowRequest(np.zeros((1, *size, 3), np.uint8)))


def _show(options: EstimatorOptions, rows: list[dict[str, Any]]) -> None:
    print(f'{options.model} for {options.runtime}, in {plain_path(Path(rows[0]["folder"]))}')
    for row in rows:
        what = f'built in {in_words(row["seconds"])}' if row['built'] else 'is there'
        print(f'  {row["size"]:>10}  {what}')
    print(f'{rows[-1]["bytes"] / _MIB:.0f} MiB')
