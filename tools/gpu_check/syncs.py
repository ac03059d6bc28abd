"""How often the host waits for the device in a forward pass and in a window, and where."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
import traceback
from typing import TextIO
import warnings

import torch

import da3_ros
from da3_ros.inference.runner import NetworkRunner
from tools.gpu_check.bench import Bench, bench_of
from tools.gpu_check.part import Outcome, Settings

PACKAGE = Path(da3_ros.__file__).resolve().parent
SAID = 'called a synchronizing CUDA operation'
"""What torch warns of (`warn_or_error_on_sync` in c10/cuda/CUDAFunctions.cpp)."""

VIEWS = 4
"""Enough for the views to be reordered."""


def run(settings: Settings, preset: str) -> Outcome:
    """Count for a forward pass, one with Gaussians where there are some, and a steady window.

    The forward pass of a network that fills in sky, or finds a scale, reads how many pixels there
    are. A window of other networks waits once, at its end and for an event, which is not counted:
    copies and stages are enqueued.
    """
    bench = bench_of(settings)
    bench.need_cuda()
    runner = bench.runner(preset)
    pixels = bench.pixels(VIEWS)
    plain = _count(runner, lambda: runner(pixels))
    figures = {'count': plain.total(), 'places': dict(plain.most_common())}
    text = _text('plain', plain)
    if runner.capabilities.gaussians:
        more = _count(runner, lambda: runner(pixels, infer_gs=True))
        figures['with_gaussians'] = dict(more.most_common())
        text += f'; {_text("with Gaussians", more)}'
    try:
        window = _count_window(bench, preset)
    except ModuleNotFoundError as error:
        # The forward pass alone needs torch and numpy only.
        return Outcome(f'{text}; no window: {error}', figures=figures)
    figures['window'] = dict(window.most_common())
    text += f'; {_text("a window", window)}'
    # The scale of the nested network depends on how many pixels are good.
    strict = runner.model.any_view is None or runner.model.single_view is None
    failures = (f'{window.total()} waits in a window, none expected',) if strict and window else ()
    return Outcome(text, failures, figures)


@contextmanager
def counted(set_mode: Callable[[str], None], package: Path = PACKAGE) -> Iterator[Counter[str]]:
    """Count what torch warns of, by the innermost line of a package that led to it.

    Args:
        set_mode: Turns the warnings on (`warn`) and off (`default`).
        package: Folder of the package.
    """
    places: Counter[str] = Counter()

    def note(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del category, file, line
        if SAID in str(message):
            stack = [(entry.filename, entry.lineno or 0) for entry in traceback.extract_stack()]
            places[_place(stack, package) or f'{Path(filename).name}:{lineno}'] += 1

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        set_mode('warn')
        try:
            yield places
        finally:
            set_mode('default')


def _count_window(bench: Bench, preset: str) -> Counter[str]:
    from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork
    from tools.gpu_check.streams import UNTIL_STEADY, Stream, model_of

    model = model_of(bench, preset)
    network = TorchWindowNetwork(model)
    stream = Stream(bench, VIEWS, 1)
    for _ in range(UNTIL_STEADY):
        network.run(stream.request())
    request = stream.request()
    torch.cuda.synchronize(model.device)
    with counted(torch.cuda.set_sync_debug_mode) as places:
        network.run(request)
    network.forget()
    return places


def _count(runner: NetworkRunner, forward: Callable[[], object]) -> Counter[str]:
    # What is loaded or chosen on first use is not part of a forward pass.
    forward()
    torch.cuda.synchronize(runner.device)
    with counted(torch.cuda.set_sync_debug_mode) as places:
        forward()
    return places


def _place(stack: Sequence[tuple[str, int]], package: Path) -> str | None:
    for filename, line in reversed(stack):
        path = Path(filename).resolve()
        if path.is_relative_to(package):
            return f'{path.relative_to(package.parent)}:{line}'
    return None


def _text(kind: str, places: Counter[str]) -> str:
    where = ', '.join(f'{place} ({count})' for place, count in places.most_common())
    return f'{kind}: {places.total()}' + (f' at {where}' if where else '')
