"""Many scenes with one loaded model: prefetched, resumed, and none stops the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
import json
from pathlib import Path
import time
from typing import TYPE_CHECKING, Any

import typer

from da3_ros.cli.exit_codes import EXIT_FAILED
from da3_ros.cli.export_folder import (
    RECORD,
    check_export_dir,
    check_own,
    earlier_results,
    recorded_results,
    remove_earlier,
)
from da3_ros.cli.process import unwind_on_terminate
from da3_ros.cli.reporting import Report, complain, in_words, reporting
from da3_ros.cli.scene_options import SceneOptions
from da3_ros.cli.scene_run import SceneInput, SceneRunner, SceneSummary, print_model
from da3_ros.errors import Da3Error, ExportError
from da3_ros.export.files import staged
from da3_ros.export.ledger import has_ledger, read_ledger
from da3_ros.foreign import foreign_file, plain_line, plain_path, reason_of

if TYPE_CHECKING:
    from tqdm import tqdm

    from da3_ros.cli.named_inputs import NamedInputs

_AHEAD = 2
"""Scenes whose images are read while another one is computed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One scene of a batch."""

    name: str
    """Of its folder in the folder of the results."""
    source: Path
    load: Callable[[], SceneInput]
    """Reads its images; called in a thread."""
    inputs: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job."""

    job: Job
    status: str
    """done, skipped or failed"""
    summary: dict[str, Any]

    def content(self) -> dict[str, Any]:
        """Return the outcome for JSON."""
        return {'name': self.job.name, 'status': self.status, **self.summary}


def run_batch(
    options: SceneOptions,
    named: NamedInputs,
    image_extensions: str,
    *,
    each: bool,
    resume: bool,
) -> None:
    """Run a batch of `da3 images`, and tell what came of it.

    Args:
        options: of the command.
        named: folders of images; with `each` images too.
        image_extensions: comma-separated.
        each: whether every image is a scene, rather than every folder.
        resume: whether scenes that are done are left out.

    Raises:
        Da3Error: nothing could be done at all.
        Exit: some scenes failed.
    """
    with reporting('images', as_json=options.results.as_json) as report, unwind_on_terminate():
        results = options.results
        if resume and results.auto_cleanup:
            raise typer.BadParameter('expected --resume or --auto-cleanup, got both')
        runner = SceneRunner(options)
        jobs = _jobs(named, image_extensions, each=each)
        inputs = [path for job in jobs for path in job.inputs]
        if not (resume or results.overwrite or results.auto_cleanup):
            _refuse_begun(results.export_dir, jobs)
        check_export_dir(
            results.export_dir,
            inputs,
            overwrite=results.overwrite or resume,
            auto_cleanup=results.auto_cleanup,
            scenes=[job.name for job in jobs],
            formats=runner.formats,
        )
        outcomes = [] if not resume else _finished_jobs(runner, jobs)
        skipped = {outcome.job.name for outcome in outcomes}
        todo = [job for job in jobs if job.name not in skipped]
        began = time.perf_counter()
        if todo:
            # Fails here once rather than for every scene.
            runner.description()
            earlier = earlier_results(results.export_dir) if results.auto_cleanup else ()
            outcomes += _run_all(runner, todo)
            if results.auto_cleanup:
                failed = [o.job.name for o in outcomes if o.status == 'failed']
                kept = [results.export_dir / name for name in failed]
                remove_earlier(results.export_dir, earlier, kept)
        _tell(report, runner, outcomes, time.perf_counter() - began)


def _refuse_begun(export_dir: Path, jobs: Sequence[Job]) -> None:
    """Refuse a folder that has scenes of this batch: to go on is what most want then.

    Raises:
        ExportError: names the option.
    """
    begun = sum((export_dir / job.name).is_dir() for job in jobs)
    if begun:
        raise ExportError(
            f'{export_dir} holds {begun} of these {len(jobs)} scenes: --resume goes on and leaves '
            'out those that are done, --overwrite computes all again, --export-dir names another '
            'folder'
        )


def _jobs(named: NamedInputs, image_extensions: str, *, each: bool) -> list[Job]:
    from da3_ros.export.scene import safe_name
    from da3_ros.sources.images import find_images, parse_suffixes

    suffixes = parse_suffixes(image_extensions)
    found = {folder: find_images(folder, suffixes) for folder in named.folders}
    if each:
        for folder, images in found.items():
            for note in images.notes:
                complain(f'{folder}: {note}')
        # One that is named and lies in a named folder is one scene.
        every = (*named.files, *(path for images in found.values() for path in images.files))
        sources = list(dict.fromkeys(every))
        stems = Counter(safe_name(path.stem).casefold() for path in sources)
        clear = [stems[safe_name(path.stem).casefold()] == 1 for path in sources]
        names = [p.stem if ok else p.name for p, ok in zip(sources, clear, strict=True)]
        return [
            Job(name, path, partial(_load_one, path), (path,))
            for name, path in zip(_distinct(names), sources, strict=True)
        ]
    names = [folder.resolve().name for folder in found]
    return [
        Job(
            name,
            folder,
            partial(SceneInput, folder, list(map(str, images.files)), notes=images.notes),
            (folder, *images.files),
        )
        for name, (folder, images) in zip(_distinct(names), found.items(), strict=True)
    ]


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    from da3_ros.export.scene import distinct, safe_name

    return distinct(map(safe_name, names))


def _load_one(path: Path) -> SceneInput:
    from da3_ros.images.decode import read_image

    with foreign_file(path, 'image'):
        return SceneInput(path, [read_image(path)], files=(path,))


def _finished_jobs(runner: SceneRunner, jobs: Sequence[Job]) -> list[Outcome]:
    found = ((job, _finished(runner, job)) for job in jobs)
    return [Outcome(job, 'skipped', done) for job, done in found if done is not None]


def _run_all(runner: SceneRunner, jobs: Sequence[Job]) -> list[Outcome]:
    from tqdm import tqdm

    outcomes = []
    with tqdm(total=len(jobs), unit='scene', disable=None) as bar:
        for job, images in _prefetched(jobs):
            outcomes.append(_run_one(runner, job, images, bar))
            bar.update()
    return outcomes


def _prefetched(jobs: Sequence[Job]) -> Iterator[tuple[Job, Future[SceneInput]]]:
    """Yield the jobs in order, the images of the next ones being read meanwhile."""
    waiting: deque[tuple[Job, Future[SceneInput]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        try:
            for job in jobs:
                waiting.append((job, pool.submit(job.load)))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft()
            yield from waiting
        finally:
            pool.shutdown(cancel_futures=True)


def _run_one(runner: SceneRunner, job: Job, images: Future[SceneInput], bar: tqdm[Any]) -> Outcome:
    results = runner.options.results
    folder = results.export_dir / job.name
    try:
        scene = images.result()
        runner.check_images(scene)
        if not results.overwrite:
            check_own(folder, 'without --overwrite only what da3 wrote is replaced')
        replaces = results.overwrite or has_ledger(folder)
        with recorded_results(folder):
            summary = runner.run(scene, folder, overwrite=replaces)
            _write_record(runner, job, summary, folder)
    except Exception as error:
        # Whatever one image does to a decoder or to the network, the others are computed.
        message = plain_line(error, 2000) if isinstance(error, Da3Error) else reason_of(error)
        bar.clear()
        complain(f'{job.source}: {message}')
        return Outcome(job, 'failed', {'source': str(job.source), 'error': message})
    return Outcome(job, 'done', summary.content())


def _write_record(runner: SceneRunner, job: Job, summary: SceneSummary, folder: Path) -> None:
    content = {
        'request': _request(runner, job),
        'summary': {**summary.content(), **runner.description()},
        'written': _written(folder, summary.files),
    }
    with staged(folder, [RECORD], overwrite=True) as staging:
        (staging / RECORD).write_text(json.dumps(content, indent=2), encoding='utf-8')


def _written(folder: Path, files: Sequence[str]) -> dict[str, Any]:
    """Return what the folder's record says of files: another run leaves something else there."""
    entries = read_ledger(folder).entries
    return {name: [list(pair) for pair in entries.get(name, ())] for name in files}


def _request(runner: SceneRunner, job: Job) -> dict[str, Any]:
    """Return what decides the content of a scene's files."""
    return {
        'checkpoint': runner.checkpoint,
        'inputs': [[str(path), path.stat().st_mtime_ns] for path in job.inputs if path.is_file()],
        **runner.options.deciding(),
    }


def _finished(runner: SceneRunner, job: Job) -> dict[str, Any] | None:
    """Return the summary of a scene that was done by the same request, None otherwise."""
    folder = runner.options.results.export_dir / job.name
    try:
        record = json.loads((folder / RECORD).read_text(encoding='utf-8'))
        is_same = record['request'] == json.loads(json.dumps(_request(runner, job)))
        summary: dict[str, Any] = record['summary']
        are_these = not has_ledger(folder) or record['written'] == _written(
            folder, summary['files']
        )
        if is_same and are_these and all((folder / n).is_file() for n in summary['files']):
            return summary
    except (Da3Error, OSError, ValueError, KeyError, TypeError):
        return None
    return None


def _tell(report: Report, runner: SceneRunner, outcomes: list[Outcome], seconds: float) -> None:
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ('done', 'skipped', 'failed')
    }
    description = runner.description() if runner.is_loaded else {'checkpoint': runner.checkpoint}
    notes = runner.notes if runner.is_loaded else ()
    report.content = {
        **description,
        **counts,
        'notes': notes,
        'seconds': seconds,
        'scenes': [outcome.content() for outcome in outcomes],
    }
    report.exit_code = EXIT_FAILED if counts['failed'] else 0

    def summary() -> None:
        if runner.is_loaded:
            print_model(description, notes)
        counted = ', '.join(f'{count} {status}' for status, count in counts.items() if count)
        print(f'{len(outcomes)} scenes in {in_words(seconds)}: {counted or "nothing to do"}')
        for outcome in outcomes:
            if outcome.status == 'failed':
                print(f'  failed: {plain_path(outcome.job.source)}: {outcome.summary["error"]}')

    report.print_summary = summary
