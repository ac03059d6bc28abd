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
from da3_ros.cli.export_folder import check_export_dir, empty
from da3_ros.cli.process import unwind_on_terminate
from da3_ros.cli.reporting import Report, complain, in_words, reporting
from da3_ros.cli.scene_options import SceneOptions
from da3_ros.cli.scene_run import SceneInput, SceneRunner, SceneSummary, print_model
from da3_ros.errors import Da3Error, ExportError
from da3_ros.export.files import STAGING_PREFIX

if TYPE_CHECKING:
    from tqdm import tqdm

RECORD = 'da3.json'
"""Written last into the folder of a scene: it is done, and this is what was done."""

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
    folders: Sequence[Path],
    image_extensions: str,
    *,
    each: bool,
    resume: bool,
) -> None:
    """Run a batch of `da3 images`, and tell what came of it.

    Args:
        options: of the command.
        folders: of images.
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
        jobs = _jobs(folders, image_extensions, each=each)
        inputs = [path for job in jobs for path in job.inputs]
        check_export_dir(
            results.export_dir,
            inputs,
            overwrite=results.overwrite or resume,
            auto_cleanup=results.auto_cleanup,
        )
        outcomes = [] if not resume else _finished_jobs(runner, jobs)
        skipped = {outcome.job.name for outcome in outcomes}
        todo = [job for job in jobs if job.name not in skipped]
        began = time.perf_counter()
        if todo:
            # Fails here once rather than for every scene.
            runner.description()
            if results.auto_cleanup:
                empty(results.export_dir, inputs)
            outcomes += _run_all(runner, todo, replace=resume)
        _tell(report, runner, outcomes, time.perf_counter() - began)


def _jobs(folders: Sequence[Path], image_extensions: str, *, each: bool) -> list[Job]:
    from da3_ros.export.scene import safe_name
    from da3_ros.sources.images import find_images, parse_suffixes

    suffixes = parse_suffixes(image_extensions)
    found = {folder: find_images(folder, suffixes) for folder in dict.fromkeys(folders)}
    if each:
        for folder, images in found.items():
            for note in images.notes:
                complain(f'{folder}: {note}')
        sources = [path for images in found.values() for path in images.files]
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
    from da3_ros.inference.preprocess import decoded_image

    return SceneInput(path, [decoded_image(path)], files=(path,))


def _finished_jobs(runner: SceneRunner, jobs: Sequence[Job]) -> list[Outcome]:
    found = ((job, _finished(runner, job)) for job in jobs)
    return [Outcome(job, 'skipped', done) for job, done in found if done is not None]


def _run_all(runner: SceneRunner, jobs: Sequence[Job], *, replace: bool) -> list[Outcome]:
    from tqdm import tqdm

    outcomes = []
    with tqdm(total=len(jobs), unit='scene', disable=None) as bar:
        for job, images in _prefetched(jobs):
            outcomes.append(_run_one(runner, job, images, bar, replace=replace))
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


def _run_one(
    runner: SceneRunner, job: Job, images: Future[SceneInput], bar: tqdm[Any], *, replace: bool
) -> Outcome:
    folder = runner.options.results.export_dir / job.name
    try:
        scene = images.result()
        (folder / RECORD).unlink(missing_ok=True)
        summary = runner.run(scene, folder, overwrite=runner.options.results.overwrite or replace)
        _write_record(runner, job, summary, folder)
    except (Da3Error, OSError, MemoryError) as error:
        message = str(error) or type(error).__name__
        bar.clear()
        complain(f'{job.source}: {message}')
        return Outcome(job, 'failed', {'source': str(job.source), 'error': message})
    return Outcome(job, 'done', summary.content())


def _write_record(runner: SceneRunner, job: Job, summary: SceneSummary, folder: Path) -> None:
    content = {
        'request': _request(runner, job),
        'summary': {**summary.content(), **runner.description()},
    }
    partial = folder / f'{STAGING_PREFIX}{RECORD}'
    try:
        partial.write_text(json.dumps(content, indent=2), encoding='utf-8')
        partial.replace(folder / RECORD)
    except OSError as error:
        raise ExportError(f'{folder / RECORD}: cannot be written: {error}') from error
    finally:
        partial.unlink(missing_ok=True)


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
        if is_same and all((folder / name).is_file() for name in summary['files']):
            return summary
    except (OSError, ValueError, KeyError, TypeError):
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
                print(f'  failed: {outcome.job.source}: {outcome.summary["error"]}')

    report.print_summary = summary
