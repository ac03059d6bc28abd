"""What `da3 stream` does: everything is checked, the plan is said, then frames become files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
import errno
from pathlib import Path
import time
from typing import TYPE_CHECKING, Any

from da3_ros import __version__
from da3_ros.cli.export_folder import (
    check_export_dir,
    earlier_results,
    recorded_results,
    remove_earlier,
)
from da3_ros.cli.process import unwind_on_terminate
from da3_ros.cli.reporting import (
    MAX_LINE,
    Report,
    complain,
    in_words,
    reporting,
    say,
    show_files,
)
from da3_ros.cli.stream_options import StreamRequest, with_config
from da3_ros.cli.stream_plan import StreamPlan, WindowWish, make_plan
from da3_ros.cli.stream_reading import Reading, StreamSource, files_text
from da3_ros.cli.stream_source import stream_source
from da3_ros.cli.wanted_network import choose_device
from da3_ros.errors import ExportError
from da3_ros.export.files import move_into
from da3_ros.export.ledger import read_ledger
from da3_ros.export.staging import remove_empty
from da3_ros.foreign import expanded, plain_line
from da3_ros.sinks.stream_part import StreamPart

if TYPE_CHECKING:
    from da3_ros.cli.stream_reading import Shrink
    from da3_ros.pipeline.known_trajectory import KnownTrajectory
    from da3_ros.sinks.stream_results import Finished
    from da3_ros.types import Estimator


@dataclass(frozen=True, slots=True, eq=False)
class StreamJob:
    """A stream that is in order; nothing is loaded yet."""

    request: StreamRequest
    """With the name of a model and of a device."""
    source: StreamSource
    plan: StreamPlan
    formats: tuple[str, ...]
    known: KnownTrajectory | None
    notes: tuple[str, ...]
    """What a user should know by now."""

    def settings(self) -> dict[str, str]:
        """Return what decides about the files: an interrupted run can only go on with the same."""
        values = {name: str(value) for name, value in self.request.values().items()}
        poses = self.request.input.known_poses
        return {
            **values,
            'model': self.request.network.model,
            'model_files': _model_text(self.request.network.model),
            'known_poses': '' if poses is None else files_text((poses,)),
            'input': self.source.identity,
            'version': __version__,
        }


def _model_text(name: str) -> str:
    """Return what differs where the files of a model were exchanged; empty without a folder."""
    folder = expanded(name)
    if not folder.is_dir():
        return ''
    return files_text(sorted(path for path in folder.iterdir() if path.is_file()))


def run_stream(inputs: Sequence[Path], request: StreamRequest, given: Collection[str]) -> None:
    """Run `da3 stream` and tell what came of it.

    Args:
        inputs: what the user named.
        request: all options.
        given: names of those that the user named.
    """
    as_json = request.results.as_json
    with reporting('stream', as_json=as_json) as report, unwind_on_terminate():
        from da3_ros.sources.images import parse_suffixes

        request, notes = with_config(request, given)
        suffixes = parse_suffixes(request.reading.image_extensions)
        asked = request.input
        reading = Reading(request.reading.fps, request.run.every, suffixes, asked.dataset)
        job = make_job(stream_source(inputs, reading), request, notes)
        if job.request.files.dry_run:
            report.content = {'plan': job.plan.content(), 'notes': [*job.notes, *job.source.notes]}
            report.print_summary = lambda: _show_plan(job)
            return
        results = job.request.results
        check_export_dir(
            results.export_dir,
            job.source.inputs,
            overwrite=results.overwrite,
            auto_cleanup=results.auto_cleanup,
            formats=job.formats,
        )
        run_job(job, report)


def make_job(
    source: StreamSource,
    request: StreamRequest,
    notes: Sequence[str],
    *,
    window_may_shrink: bool = False,
) -> StreamJob:
    """Check everything that can be wrong before a network is loaded.

    Args:
        source: of the frames.
        request: all options, a configuration among them.
        notes: what a user should know already.
        window_may_shrink: whether the free memory decides on a window that is not asked for.

    Raises:
        BadParameter: an option makes no sense.
        Da3Error: network, poses or formats cannot be used.
    """
    from da3_ros.inference.default_model import model_or_default

    formats = request.formats
    network = replace(
        request.network,
        model=model_or_default(request.network.model).name,
        device=choose_device(request.network.device),
    )
    request = replace(request, network=network)
    known, of_poses = None, list[str]()
    if request.input.known_poses is not None:
        from da3_ros.cli.stream_poses import known_trajectory

        known, of_poses = known_trajectory(request.input.known_poses, source)
    plan = make_plan(
        source.frames_expected,
        source.size,
        len(source.cameras),
        WindowWish(request.stream.window, request.stream.stride, window_may_shrink),
        network,
        formats,
        save_frames=request.files.save_frames,
        sample_ratio=request.files.sample_ratio,
    )
    return StreamJob(request, source, plan, formats, known, (*notes, *of_poses))


def run_job(job: StreamJob, report: Report, estimator: Estimator | None = None) -> None:
    """Compute a stream, move its files into place and fill the report.

    Args:
        job: checked, and its folder, too.
        report: of the command.
        estimator: in place of that of the job's model.
    """
    from da3_ros.sinks.stream_results import OWNED

    results = job.request.results
    out = results.export_dir
    began = time.perf_counter()
    restart = job.request.run.restart
    with (
        StreamPart(out, job.settings(), restart=restart) as part,
        _what_is_kept(part),
        ExitStack() as stack,
    ):
        finished, content = _computed(job, part, estimator, stack)
        earlier = earlier_results(out) if results.auto_cleanup else ()
        overwrite = results.overwrite or results.auto_cleanup
        with recorded_results(out):
            folders = {Path(name).parent for name in read_ledger(out).own()} - {Path()}
            move_into(finished.folder, out, finished.names, overwrite=overwrite, owned=OWNED)
            for folder in folders:
                # Nothing of an earlier and longer stream may be left in it.
                remove_empty(out / folder)
        part.remove()
    if results.auto_cleanup:
        remove_earlier(out, earlier)
    took_s = time.perf_counter() - began
    _tell(report, job, finished, content, took_s)


@contextmanager
def _what_is_kept(part: StreamPart) -> Iterator[None]:
    """Say, where the body does not come to its end, what is left of it."""
    try:
        yield
    except BaseException as error:
        if part.committed is not None:
            frames = part.committed['folder']['frames']
            complain(f'{frames} frames are done: the same command goes on behind them')
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ExportError(f'{part.path.parent}: {error.strerror}') from error
        raise


def _computed(
    job: StreamJob, part: StreamPart, estimator: Estimator | None, stack: ExitStack
) -> tuple[Finished, dict[str, Any]]:
    """Return the finished files of a job, and what is said of them."""
    from tqdm import tqdm

    from da3_ros.cli.stream_run import StreamRun, node_options, with_plan_of
    from da3_ros.pipeline.estimators import build_estimator
    from da3_ros.sinks.stream_folder import FolderOptions, StreamFolder
    from da3_ros.sinks.stream_results import finish

    request, source = job.request, job.source
    plan = with_plan_of(part.committed, job.plan)
    files = request.files
    folder = StreamFolder(
        part.path,
        FolderOptions(
            source.cameras, plan.store_every, files.sample_ratio, files.conf_threshold_coef
        ),
    )
    stack.callback(folder.close)
    options = node_options(request, plan, source.cameras, has_poses=job.known is not None)
    say(plan.text)
    if part.committed is not None:
        say(f'going on behind {part.committed["folder"]["frames"]} frames of an earlier run')
    if estimator is None:
        say(f'loading {request.network.model}')
        estimator = build_estimator(options, beside=False)
    run = StreamRun(source, options, plan, estimator, job.known, part, folder, _shrink(job))
    with tqdm(total=plan.frames, unit='img', desc='computing', disable=None) as bar:
        run.compute(lambda frames: bar.update(frames - bar.n))
    notes = [*job.notes, *source.notes, *run.failures.notes()]
    if job.known is not None and job.known.missing:
        notes.append(f'{job.known.missing} frames are outside the known poses')
    wanted, described = _wanted(job, plan, estimator, notes)
    with tqdm(total=100, unit='%', desc='writing', leave=False, disable=None) as bar:

        def progress(share: float, stage: str) -> None:
            bar.set_postfix_str(stage, refresh=False)
            bar.update(int(100 * share) - bar.n)

        finished = finish(folder, wanted, progress)
    counts = folder.counts
    return finished, {
        **described,
        'frames': counts.frames,
        'lost_frames': counts.lost,
        'windows': counts.windows,
        'size': list(plan.size),
        'is_metric': counts.is_metric,
    }


def _wanted(
    job: StreamJob, plan: StreamPlan, estimator: Estimator, notes: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    from da3_ros.export.options import ExportOptions
    from da3_ros.sinks.stream_results import Finish
    from da3_ros.types import NetworkEstimator, SaysWhatComputes

    request = job.request
    caution = estimator.caution if isinstance(estimator, NetworkEstimator) else None
    described = {'checkpoint': request.network.model}
    if isinstance(estimator, SaysWhatComputes):
        described['computed_by'] = estimator.computed_by
    summary = {
        'source': job.source.path.name,
        'network': described,
        'window': plan.window,
        'stride': plan.stride,
        'options': {name: _plain(value) for name, value in request.values().items()},
    }
    notes = [*notes, *([caution.text] if caution else [])]
    content, glb = request.content, request.glb
    wanted = Finish(
        formats=job.formats,
        export=ExportOptions(
            conf_thresh_percentile=content.conf_thresh_percentile,
            num_max_points=content.num_max_points,
            glb=glb,
        ),
        save_frames=request.files.save_frames,
        caution=caution.brief if caution else '',
        summary=summary,
        notes=tuple(notes),
    )
    return wanted, described


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Path) else value


def _shrink(job: StreamJob) -> Shrink:
    """Return what keeps of an image what the network will see."""
    from da3_ros.inference.preprocess import bounded
    from da3_ros.pipeline.estimators import TRUTH_MODEL, own_process_res

    network = job.request.network
    if network.model == TRUTH_MODEL:
        return lambda image: image
    side = network.process_res or own_process_res(network.model)
    return lambda image: bounded(image, side, network.process_res_method)


def _show_plan(job: StreamJob) -> None:
    print(job.plan.text)
    for note in (*job.notes, *job.source.notes):
        print(f'note: {plain_line(note, MAX_LINE)}')


def _tell(
    report: Report, job: StreamJob, finished: Finished, content: dict[str, Any], took_s: float
) -> None:
    out = job.request.results.export_dir
    report.content = {
        'source': str(job.source.path),
        **content,
        'export_dir': str(out),
        'files': list(finished.names),
        'points': finished.points,
        'notes': list(finished.notes),
        'seconds': {'stream': took_s},
    }

    def show() -> None:
        unit = 'metres' if content['is_metric'] else 'scene units'
        height, width = content['size']
        print(
            f'{content["frames"]} frames of {width}x{height} in {unit}, {content["windows"]} '
            f'windows; {in_words(took_s)}'
        )
        for note in finished.notes:
            print(f'note: {plain_line(note, MAX_LINE)}')
        show_files(out, finished.names)

    report.print_summary = show
