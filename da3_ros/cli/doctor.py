"""`da3 doctor`: whether this computer can do what is wanted of it, and what to do if not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from da3_ros.cli.exit_codes import EXIT_FAILED
from da3_ros.cli.reporting import reporting
from da3_ros.cli.table_options import takes_options
from da3_ros.options.table import Entrance

if TYPE_CHECKING:
    from da3_ros.cli.doctor_checks import Check

_MARKS = {'ok': '[green]ok[/]', 'note': '[cyan]note[/]', 'warning': '[yellow]warning[/]',
          'problem': '[bold red]problem[/]'}  # fmt: skip


@takes_options(Entrance.ABOUT)
def doctor(
    export_dir: Path,
    as_json: bool,
    loopback: Annotated[
        bool,
        typer.Option('--loopback', help='Send large images over DDS and count what arrives.'),
    ] = False,
) -> None:
    """Check Python, packages, GPU, weights, disks, ROS 2 and its transport, with advice.

    The exit status is 1 when there is a problem; warnings and notes do not count.
    """
    with reporting('doctor', as_json=as_json) as report:
        from da3_ros.cli import doctor_checks, doctor_opencv, doctor_ros, doctor_runtimes

        checks = [
            doctor_checks.check_package(),
            doctor_checks.check_python(),
            *doctor_checks.check_packages(),
            *doctor_opencv.check_opencv(),
            *doctor_checks.check_torch(),
            *doctor_runtimes.check_runtimes(),
            doctor_checks.check_memory(),
            doctor_checks.check_weights(),
            *doctor_checks.check_disks(export_dir),
            *doctor_ros.check_ros(),
            *doctor_ros.check_transport(),
        ]
        if loopback:
            checks.append(doctor_ros.check_loopback())
        problems = sum(check.status == 'problem' for check in checks)
        report.content = {
            'problems': problems,
            'warnings': sum(check.status == 'warning' for check in checks),
            'checks': [check.content() for check in checks],
        }
        report.exit_code = EXIT_FAILED if problems else 0
        report.print_summary = lambda: _show(checks)


def _show(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    arrow = '→' if console.encoding.startswith('utf') else '->'
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow='fold')
    for check in checks:
        text = escape(check.detail)
        if check.advice:
            text += f'\n[italic]{arrow} {escape(check.advice)}[/]'
        table.add_row(_MARKS[check.status], check.name, text)
    console.print(table)
