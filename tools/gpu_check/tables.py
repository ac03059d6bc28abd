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
        ('Synchronisations of host and device per forward', _syncs(results)),
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
    yield from _head('network', 'count', 'where')
    for network, figures in _of(results, 'syncs'):
        places = figures.get('places', {})
        where = ', '.join(f'{place} ({count})' for place, count in places.items())
        yield _row([network, str(figures.get('count', '')), where or 'none'])
