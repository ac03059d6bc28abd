"""`da3 export-onnx`: the stages of a network as graphs, for other programs."""

from __future__ import annotations

from pathlib import Path
import time
from typing import Annotated

import typer

from da3_ros.cli.engine_progress import EngineBar
from da3_ros.cli.engine_sizes import Aspects, Sizes, in_pixels, wanted_sizes
from da3_ros.cli.reporting import in_words, reporting, show_files
from da3_ros.cli.table_options import takes_options
from da3_ros.cli.wanted_network import config_of
from da3_ros.errors import ModelError
from da3_ros.options.choices import Precision
from da3_ros.options.table import Entrance


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
    with reporting('export-onnx', as_json=as_json) as report:
        from da3_ros.cli.engine_folder import write_engine
        from da3_ros.cli.onnx_readme import README_NAME, keep_readme, write_readme
        from da3_ros.inference.hub import find_checkpoint
        from da3_ros.inference.runtimes.engine_build import CheckpointEngine, require_graphs
        from da3_ros.inference.runtimes.packages import EXTRA, missing_builders

        if precision == 'bf16':
            raise typer.BadParameter('--precision: expected fp32 or fp16, got bf16')
        config = config_of(model)
        require_graphs(config)
        missing = missing_builders()
        if missing:
            raise ModelError(
                f'{", ".join(missing)}: not installed, and needed to export; in a clone of '
                f'da3_ros: {EXTRA["onnxruntime"]}'
            )
        sizes = wanted_sizes(size or (), aspect or (), process_res or config.process_res)
        began = time.perf_counter()
        source = CheckpointEngine(
            find_checkpoint(model),
            precision='fp16' if precision == 'fp16' else 'fp32',
            progress=EngineBar(f'exporting {model}'),
        )
        own_readme = keep_readme(out)
        engine = write_engine(source, sizes, out)
        names = [*sorted(engine.files), 'engine.json']
        if own_readme:
            write_readme(engine)
            names.append(README_NAME)
        seconds = time.perf_counter() - began
        report.content = {
            'model': model,
            'out': str(out),
            'precision': engine.precision,
            'sizes': [in_pixels(size) for size in engine.sizes],
            'files': names,
            'seconds': seconds,
        }

        def show() -> None:
            texts = ', '.join(in_pixels(size) for size in engine.sizes)
            print(f'{engine.config.name} {engine.precision} for {texts}, {in_words(seconds)}')
            show_files(out, names)
            if not own_readme:
                print(f'note: {README_NAME} was changed by somebody and stays as it is')

        report.print_summary = show
