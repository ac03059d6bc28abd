"""What the programs of this package settle before anything else is loaded: threads and Ctrl-C.

Only entry points call this. The Python API leaves its host process as it is.

Libraries read how many threads they may use, and how these wait, from the environment at the
moment they are loaded. OpenMP threads of torch wait busily by default: beside other programs they
then hold the very cores that the rest of the work needs (GCC, libgomp manual, GOMP_SPINCOUNT).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
import os
from pathlib import Path
import re
import signal
import sys
import threading
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

READY = 'ready'
"""The word by which a program says that it works now, in a line of its own or of its log."""

_SETTLED = 'DA3_ROS_SETTLED_THREADS'
_IMPORT_PAUSE_S = 0.05
# More than any machine has: so the older control groups say that there is no limit.
_NO_LIMIT = 1 << 60
_CPUS = Path('/sys/devices/system/cpu')
_CGROUP = Path('/sys/fs/cgroup')
_OWN_GROUPS = Path('/proc/self/cgroup')


def says_ready(line: str) -> bool:
    """Return whether a program said `READY` with this line of its output."""
    return re.search(rf'\b{READY}\b', line) is not None


def usable_cores(cpus: Path = _CPUS, cgroup: Path = _CGROUP) -> int:
    """Return how many cores this process can compute on at once, at least one.

    Counted are the cores it may run on, hyper-threads of one core once, and no more than the
    share of time that its control group gets (a container's `--cpus`).

    Args:
        cpus: where the kernel describes the cores.
        cgroup: where the control group of a container is mounted.
    """
    allowed = _allowed_cpus()
    siblings = set()
    for cpu in allowed:
        try:
            text = (cpus / f'cpu{cpu}' / 'topology' / 'thread_siblings_list').read_text()
        except OSError:
            text = str(cpu)
        siblings.add(text.strip())
    cores = max(1, len(siblings))
    quota = _quota(cgroup)
    return cores if quota is None else max(1, min(cores, int(quota)))


def _allowed_cpus() -> set[int]:
    if hasattr(os, 'sched_getaffinity'):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _quota(cgroup: Path) -> float | None:
    """Return the cores' worth of time that the control group may use; None for all of it."""
    try:
        # Version 2, then version 1.
        if (cgroup / 'cpu.max').is_file():
            limit, period = (cgroup / 'cpu.max').read_text().split()
        else:
            limit = (cgroup / 'cpu' / 'cpu.cfs_quota_us').read_text().strip()
            period = (cgroup / 'cpu' / 'cpu.cfs_period_us').read_text()
        return None if limit in ('max', '-1') else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def free_in_group(cgroup: Path = _CGROUP, own: Path = _OWN_GROUPS) -> int | None:
    """Return the bytes of memory that the control groups of this process leave to it.

    A container's `--memory` is such a limit, beside what the whole machine has free.

    Args:
        cgroup: where the control groups are mounted.
        own: where the kernel says in which ones this process is.

    Returns:
        The bytes, None where there is no limit.
    """
    free = [_free_in(folder) for folder in _memory_groups(cgroup, own)]
    return min((count for count in free if count is not None), default=None)


def limit_of_group(cgroup: Path = _CGROUP, own: Path = _OWN_GROUPS) -> int | None:
    """Return the bytes of memory that the control groups of this process may use in all.

    Args:
        cgroup: where the control groups are mounted.
        own: where the kernel says in which ones this process is.

    Returns:
        The bytes, None where there is no limit.
    """
    limits = [
        _limit_in(folder / name)
        for folder in _memory_groups(cgroup, own)
        for name in ('memory.max', 'memory.limit_in_bytes')
    ]
    return min((count for count in limits if count is not None), default=None)


def _memory_groups(cgroup: Path, own: Path) -> list[Path]:
    """Return the folders of the groups that limit memory, up to the outermost that is visible."""
    try:
        lines = [line.split(':', 2) for line in own.read_text().splitlines()]
    except OSError:
        lines = []
    # Version 2, then version 1.
    mounts = {'': cgroup, 'memory': cgroup / 'memory'}
    groups = [*mounts.values()]
    for _, controllers, path in (parts for parts in lines if len(parts) == 3):
        if controllers in mounts:
            inner = mounts[controllers] / path.strip('/')
            groups += [inner, *(p for p in inner.parents if mounts[controllers] in p.parents)]
    return list(dict.fromkeys(groups))


def _free_in(group: Path) -> int | None:
    for limit, used, cache in (
        ('memory.max', 'memory.current', 'inactive_file'),
        ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
    ):
        if (group / limit).is_file():
            return _left(group / limit, group / used, group / 'memory.stat', cache)
    return None


def _limit_in(limit: Path) -> int | None:
    try:
        text = limit.read_text().strip()
        return None if text == 'max' or int(text) >= _NO_LIMIT else int(text)
    except (OSError, ValueError):
        return None


def _left(limit: Path, used: Path, stat: Path, cache: str) -> int | None:
    most = _limit_in(limit)
    if most is None:
        return None
    try:
        entries = dict(line.split() for line in stat.read_text().splitlines())
        # Files that were read are forgotten when memory is needed.
        return max(0, most - int(used.read_text()) + int(entries[cache]))
    except (OSError, ValueError, KeyError):
        return None


def node_threads(cores: int) -> int:
    """Return how many threads a node computes with: one core is left to images and messages."""
    return max(1, cores - 1)


def settle_threads(
    count: int | None = None, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Choose threads for the libraries that are not loaded yet. What the user has set stays.

    Args:
        count: threads of the network; None for one per core.
        environment: variables of this process.
    """
    environment.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    given = environment.get('OMP_NUM_THREADS')
    if given is not None and given != environment.get(_SETTLED):
        return
    # Programs that this one starts take the number as settled, not as the user's.
    environment['OMP_NUM_THREADS'] = environment[_SETTLED] = str(count or usable_cores())
    # NumPy's products here are of small matrices, which threads only make slower; those of
    # OpenBLAS wait busily, whatever the settings of OpenMP are.
    environment.setdefault('OPENBLAS_NUM_THREADS', '1')


def skip_converters() -> None:
    """Let OpenVINO be loaded without its converters of models, which no program here uses.

    They are two thirds of the time that it takes to load, and bring a client of a service that
    counts uses. OpenVINO itself goes on where they cannot be imported.
    """
    if 'openvino' not in sys.modules:
        sys.modules['openvino.tools.ovc'] = None  # type: ignore[assignment]


_own_threads: int | None = None
_graph_threads: int | None = None


def set_threads(count: int) -> None:
    """Let torch compute with so many threads.

    Args:
        count: threads; 0 for as many as before this was called first.
    """
    global _own_threads
    if count == 0 and _own_threads is None:
        return
    import torch

    if _own_threads is None:
        _own_threads = torch.get_num_threads()
    torch.set_num_threads(count or _own_threads)


def choose_graph_threads(count: int, environment: Mapping[str, str] = os.environ) -> int | None:
    """Choose how many threads a network over compiled graphs computes with.

    Args:
        count: of the option; 0 for what the environment says to OpenMP, which others do not read.
        environment: variables of this process.

    Returns:
        The number; None for as many as the runtime chooses.
    """
    global _graph_threads
    first = environment.get('OMP_NUM_THREADS', '').split(',')[0].strip()
    if count == 0 and first.isascii() and first.isdigit():
        count = int(first)
    _graph_threads = count or None
    return _graph_threads


def threads_in_use() -> int | None:
    """Return how many threads the network computes with; None where that is not known."""
    count = found_in_torch('get_num_threads')
    return _graph_threads if count is None else int(count())


def found_in_torch(path: str) -> Any:
    """Return what torch has under a dotted name; None where nothing loaded torch, or not so far.

    While one thread imports a module, others find it in `sys.modules` without most of its content.
    """
    found: Any = sys.modules.get('torch')
    for name in path.split('.'):
        if not hasattr(found, name):
            return None
        found = getattr(found, name)
    return found


@contextmanager
def handling(
    number: signal.Signals, handler: signal.Handlers | Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    """Handle a signal in another way while the block runs.

    Only the main thread may choose, and only there signals arrive: elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def loading() -> AbstractContextManager[None]:
    """Let Ctrl-C end this process at once and without a trace, while its modules are loaded."""
    return handling(signal.SIGINT, signal.SIG_DFL)


def patient_interrupts() -> AbstractContextManager[None]:
    """Raise KeyboardInterrupt on Ctrl-C, but never within an import.

    Libraries catch what comes while they are loaded and go on with half of their modules: the
    error that follows names neither the place nor the reason.
    """
    return handling(signal.SIGINT, _interrupt)


def deaf() -> None:
    """Ignore Ctrl-C from now on: the work is done, and only the interpreter has still to end."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _is_importing(frame):
        raise KeyboardInterrupt
    again = threading.Timer(_IMPORT_PAUSE_S, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith('<frozen importlib'):
            return True
        frame = frame.f_back
    return False
