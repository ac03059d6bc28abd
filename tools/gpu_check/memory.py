"""Memory of the device: as estimated, enough of it made by smaller chunks, and given back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from da3_ros.inference.out_of_memory import MemoryExceededError
from da3_ros.inference.runner import NetworkRunner
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.chunks import VIEW_CHUNK
from da3_ros.model.presets import PRESETS
from da3_ros.notes import joined
from tools.gpu_check.bench import MIB, TINY_SIZE, Bench, bench_of, computed_in, give_back
from tools.gpu_check.part import Outcome, Settings, Skipped
from tools.parity.checks import BOUND, array
from tools.parity.goldens import max_relative_error
from tools.parity.synthetic_weights import synthetic_network

WITHIN = 0.3
"""How far the estimate may be from the measured peak; as in `test/model/test_memory.py`."""

LEFT_MIB = 1.0
"""What may be left of a network that nobody knows any more."""

RETRY_VIEWS = 8
_ROUNDS = 3
_TELLING = 1.2
"""Chunks must change the peak by this factor, or else nothing between the two can be forced."""


def run(settings: Settings, preset: str) -> Outcome:
    """Compare the estimate with the peak of the allocator, window by window."""
    bench = bench_of(settings)
    bench.need_cuda()
    runner = bench.runner(preset)
    entries: list[dict[str, Any]] = []
    for arithmetic in (Arithmetic('fp32'), Arithmetic('auto')):
        with computed_in(runner, arithmetic):
            # What libraries allocate once is not part of a forward pass.
            runner(bench.pixels(1, TINY_SIZE))
            entries += [_window(bench, runner, views) for views in bench.windows]
    failures = tuple(
        f'{entry["views"]} views in {entry["dtype"]}: estimated {entry["estimated_mib"]:.0f} MiB '
        f'for {entry["measured_mib"]:.0f} MiB measured, ratio {entry["ratio"]:.2f}, within '
        f'{1 - WITHIN:.1f} to {1 + WITHIN:.1f} expected'
        for entry in entries
        if 'ratio' in entry and not abs(entry['ratio'] - 1) <= WITHIN
    )
    ratios = [entry['ratio'] for entry in entries if 'ratio' in entry]
    if not ratios:
        raise Skipped('no window fits into the memory of the device')
    text = f'estimated / measured {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} windows'
    return Outcome(text, failures, {'windows': entries})


def run_retry(settings: Settings, preset: str) -> Outcome:
    """Let memory run out: refused with numbers, or done in smaller chunks with the same result."""
    bench = bench_of(settings)
    bench.need_cuda()
    network = bench.network(preset)
    runner = NetworkRunner(network, Arithmetic('fp32'), VIEW_CHUNK)
    pixels = bench.pixels(RETRY_VIEWS)
    # Rounding, which chunks change, must not choose another reference view.
    options = {'ref_view_strategy': 'first'}
    expected = array(runner(pixels, **options).depth)
    many = _reserved_peak(lambda: runner(pixels, **options))
    alone = NetworkRunner(network, Arithmetic('fp32'), 1)
    one = _reserved_peak(lambda: alone(pixels, **options))
    if many < _TELLING * one:
        raise Skipped(f'chunks hardly change the peak: {many // MIB} and {one // MIB} MiB')
    failures = []
    message = 'none'
    with _limited(bench.device, (many + one) // 2):
        try:
            runner(pixels, **options)
            failures.append('without allow_smaller: expected MemoryExceededError, got a result')
        except MemoryExceededError as error:
            message = str(error)
        if message != 'none' and not ('estimated' in message and 'available' in message):
            failures.append(f'the message has no numbers: {message}')
        give_back()
        output = runner(pixels, allow_smaller=True, **options)
    if not any(note.code == 'views_in_chunks' for note in output.notes):
        failures.append(f'with allow_smaller: no note about smaller chunks, got {output.notes}')
    error_share = max_relative_error(array(output.depth), expected)
    if not error_share <= BOUND:
        failures.append(f'depth in smaller chunks differs by {error_share:.3g}')
    figures = {'peaks_mib': [many // MIB, one // MIB], 'depth': error_share, 'message': message}
    return Outcome(
        f'{joined(output.notes)}; depth differs by {error_share:.2g}', tuple(failures), figures
    )


def run_release(settings: Settings, preset: str) -> Outcome:
    """Build, use and drop a network again and again: nothing of it stays."""
    bench = bench_of(settings)
    bench.need_cuda()
    pixels = bench.pixels(2)

    def use() -> None:
        network = synthetic_network(PRESETS[preset]).to(bench.device)
        NetworkRunner(network, Arithmetic('auto'), VIEW_CHUNK)(pixels)

    return left_after(use, give_back)


def left_after(use: Callable[[], None], release: Callable[[], None]) -> Outcome:
    """Tell what stays allocated after several rounds; the first one is not counted.

    Args:
        use: One round, which leaves nothing behind that anybody knows.
        release: Gives memory back.
    """
    held = []
    for _ in range(_ROUNDS):
        use()
        release()
        torch.cuda.synchronize()
        held.append(torch.cuda.memory_allocated() / MIB)
    # Libraries keep a workspace of their own from the first use on.
    left = held[-1] - held[0]
    failures = () if left <= LEFT_MIB else (f'{left:.1f} MiB stay after {_ROUNDS - 1} rounds',)
    return Outcome(f'{left:.2f} MiB stay', failures, {'allocated_mib': held})


def allocated_peak(run: Callable[[], object]) -> int:
    """Return the bytes that a call allocates at most, beside what there was."""
    give_back()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _window(bench: Bench, runner: NetworkRunner, views: int) -> dict[str, Any]:
    entry: dict[str, Any] = {'views': views, 'dtype': str(runner.dtype).removeprefix('torch.')}
    give_back()
    fits = runner.views_that_fit(bench.image_size)
    if fits is not None and fits < views:
        return {**entry, 'note': f'left out: {fits} views fit'}
    estimated = runner.estimate_memory(views, bench.image_size).total_bytes
    measured = allocated_peak(lambda: runner(bench.pixels(views)))
    return {
        **entry,
        'estimated_mib': estimated / MIB,
        'measured_mib': measured / MIB,
        'ratio': estimated / measured,
    }


def _reserved_peak(run: Callable[[], object]) -> int:
    """Return what the allocator took from the device at most; a limit is a limit of that."""
    give_back()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_reserved()


@contextmanager
def _limited(device: torch.device, limit_bytes: int) -> Iterator[None]:
    give_back()
    _, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction(limit_bytes / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        give_back()
