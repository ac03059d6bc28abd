"""`da3 cloud`: the clouds of a recording as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.table_options import takes_options
from da3_ros.foreign import plain_line, plain_path
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.pipeline.fused_cloud import FusedCloud


@takes_options(Entrance.BAGS)
def cloud(
    bag: Annotated[
        Path, typer.Argument(help='Bag with clouds in a world frame, as `da3 bag` writes them.')
    ],
    out: Annotated[Path, typer.Argument(help='File to write, .ply.')],
    overwrite: bool,
    voxel: Annotated[
        float, typer.Option(min=1e-6, help='One point for every cube of this edge, m.')
    ] = 0.05,
    topic: Annotated[
        str, typer.Option(help='Topic of the clouds; default: /points, or the only one.')
    ] = '',
    least_seen: Annotated[
        int, typer.Option(min=1, help='Leave out cubes that fewer clouds have points in.')
    ] = 1,
    least_confidence: Annotated[
        float, typer.Option(min=1.0, help='Leave out points below this confidence.')
    ] = 1.0,
) -> None:
    """Fuse the point clouds of a recording to one cloud, a mean point for every voxel.

    Memory grows with the space that was seen, not with the length of the recording. Clouds of
    another world or unit than the longest one in metres are left out, and said.
    """
    from tqdm import tqdm

    from da3_ros.errors import ExportError
    from da3_ros.export.files import staged
    from da3_ros.pipeline.fused_cloud import fused_cloud
    from da3_ros.sources.bag import BagReader

    if out.suffix.lower() != '.ply':
        raise ExportError(f'cloud {out}: expected the name of a .ply file')
    with staged(out.parent, [out.name], overwrite=overwrite) as folder:
        with BagReader(bag) as reader, tqdm(total=100, unit='%', disable=None) as bar:
            found = fused_cloud(
                reader,
                voxel,
                topic=topic,
                least_seen=least_seen,
                least_confidence=least_confidence,
                progress=lambda share: bar.update(int(100 * share) - bar.n),
            )
            notes = [*reader.notes, *found.notes]
        if not len(found.points.xyz):
            raise ExportError(
                f'cloud {out}: no point is left of {found.clouds} clouds on {found.topic}; '
                'nothing was written'
            )
        _write(folder / out.name, found)
    for note in notes:
        print(f'note: {plain_line(note.text)}')
    xyz = found.points.xyz
    extent = ' x '.join(f'{length:.2f}' for length in xyz.max(axis=0) - xyz.min(axis=0))
    print(
        f'wrote {len(xyz)} points of {found.clouds} clouds to {plain_path(out)}: {extent} '
        f'in {found.frame_id}, {_unit(found)}'
    )


def _write(file: Path, found: FusedCloud) -> None:
    import numpy as np

    from da3_ros.export.ply import vertex_layout, vertices, write_vertices

    points = found.points
    layout = vertex_layout(with_confidence=bool(np.isfinite(points.confidence).all()))
    frame = f'frame {found.frame_id}'.encode('ascii', 'backslashreplace').decode()
    write_vertices(file, [vertices(points, layout)], layout, [frame, _unit(found)])


def _unit(found: FusedCloud) -> str:
    return 'metres' if found.is_metric else 'unit unknown'
