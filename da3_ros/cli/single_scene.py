"""What the commands for one scene do, whatever the scene comes from."""

from __future__ import annotations

from collections.abc import Callable

from da3_ros.cli.export_folder import (
    check_export_dir,
    earlier_results,
    recorded_results,
    remove_earlier,
)
from da3_ros.cli.process import unwind_on_terminate
from da3_ros.cli.reporting import Report, reporting, say
from da3_ros.cli.scene_options import SceneOptions
from da3_ros.cli.scene_run import SceneRunner, print_model
from da3_ros.cli.scene_sources import SceneSource
from da3_ros.cli.view_check import TooManyViewsError


def run_single_scene(
    command: str, options: SceneOptions, make_source: Callable[[], SceneSource]
) -> None:
    """Predict and export one scene, and tell what came of it.

    Where its views do not fit into memory together, it becomes a stream, if the formats can.

    Everything that can be wrong with the arguments is found before a model is loaded; nothing is
    removed before the model is there.

    Args:
        command: name for the JSON object.
        options: of the command.
        make_source: returns the source; may raise.
    """
    with reporting(command, as_json=options.results.as_json) as report, unwind_on_terminate():
        runner = SceneRunner(options)
        results = options.results
        source = make_source()
        check_export_dir(
            results.export_dir,
            source.inputs,
            overwrite=results.overwrite,
            auto_cleanup=results.auto_cleanup,
            formats=runner.formats,
        )
        too_many = _run_if_it_fits(runner, source, report)
        # The network that it has loaded would be in the way of another one.
        del runner
        if too_many is not None:
            from da3_ros.cli.stream_instead import run_instead

            run_instead(too_many, options, source, report)


def _run_if_it_fits(
    runner: SceneRunner, source: SceneSource, report: Report
) -> TooManyViewsError | None:
    """Run a source; return the error, with nothing done, where it has too many views."""
    try:
        runner.check_views(source)
        run_source(runner, source, report)
    except TooManyViewsError as error:
        return error.with_traceback(None)
    return None


def run_source(runner: SceneRunner, source: SceneSource, report: Report) -> None:
    """Run a checked source into the folder of the results."""
    results = runner.options.results
    device = runner.description()['device']
    most = runner.check_views(source)
    earlier = earlier_results(results.export_dir) if results.auto_cleanup else ()
    overwrite = results.overwrite or results.auto_cleanup
    opened = source.open(results.export_dir, shrink=runner.shrink, most=most)
    with recorded_results(results.export_dir), opened as scene:
        say(f'computing {len(scene.images)} views on {device}')
        summary = runner.run(scene, results.export_dir, overwrite=overwrite)
    # What has computed: where graphs fail, that is torch.
    description = runner.description()
    if results.auto_cleanup:
        remove_earlier(results.export_dir, earlier)
    content = summary.content()
    content['seconds'] = {'load': runner.load_s, **summary.seconds}
    report.content = {**description, **content}

    def show() -> None:
        print_model(description, runner.notes)
        summary.show()

    report.print_summary = show
