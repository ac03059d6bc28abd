"""Results as Markdown: one block for each kind of figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.compare.contenders import OFFICIAL
from benchmarks.compare.machine import BUSY_SHARE
from benchmarks.compare.measure import factor, spread

Results = Mapping[str, Any]
BLOCKS = ('machine', 'calls', 'windows', 'starts', 'agreement', 'operations')
"""In the order of the page."""

NOTHING = '-'


def blocks(results: Results) -> dict[str, str]:
    """Return the Markdown of every block."""
    makers = {
        'machine': _machine,
        'calls': _calls,
        'windows': _windows,
        'starts': _starts,
        'agreement': _agreement,
        'operations': _operations,
    }
    return {name: '\n'.join(makers[name](results)).strip() + '\n' for name in BLOCKS}


def markdown(results: Results) -> str:
    """Return all blocks."""
    return '\n'.join(blocks(results).values())


def _head(*cells: str) -> list[str]:
    return [_row(cells), _row(['---'] * len(cells))]


def _row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _machine(results: Results) -> Iterator[str]:
    machine = results['machine']
    versions = ', '.join(f'{name} {text}' for name, text in machine['versions'].items() if text)
    loads = [machine['load'], results.get('load_after', [])]
    load = ' before and '.join(f'{values[0]:g}' for values in loads if values)
    yield (
        f'Measured {results["when"]} on {machine["cpu"]} ({", ".join(machine["flags"])}), '
        f'{machine["cores"]} cores, {machine["threads"]} threads; {machine["system"]}, Python '
        f'{machine["python"]}, {versions}; load average {load} after. Weights: '
        f'{results["weights"]}. Reference: {", ".join(_reference(results))}; ours: revision '
        f'{results["ours"]}.'
    )
    share = _others(results)
    if share is not None:
        busy = ': too busy for times to mean much' if _is_busy(results) else ''
        yield f'Other programs held {100 * share:.0f} % of the cores in the median turn{busy}.'
    for title, why in _missing(results).items():
        yield f'\nNot measured: {title}: {why}.'


def _reference(results: Results) -> Iterator[str]:
    key = results['reference']
    yield results['titles'][key]
    if key == OFFICIAL and results['revision']:
        yield f'revision {results["revision"]}'
    for name, text in results['versions'].get(key, {}).items():
        yield f'{name} {text}'


def _others(results: Results) -> float | None:
    """Return the share of the cores that others held in the median turn."""
    turns = (turns for case in results['cases'] for turns in case['turns'].values())
    shares = [share for one in turns for share in one['others']]
    return spread(shares)[0] if shares else None


def _is_busy(results: Results) -> bool:
    return (_others(results) or 0.0) > BUSY_SHARE


def _missing(results: Results) -> dict[str, str]:
    found: dict[str, str] = {}
    for group in (*results['cases'], *results['starts']):
        for key, entry in group.get('turns', group.get('starts', {})).items():
            if entry['error'] is not None:
                found.setdefault(results['titles'][key], entry['error'].rstrip('.'))
    return found


def _cases(results: Results, kind: str) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield title and cases of every table: one for each network and size."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for case in results['cases']:
        if case['kind'] == kind:
            groups.setdefault(f'{case["preset"]}, {size_name(case)}', []).append(case)
    yield from groups.items()


def size_name(case: Mapping[str, Any]) -> str:
    """Return the size of a case as users write it."""
    return f'{case["size"][1]}x{case["size"][0]}'


def case_name(case: Mapping[str, Any]) -> str:
    """Return what a case computes."""
    if case['kind'] == 'window':
        return f'window {case["length"]}, stride {case["stride"]}'
    return '1 view' if case['views'] == 1 else f'{case["views"]} views'


def _keys(results: Results, cases: Sequence[Mapping[str, Any]]) -> list[str]:
    found = {key for case in cases for key in case['turns']}
    return [key for key in results['titles'] if key in found]


def _times(results: Results, kind: str) -> Iterator[str]:
    for title, cases in _cases(results, kind):
        yield f'\n**{title}**\n'
        yield from _head('', *map(case_name, cases))
        for key in _keys(results, cases):
            cells = [_time(case['turns'], key, results) for case in cases]
            yield _row([results['titles'][key], *cells])


def _time(turns: Mapping[str, Any], key: str, results: Results) -> str:
    taken = turns.get(key, {}).get('wall_s')
    if not taken:
        return NOTHING
    middle, low, high = (1000 * value for value in spread(taken))
    text = f'{middle:.0f} ({low:.0f} to {high:.0f})'
    other = turns.get(results['reference'])
    if key == results['reference'] or other is None or not other['wall_s']:
        return text
    text += f', **{factor(other["wall_s"], taken):.2f}x**'
    if _is_busy(results):
        text += f', CPU {factor(other["cpu_s"], turns[key]["cpu_s"]):.2f}x'
    return text


def _calls(results: Results) -> Iterator[str]:
    yield (
        'Milliseconds of a call, images of the size that the network sees in, depth, confidence '
        'and cameras as arrays out: median (quartiles), and how many times faster than the '
        'reference (median of the ratios of each round).'
    )
    if _is_busy(results):
        yield 'Other programs disturbed it: behind CPU, the same by the time of the cores.'
    yield from _times(results, 'call')


def _windows(results: Results) -> Iterator[str]:
    yield (
        'Milliseconds of a step of a sliding window in its steady state, as above: depth of the '
        'new images, cameras of all; ours through the estimator that the node uses, which keeps '
        'what it knows of the images of earlier windows.'
    )
    yield from _times(results, 'window')


def _starts(results: Results) -> Iterator[str]:
    yield (
        'Fresh processes, files in the page cache, compiled engines kept from an earlier start. '
        'Seconds from the start of the process to the first depth of one view; of it, loading '
        'before there is an image (OpenVINO and ONNX Runtime load with the first one); the most '
        'memory (MB) of a process that computed so many views. Behind each: share of the '
        'reference.'
    )
    for group in results['starts']:
        views = sorted(int(count) for start in group['starts'].values()
                       for count in start['peak_mb'])  # fmt: skip
        views = list(dict.fromkeys(views))
        yield f'\n**{group["preset"]}, {size_name(group)}**\n'
        names = [f'memory, {count} view{"s" if count > 1 else ""}' for count in views]
        yield from _head('', 'first depth (s)', 'load (s)', *names)
        reference = group['starts'].get(results['reference'])
        for key in results['titles']:
            start = group['starts'].get(key)
            if start is None or not start['first_depth_s']:
                continue
            cells = [_share(start, reference, 'first_depth_s'), _share(start, reference, 'load_s')]
            cells += [_memory(start, reference, str(count)) for count in views]
            yield _row([results['titles'][key], *cells])


def _share(start: Mapping[str, Any], reference: Mapping[str, Any] | None, name: str) -> str:
    middle = spread(start[name])[0]
    if reference is None or not reference[name] or start is reference:
        return f'{middle:.2f}'
    return f'{middle:.2f}, {middle / spread(reference[name])[0]:.2f}'


def _memory(start: Mapping[str, Any], reference: Mapping[str, Any] | None, views: str) -> str:
    peak = start['peak_mb'].get(views)
    if peak is None:
        return NOTHING
    other = None if reference is None or start is reference else reference['peak_mb'].get(views)
    return f'{peak:.0f}' if other is None else f'{peak:.0f}, {peak / other:.2f}'


def _agreement(results: Results) -> Iterator[str]:
    yield (
        'Difference from the reference on the same images: median / 99th percentile of the '
        'relative difference of depth; largest rotation between cameras; largest difference of a '
        'translation relative to the median depth.'
    )
    for kind in ('call', 'window'):
        for title, cases in _cases(results, kind):
            yield f'\n**{title}**\n'
            yield from _head('', *map(case_name, cases))
            for key in _keys(results, cases):
                if key != results['reference']:
                    cells = [_difference(case['turns'].get(key, {})) for case in cases]
                    yield _row([results['titles'][key], *cells])


def _difference(turns: Mapping[str, Any]) -> str:
    found = turns.get('agreement')
    if not found:
        return NOTHING
    text = f'{found["depth_median"]:.1e} / {found["depth_p99"]:.1e}'
    if 'rotation_deg' in found:
        text += f'; {found["rotation_deg"]:.1e} deg; {found["translation"]:.1e}'
    return text


def _operations(results: Results) -> Iterator[str]:
    yield (
        'Floating-point operations that torch executes, in 10^9, counted; ours in float32, which '
        'the other runtimes compute as well.'
    )
    yield ''
    yield from _head('', 'reference', 'ours', 'ours / reference')
    for case in results['cases']:
        counts = [
            case['turns'].get(key, {}).get('gflop') for key in (results['reference'], 'torch')
        ]
        if None in counts:
            continue
        theirs, ours = counts
        name = f'{case["preset"]}, {size_name(case)}, {case_name(case)}'
        yield _row([name, f'{theirs:.1f}', f'{ours:.1f}', f'{ours / theirs:.2f}'])
