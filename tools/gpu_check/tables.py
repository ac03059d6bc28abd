"""The figures of a check as Markdown, ready for `docs/performance.md`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.gpu_check.part import Result

Results = Mapping[str, Result]


def markdown(results: Results, environment: Mapping[str, Any]) -> str:
    """Return the tables of everything that has figures."""
    lines = [
        f'Measured on {environment.get("name")} with torch {environment.get("torch")}, '
        f'CUDA {environment.get("cuda")}, driver {environment.get("driver")}, by '
        '`python -m tools.gpu_check`; weights by the rule of `tools/parity/synthetic_weights.py`.'
    ]
    for title, rows in (
        ('Depth in 16 bits against float32, relative error', _precision(results)),
        ('Time per forward', _timing(results)),
        ('Peak memory beside the weights, estimated / measured', _memory(results)),
        ('Synchronisations of host and device', _syncs(results)),
        ('Windows of a stream, from images to maps on the host', _windows(results)),
        ('Answers of graphs against those of the plain stages', _graphs(results)),
        (
            'Memory asked for by a steady window of 8, stride 1',
            _allocations(results),
        ),
        ('Milliseconds that the host is held by copies of 8 views', _transfers(results)),
    ):
        table = list(rows)
        if len(table) > 2:
            lines += ['', f'### {title}', '', *table]
    return '\n'.join(lines) + '\n'


def _of(results: Results, topic: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, result in results.items():
        if name.startswith(f'{topic}.') and result.figures and result.status != 'SKIP':
            mark = ' (FAIL)' if result.status == 'FAIL' else ''
            yield name.partition('.')[2] + mark, result.figures


def _head(*cells: str) -> list[str]:
    return [_row(cells), _row(['---'] * len(cells))]


def _row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _precision(results: Results) -> Iterator[str]:
    yield from _head(
        'network', 'format', 'images', 'median', 'p99', 'autocast median', 'autocast p99',
        'sky that changed',
    )  # fmt: skip
    for network, figures in _of(results, 'precision'):
        for precision in ('bf16', 'fp16'):
            for source, found in figures.get(precision, {}).items():
                keys = ('median', 'p99', 'autocast_median', 'autocast_p99')
                cells = [f'{100 * float(found[key]):.3f} %' for key in keys]
                sky = f'{100 * float(found["sky_changed"]):.3f} %'
                yield _row([network, precision, source, *cells, sky])


def _timing(results: Results) -> Iterator[str]:
    yield from _head('network', 'views', 'format', 'ms', 'ms per view', 'peak memory (MiB)')
    for network, figures in _of(results, 'timing'):
        for entry in figures.get('windows', ()):
            if 'ms' not in entry:
                continue
            per_view = f'{entry["ms"] / entry["views"]:.2f}'
            peak = entry.get('peak_mib')
            yield _row(
                [
                    network,
                    f'{entry["views"]} x {entry["width"]}x{entry["height"]}',
                    entry['dtype'],
                    f'{entry["ms"]:.2f}',
                    per_view,
                    '' if peak is None else f'{peak:.0f}',
                ]
            )


def _memory(results: Results) -> Iterator[str]:
    yield from _head('network', 'views', 'format', 'estimated (MiB)', 'measured (MiB)', 'ratio')
    for network, figures in _of(results, 'memory'):
        for entry in figures.get('windows', ()):
            if 'measured_mib' not in entry:
                continue
            sizes = [f'{entry[f"{kind}_mib"]:.0f}' for kind in ('estimated', 'measured')]
            ratio = f'{entry["ratio"]:.2f}'
            yield _row([network, str(entry['views']), entry['dtype'], *sizes, ratio])


def _syncs(results: Results) -> Iterator[str]:
    yield from _head('network', 'a forward pass', 'where', 'a steady window', 'where')
    for network, figures in _of(results, 'syncs'):
        cells = []
        for key in ('places', 'window'):
            found = figures.get(key)
            if found is None:
                cells += ['not counted', '']
                continue
            where = ', '.join(f'{place} ({count})' for place, count in found.items())
            cells += [str(sum(found.values())), where or 'none']
        yield _row([network, *cells])


def _windows(results: Results) -> Iterator[str]:
    yield from _head(
        'network', 'stream', 'who', 'ms', 'p99 / median', 'factor', 'peak memory (MiB)'
    )
    for network, figures in _of(results, 'windows'):
        entries = [entry for entry in figures.get('streams', ()) if 'ms' in entry]
        # Against the official code where it ran, else against ours without anything kept.
        first: dict[str, float] = {}
        for entry in entries:
            slowest = first.setdefault(entry['stream'], entry['ms'])
            peak = entry.get('peak_mib')
            yield _row(
                [
                    network,
                    entry['stream'],
                    entry['variant'],
                    f'{entry["ms"]:.2f}',
                    f'{entry["p99_ms"] / entry["ms"]:.2f}',
                    f'{slowest / entry["ms"]:.2f}',
                    '' if peak is None else f'{peak:.0f}',
                ]
            )


def _graphs(results: Results) -> Iterator[str]:
    yield from _head('network', 'format', 'largest difference', 'replayed', 'given up')
    for network, figures in _of(results, 'graphs'):
        for name, found in figures.items():
            if isinstance(found, Mapping):
                counts = [str(found[key]) for key in ('replayed', 'refused')]
                yield _row([network, name, f'{found["difference"]:.2g}', *counts])


def _allocations(results: Results) -> Iterator[str]:
    yield from _head('network', 'of the driver', 'of the allocator', 'peak memory (MiB)')
    for network, figures in _of(results, 'allocations'):
        each = f'{figures["allocator"] / figures["windows"]:g}'
        yield _row([network, str(figures['driver']), each, f'{figures["peak_mib"]:.0f}'])


def _transfers(results: Results) -> Iterator[str]:
    yield from _head('copy', 'enqueued', 'waited for', 'device busy')
    for _, figures in _of(results, 'transfers'):
        for copy in ('upload', 'download'):
            keys = (f'{copy}_ms', f'{copy}, plain_ms', 'busy_ms')
            yield _row([copy, *(f'{figures[key]:.2f}' for key in keys)])
