"""What diagnostics say, from numbers given by hand."""

from __future__ import annotations

from functools import partial
import math
import mmap
import os
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticStatus

from da3_ros.ros.node.diagnostics import idle_status, pipeline_status
from da3_ros.ros.node.process_memory import memory_use
from da3_ros.stream.stats import StreamStats
from da3_ros.stream.sync import Synchronizer
from da3_ros.synthetic.world import make_world
from helpers.posed_results import drive
from helpers.ros_rig import SIZE

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[2]
WORLD = make_world()


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_the_stream_tells_facts_latencies_and_drops_by_cause() -> None:
    synchronizer = Synchronizer(('front', 'left'), tolerance_ns=1000, min_cameras=2, wait_ns=0)
    frame = WORLD.frame('front', 10**18, SIZE)
    older = WORLD.frame('front', 10**18 - 10**9, SIZE)
    for given in (frame, older, frame):
        synchronizer.push(given)
    stats = StreamStats()
    for milliseconds in range(1, 101):
        stats.latency('stamp_to_publish', milliseconds / 1e3)
    report = synchronizer.report()
    facts = {'state': 'active', 'model': 'da3-small', 'device': 'cuda:0'}
    found = pipeline_status('da3_node', stats.snapshot(0.0), report, 0, None, facts)
    values = values_of(found)
    assert (values['state'], values['model'], values['device']) == tuple(facts.values())
    assert float(values['stamp_to_publish p50 (ms)']) == pytest.approx(50.5)
    assert float(values['stamp_to_publish p95 (ms)']) == pytest.approx(95.05)
    by_cause = {k: int(v) for k, v in values.items() if k.startswith('dropped: ')}
    assert by_cause
    assert sum(by_cause.values()) == int(values['dropped frames']) == 2
    assert (found.level, found.message) == (DiagnosticStatus.WARN, 'no window yet')


def test_a_network_for_tests_is_never_all_well() -> None:
    stats = StreamStats()
    for second in range(3):
        stats.event('windows', float(second))
    [result] = drive(WORLD, 1)
    sync = Synchronizer(('front',), tolerance_ns=1000, min_cameras=1, wait_ns=0).report()
    say = partial(pipeline_status, 'da3_node', stats.snapshot(2.0), sync, 0, result, {})
    well = say()
    assert (well.level, well.message) == (DiagnosticStatus.OK, 'running')
    warned = say(caution='not for real pictures')
    assert warned.level == DiagnosticStatus.WARN
    assert warned.message == 'running; not for real pictures'


def test_an_unconfigured_node_says_why() -> None:
    quiet = idle_status('da3_node', {'state': 'unconfigured'}, 'unconfigured', '')
    assert (quiet.level, quiet.message) == (DiagnosticStatus.WARN, 'unconfigured')
    failed = idle_status('da3_node', {}, 'unconfigured', 'parameter window: expected ...')
    assert failed.level == DiagnosticStatus.ERROR
    assert failed.message == 'unconfigured: parameter window: expected ...'


def test_memory_is_that_of_the_process() -> None:
    before = memory_use('none')
    # Pages of its own: memory that the allocator has kept would not count anew.
    kept = mmap.mmap(-1, 64 << 20)
    for page in range(0, len(kept), mmap.PAGESIZE):
        kept[page] = 1
    after = memory_use('none')
    assert 50 < after['memory (MB)'] - before['memory (MB)'] < 200
    assert after['peak memory (MB)'] >= after['memory (MB)'] - 1
    kept.close()
    assert not any(math.isnan(value) for value in after.values())
    assert not any('GPU' in name for name in after)


def test_asking_for_memory_loads_no_torch() -> None:
    program = (
        'import sys; from da3_ros.ros.node.process_memory import memory_use, return_freed_memory; '
        'memory_use("cuda:0"); return_freed_memory(); print("torch" in sys.modules)'
    )
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, '-c', program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == 'False'
