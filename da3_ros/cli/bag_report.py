"""What `da3 bag` says: how far it is, and what became of every image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
import resource
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from da3_ros.cli.reporting import MAX_LINE, Report, in_words
from da3_ros.foreign import plain_line, plain_path
from da3_ros.types import Estimator, NetworkEstimator, SaysWhatComputes

if TYPE_CHECKING:
    from tqdm import tqdm

    from da3_ros.ros.offline.cameras import Cameras
    from da3_ros.ros.offline.run import Progress, RunResult
    from da3_ros.ros.offline.tally import Tally
    from da3_ros.ros.offline.tape import Tape

_LINE_PERIOD_S = 10.0
_BAR = '{percentage:3.0f}%|{bar:10}| {desc}'
_KB = 1024


class ProgressLine:
    """Shows how far a run is: one line on a terminal, else a line every ten seconds.

    A context manager; called after every window.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._log = ExitStack()
        self._began_s = self._said_s = time.monotonic()
        # Where computing began, behind what an interrupted run had done.
        self._from: Progress | None = None
        self._from_s = self._began_s

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._log.close()
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began_s

    def begin(self) -> None:
        """Begin to count: all is loaded."""
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._began_s = self._said_s = self._from_s = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(total=100.0, bar_format=_BAR, leave=False, file=sys.stderr)
            # Warnings go above the bar, not into it.
            self._log.enter_context(logging_redirect_tqdm())

    def while_building(self, model: str) -> Callable[[str, int, int], None] | None:
        """Return what shows how far an engine is; None without terminal, where the log says it."""
        if not sys.stderr.isatty():
            return None
        from da3_ros.cli.engine_progress import EngineBar

        shown = EngineBar(f'building {model}')

        def show(step: str, done: int, total: int) -> None:
            if self._bar is not None:
                self._bar.clear()
            shown(step, done, total)

        return show

    def __call__(self, progress: Progress) -> None:
        """Take note of where the run stands."""
        now_s = time.monotonic()
        # The first set of all takes longer: what computes it is loaded or built for it.
        if self._from is None or progress.is_replay or not self._from.sets:
            self._from, self._from_s = progress, now_s
        parts = self._parts(progress, now_s)
        if self._bar is not None:
            self._bar.n = 100.0 * progress.fraction
            # A narrow terminal cuts off the end.
            self._bar.set_description_str(', '.join(reversed(parts)))
        elif now_s - self._said_s >= _LINE_PERIOD_S:
            self._said_s = now_s
            print(f'{100.0 * progress.fraction:.0f} %, {", ".join(parts)}', flush=True)

    def _parts(self, progress: Progress, now_s: float) -> tuple[str, ...]:
        if progress.is_replay:
            return ('reading up to where it was interrupted',)
        begun, took_s = self._from, now_s - self._from_s
        done = 0.0 if begun is None else progress.fraction - begun.fraction
        if begun is None or took_s <= 0 or done <= 0:
            return (f'{progress.sets} sets',)
        rate = (progress.sets - begun.sets) / took_s
        speed = (progress.seconds_read - begun.seconds_read) / took_s
        left_s = took_s / done * (1.0 - progress.fraction)
        return (
            f'{progress.sets} sets',
            f'{rate:.1f} sets/s',
            f'{speed:.2f} x real time',
            f'{in_words(left_s)} left',
        )


def bag_report(
    report: Report,
    tape: Tape,
    cameras: Cameras,
    out: Path,
    result: RunResult,
    estimator: Estimator,
    seconds: float,
) -> None:
    """Fill in what came of a run."""
    content = report.content = {
        'out': str(out),
        'bytes': _bytes(out),
        **_about(cameras, estimator),
        **_counts(result),
        'cameras': _of_cameras(cameras, result),
        'seconds': seconds,
        'estimator_seconds': result.estimator_s,
        'peak_memory_mb': _peak_mb(),
        'notes': list(_notes(tape, result, estimator)),
    }

    def show() -> None:
        print(
            f'{content["sets"]} sets in {content["windows"]} windows; {content["unit"]}, scale '
            f'from {content["scale_source"]}; {_less(content)}'
        )
        for name, camera in content['cameras'].items():
            print(f'camera {name}: {_images(camera)}')
        print(
            f'{in_words(seconds)}, of these {in_words(result.estimator_s)} in the estimator; at '
            f'most {content["peak_memory_mb"]:.0f} MB of memory'
        )
        for note in content['notes']:
            print(f'note: {plain_line(note, MAX_LINE)}')
        print(f'wrote {content["bytes"] / 1e6:.1f} MB to {plain_path(out)}')

    report.print_summary = show


def _about(cameras: Cameras, estimator: Estimator) -> dict[str, Any]:
    options = cameras.options
    by = estimator.computed_by if isinstance(estimator, SaysWhatComputes) else 'no network'
    return {
        'model': options.estimator.model,
        'computed_by': by,
        'window': options.stream.window,
        'stride': options.stream.stride,
    }


def _counts(result: RunResult) -> dict[str, Any]:
    tally = result.tally
    return {
        'sets': tally.sets,
        'complete_sets': result.complete_sets,
        'passed_over_sets': result.passed_over_sets,
        'windows': tally.windows,
        'refused_windows': tally.refused,
        'failed_windows': tally.failed,
        'resumed_windows': result.resumed_windows,
        **_unit(tally),
    }


def _unit(tally: Tally) -> dict[str, Any]:
    """Return the unit of all sets, and what gave it where it was not carried on."""
    metric_sets = sum(sets for is_metric, _, sets in tally.units if is_metric)
    unit = 'metres' if metric_sets else 'a unit of its own, not metres'
    if 0 < metric_sets < tally.sets:
        unit = f'metres, but {tally.sets - metric_sets} sets in a unit of their own'
    sources = dict.fromkeys(source for _, source, _ in tally.units)
    named = [source for source in sources if source not in ('chain', 'none')]
    return {
        'unit': unit,
        'metric_sets': metric_sets,
        'scale_source': ', '.join(named) or 'none',
    }


def _of_cameras(cameras: Cameras, result: RunResult) -> dict[str, dict[str, Any]]:
    found = {}
    for topics in cameras.topics:
        name = topics.camera
        counts = result.received[name]
        lost: dict[str, int] = {d.cause: d.count for d in result.lost if d.camera == name}
        if counts.refused:
            lost['refused'] = counts.refused - lost.get('undecodable', 0)
        found[name] = {
            'topic': topics.image,
            'camera_info': topics.info,
            'images': counts.received,
            'used': result.tally.images.get(name, 0),
            'not_used': {cause: count for cause, count in lost.items() if count},
            'is_calibrated': counts.calibrated,
        }
    return found


def _images(camera: dict[str, Any]) -> str:
    text = f'{camera["used"]} of {camera["images"]} images used'
    lost = ', '.join(f'{count} {cause}' for cause, count in camera['not_used'].items())
    calibrated = '' if camera['is_calibrated'] else '; not calibrated'
    return f'{text}{f" ({lost})" if lost else ""}{calibrated}'


def _less(content: dict[str, Any]) -> str:
    """Return what did not come out."""
    counts = (
        (content['passed_over_sets'], 'sets passed over'),
        (content['refused_windows'], 'windows refused'),
        (content['failed_windows'], 'windows failed'),
    )
    return ', '.join(f'{count} {what}' for count, what in counts if count) or 'no window left out'


def _notes(tape: Tape, result: RunResult, estimator: Estimator) -> Iterator[str]:
    caution = estimator.caution if isinstance(estimator, NetworkEstimator) else None
    if caution is not None:
        yield caution.brief
    for path, note in tape.notes:
        yield f'{path}: {note.text}'
    if result.unplaced:
        yield (
            f'where {", ".join(result.unplaced)} sits on the robot is not known: no rig in '
            '/tf_static, --params-file or --rig'
        )
    if result.resumed_windows:
        yield f'went on behind {result.resumed_windows} windows of a run that was interrupted'
    if result.other_threads:
        yield (
            f'that run had {result.other_threads} threads, this one another number: bytes agree '
            'to rounding only'
        )
    yield from (note.text for note in result.notes)
    yield from result.reasons


def _bytes(out: Path) -> int:
    files = out.iterdir() if out.is_dir() else (out,)
    return sum(file.stat().st_size for file in files)


def _peak_mb() -> float:
    """Return the most memory that this process has held so far."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS.
    return used / _KB / (_KB if sys.platform == 'darwin' else 1)
