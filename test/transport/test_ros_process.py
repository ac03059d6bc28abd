"""The helper that runs and ends ROS processes leaves nothing behind."""

import os
from pathlib import Path

import pytest

from helpers.ros_process import ROOT, ProcessFailedError, RosProcess, reserved_domain_id

_STUBBORN = """\
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
import rclpy
rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
node = rclpy.create_node('stubborn')
print('ready', flush=True)
while True:
    rclpy.spin_once(node, timeout_sec=0.1)
"""


def _segments(pid: int) -> set[Path]:
    """Return the shared-memory files that a process maps."""
    lines = Path(f'/proc/{pid}/maps').read_text().splitlines()
    return {Path('/dev/shm') / line.rsplit('/', 1)[1] for line in lines if '/dev/shm/fast' in line}


@pytest.mark.ros
def test_process_that_ignores_sigint_is_killed_and_its_segment_removed(
    ros_domain_id: int, tmp_path: Path
) -> None:
    script = tmp_path / 'stubborn.py'
    script.write_text(_STUBBORN)
    profile = str(ROOT / 'config' / 'fastdds.xml')
    variables = dict.fromkeys(
        ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'), profile
    )
    process = RosProcess(script, domain_id=ros_domain_id, variables=variables)
    process.wait_for_line('^ready$')
    segments = _segments(process.pid) - _segments(os.getpid())
    assert any(file.stat().st_size >= 64 << 20 for file in segments)

    assert process.stop(timeout_s=0.5) == -9

    assert [file for file in segments if file.exists()] == []


def test_missing_line_is_an_error_that_shows_the_output(tmp_path: Path) -> None:
    script = tmp_path / 'short.py'
    script.write_text("print('something else')")

    with (
        RosProcess(script, domain_id=1) as process,
        pytest.raises(ProcessFailedError, match=r"(?s)ended without .*'ready'.*something else"),
    ):
        process.wait_for_line('ready')


def test_domain_ids_in_use_are_not_given_twice() -> None:
    with reserved_domain_id() as first, reserved_domain_id() as second:
        assert first != second
