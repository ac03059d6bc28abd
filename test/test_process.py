"""What programs settle first: threads that leave room, and a Ctrl-C without traces."""

from collections.abc import Callable
from contextlib import AbstractContextManager
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

import pytest

from da3_ros.process import (
    free_in_group,
    limit_of_group,
    loading,
    node_threads,
    patient_interrupts,
    says_ready,
    settle_threads,
    usable_cores,
)
from helpers.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ('line', 'is_ready'),
    [
        ('ready\n', True),
        ('[INFO] [1700000000.1] [da3]: ready: 2 threads for the network\n', True),
        ('bag out.mcap: exists already; choose another name\n', False),
        ('[WARN] [1700000000.1] [da3]: /tf was read already\n', False),
        ('\n', False),
    ],
)
def test_only_the_word_itself_says_that_a_program_is_ready(line: str, is_ready: bool) -> None:
    assert says_ready(line) == is_ready


def topology(folder: Path, siblings: list[str]) -> Path:
    for cpu, text in enumerate(siblings):
        place = folder / f'cpu{cpu}' / 'topology'
        place.mkdir(parents=True)
        (place / 'thread_siblings_list').write_text(text + '\n')
    return folder


@pytest.fixture
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 1, 2, 3}, raising=False)


@pytest.mark.usefixtures('four_cpus')
@pytest.mark.parametrize(
    ('siblings', 'quota', 'cores'),
    [
        (['0', '1', '2', '3'], None, 4),
        (['0,2', '1,3', '0,2', '1,3'], None, 2),  # hyper-threads
        (['0', '1', '2', '3'], 'max 100000', 4),
        (['0', '1', '2', '3'], '250000 100000', 2),
        (['0', '1', '2', '3'], '50000 100000', 1),
        (['0', '1', '2', '3'], 'no numbers', 4),
        ([], None, 4),  # a kernel that tells nothing
    ],
)
def test_cores_are_those_that_may_be_used(
    tmp_path: Path, siblings: list[str], quota: str | None, cores: int
) -> None:
    cgroup = tmp_path / 'cgroup'
    cgroup.mkdir()
    if quota is not None:
        (cgroup / 'cpu.max').write_text(quota + '\n')
    assert usable_cores(topology(tmp_path / 'cpu', siblings), cgroup) == cores


@pytest.mark.usefixtures('four_cpus')
def test_the_older_control_groups_are_read_too(tmp_path: Path) -> None:
    (tmp_path / 'cpu').mkdir()
    (tmp_path / 'cpu' / 'cpu.cfs_period_us').write_text('100000\n')
    for quota, cores in (('300000\n', 3), ('-1\n', 4)):
        (tmp_path / 'cpu' / 'cpu.cfs_quota_us').write_text(quota)
        assert usable_cores(tmp_path / 'none', tmp_path) == cores


def test_a_node_leaves_a_core_where_there_are_more() -> None:
    assert [node_threads(cores) for cores in (1, 2, 4, 12)] == [1, 1, 3, 11]


def test_what_the_user_has_set_stays() -> None:
    mine = {'OMP_NUM_THREADS': '7', 'OMP_WAIT_POLICY': 'ACTIVE'}
    settle_threads(2, mine)
    assert mine == {'OMP_NUM_THREADS': '7', 'OMP_WAIT_POLICY': 'ACTIVE'}


def test_a_child_settles_its_own_number_and_keeps_the_users() -> None:
    environment: dict[str, str] = {}
    settle_threads(4, environment)
    assert environment['OMP_NUM_THREADS'] == '4'
    assert environment['OMP_WAIT_POLICY'] == 'PASSIVE'
    settle_threads(1, environment)
    assert environment['OMP_NUM_THREADS'] == '1'
    environment['OMP_NUM_THREADS'] = '3'
    settle_threads(1, environment)
    assert environment['OMP_NUM_THREADS'] == '3'


PROGRAMS = {
    'da3': ('da3_ros.cli.main', 'run'),
    'da3_node': ('da3_ros.ros.node.main', 'main'),
}


@pytest.mark.parametrize('program', PROGRAMS)
def test_importing_an_entry_point_loads_and_settles_nothing(program: str) -> None:
    module, function = PROGRAMS[program]
    code = (
        f'import os, sys; before = dict(os.environ); from {module} import {function}; '
        'assert dict(os.environ) == before; '
        'print(sorted({"numpy", "torch", "rclpy", "typer"} & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'


def test_the_python_interface_leaves_its_host_alone() -> None:
    code = (
        'import os, signal, torch\n'
        'def state():\n'
        '    threads = {k: v for k, v in os.environ.items() if "THREADS" in k or "OMP" in k}\n'
        '    return threads, torch.get_num_threads(), signal.getsignal(signal.SIGINT)\n'
        'before = state()\n'
        'from da3_ros import DepthAnything3; model = DepthAnything3.from_pretrained("da3-nano")\n'
        'assert state() == before'
    )
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_threads_of_torch_are_set_and_given_back() -> None:
    code = (
        'import torch; from da3_ros.process import set_threads, threads_in_use; '
        'own = torch.get_num_threads(); set_threads(0); assert threads_in_use() == own; '
        'set_threads(3); assert torch.get_num_threads() == 3; '
        'set_threads(0); assert torch.get_num_threads() == own'
    )
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


HALF_LOADED = """
import builtins, sys, threading
from da3_ros.inference.out_of_memory import is_out_of_memory
from da3_ros.process import threads_in_use
from da3_ros.ros.node.process_memory import memory_use, return_freed_memory
builtins.began, builtins.go_on = threading.Event(), threading.Event()
sys.path.insert(0, sys.argv[1])
importing = threading.Thread(target=__import__, args=('torch',))
importing.start()
assert builtins.began.wait(60)
try:
    assert threads_in_use() is None
    assert not is_out_of_memory(ValueError())
    memory_use('cuda')
    return_freed_memory()
finally:
    builtins.go_on.set()
importing.join()
"""


def test_torch_that_another_thread_is_loading_is_left_alone(tmp_path: Path) -> None:
    """As in a node that computes by an engine and goes on with torch: it reports meanwhile."""
    stand_in = 'import builtins; builtins.began.set(); builtins.go_on.wait()'
    (tmp_path / 'torch.py').write_text(stand_in)
    subprocess.run([sys.executable, '-c', HALF_LOADED, str(tmp_path)], cwd=ROOT, check=True)


SLOW_IMPORT = """
import time
print('importing', flush=True)
try:
    time.sleep(1.0)
except BaseException:
    print('caught what was not meant for it', flush=True)
print('imported', flush=True)
"""


@pytest.fixture
def slow_module(tmp_path: Path) -> Path:
    """Make a module that swallows whatever happens while it is loaded, as some libraries do."""
    (tmp_path / 'slow_module.py').write_text(SLOW_IMPORT)
    return tmp_path


def interrupted(code: str, folder: Path) -> tuple[int, str]:
    """Run code, send it SIGINT while it imports, and return status and output."""
    process = subprocess.Popen(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(folder)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    return process.returncode, first + rest


def test_ctrl_c_while_modules_load_ends_without_a_trace(slow_module: Path) -> None:
    code = 'from da3_ros.process import loading\nwith loading():\n    import slow_module'
    assert interrupted(code, slow_module) == (-signal.SIGINT, 'importing\n')


def test_a_later_import_is_finished_before_it_is_interrupted(slow_module: Path) -> None:
    code = (
        'import time\n'
        'from da3_ros.process import patient_interrupts\n'
        'try:\n'
        '    with patient_interrupts():\n'
        '        import slow_module\n'
        '        time.sleep(60)\n'
        'except KeyboardInterrupt:\n'
        "    print('interrupted')\n"
    )
    began = time.monotonic()
    assert interrupted(code, slow_module) == (0, 'importing\nimported\ninterrupted\n')
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize('guard', [loading, patient_interrupts])
def test_handlers_come_back_and_other_threads_change_none(
    guard: Callable[[], AbstractContextManager[None]],
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with guard():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
    seen: list[object] = []

    def elsewhere() -> None:
        with guard():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def memory_group(
    folder: Path, limit: str, used: int, cached: int, *, is_old: bool = False
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
    limits, uses, cache = names if is_old else ('memory.max', 'memory.current', 'inactive_file')
    (folder / limits).write_text(f'{limit}\n')
    (folder / uses).write_text(f'{used}\n')
    (folder / 'memory.stat').write_text(f'anon 5\n{cache} {cached}\n')


@pytest.mark.parametrize('is_old', [False, True])
def test_the_tightest_control_group_says_what_memory_is_left(tmp_path: Path, is_old: bool) -> None:
    own, root = tmp_path / 'own', tmp_path / 'cgroup'
    own.write_text('8:pids:/x\n' + ('4:memory:/a/b\n' if is_old else '0::/a/b\n'))
    mount = root / 'memory' if is_old else root
    no_limit = str(2**63 - 4096) if is_old else 'max'
    assert free_in_group(root, own) is None
    memory_group(mount, no_limit, 10, 0, is_old=is_old)
    assert free_in_group(root, own) is None
    memory_group(mount / 'a', '5000', 3000, 500, is_old=is_old)
    assert free_in_group(root, own) == 2500
    memory_group(mount / 'a' / 'b', '4000', 3000, 200, is_old=is_old)
    assert free_in_group(root, own) == 1200
    assert limit_of_group(root, own) == 4000
    memory_group(mount / 'a' / 'b', '4000', 4100, 0, is_old=is_old)
    assert free_in_group(root, own) == 0
    # In a container the group's own folder is the mount.
    own.write_text('nonsense\n')
    memory_group(mount, '9000', 1000, 0, is_old=is_old)
    assert free_in_group(root, own) == 8000


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert free_in_group(tmp_path / 'none', tmp_path / 'nothing') is None
    assert limit_of_group(tmp_path / 'none', tmp_path / 'nothing') is None
