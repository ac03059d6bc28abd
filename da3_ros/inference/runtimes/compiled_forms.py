"""Compiled forms of graphs: what a runtime need not compile again.

A form is a file `GRAPH.RUNTIME-KEY`: a hash of its content, then the content. The key says all
that it was made from, by what and for which processor. One that is not whole is never used; the
graph is compiled again, and the new form takes its place.

Forms lie in the cache of engines only: beside the graphs of an engine that is kept there, for all
others in `compiled` next to `engines`. What somebody else has put into a folder is never read as
one: metadata vouch for graphs, and for no form, and a hash does not say who made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
import hashlib
import mmap
import os
from pathlib import Path
import platform
import shutil
import threading
from typing import cast

from da3_ros.errors import CheckpointError
from da3_ros.foreign import open_regular
from da3_ros.inference.runtimes.engine_files import SCRATCH_PREFIX
from da3_ros.inference.runtimes.engine_store import engines_root

MAX_FORMS = 4
"""Of one graph: number formats and numbers of threads have one each. Older ones make place."""

MAX_OTHER_FORMS = 64
"""Of all graphs outside the cache, some megabytes each. Older ones make place."""

_OTHERS_NAME = 'compiled'
_HEADER_BYTES = 64
"""Before the content, which so is aligned as a map of the file is."""

_CPU_INFO = Path('/proc/cpuinfo')
_CPU_INFO_BYTES = 1 << 13


class CompiledForm:
    """Where the compiled form of a graph is kept.

    Args:
        graph: file of the graph.
        runtime: what compiles it.
        made_of: all that the form depends on, the content of the graph and its weights among it.
    """

    def __init__(self, graph: Path, runtime: str, made_of: Sequence[str]) -> None:
        key = hashlib.sha256('\n'.join(made_of).encode()).hexdigest()[:20]
        root = _root()
        is_kept = root is not None and _is_same(graph.parent.parent, root)
        folder = graph.parent if is_kept else _others(root)
        self._path = None if folder is None else folder / f'{graph.stem}.{runtime}-{key}'
        self._alike = f'{graph.stem if is_kept else "*"}.{runtime}-*'
        self._max_alike = MAX_FORMS if is_kept else MAX_OTHER_FORMS

    def read(self) -> memoryview | None:
        """Return the content, mapped from the file; None where no whole one is there.

        Changes to the map stay in it and never reach the file.
        """
        if self._path is None:
            return None
        try:
            with open_regular(self._path) as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError):
            return None
        view = memoryview(content)
        if bytes(view[:_HEADER_BYTES]) != _header(view[_HEADER_BYTES:]):
            return None
        with suppress(OSError):
            os.utime(self._path)
        return view[_HEADER_BYTES:]

    def write(self, content: bytes | memoryview) -> None:
        """Keep the content; where nothing can be written nothing is kept."""
        if self._path is None:
            return
        folder, prefix = self._path.parent, f'{SCRATCH_PREFIX}{self._path.name}.'
        scratch = folder / f'{prefix}{os.getpid()}-{threading.get_native_id()}'
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            # Of processes that were killed; one that writes it now keeps nothing then.
            for left in folder.glob(f'{prefix}*'):
                left.unlink(missing_ok=True)
            try:
                with scratch.open('xb') as file:
                    file.write(_header(content))
                    file.write(content)
                scratch.replace(self._path)
            finally:
                scratch.unlink(missing_ok=True)
            forms = sorted(folder.glob(self._alike), key=_used_ns)
            for old in forms[: -self._max_alike]:
                old.unlink(missing_ok=True)


def remove_other_forms() -> None:
    """Remove the forms of graphs outside the cache, as far as that is possible."""
    folder = _others(_root())
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _root() -> Path | None:
    """Return the folder of engines; None where nobody knows which it is."""
    try:
        return engines_root()
    except CheckpointError:
        return None


def _others(root: Path | None) -> Path | None:
    return None if root is None else root.with_name(_OTHERS_NAME)


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def let_go(content: memoryview) -> None:
    """Give the memory back that the content of a form takes; where it is needed it is read again.

    Args:
        content: as `CompiledForm.read` returns it, unchanged since.
    """
    form = cast('mmap.mmap', content.obj)
    if hasattr(mmap, 'MADV_DONTNEED'):
        form.madvise(mmap.MADV_DONTNEED)


def processor_name() -> str:
    """Return what tells processors apart that compiled forms may differ on: their features."""
    names = (platform.machine(), str(os.cpu_count()))
    with suppress(OSError), _CPU_INFO.open('rb') as file:
        # All cores of a machine say the same, and asking each of many takes time.
        for line in file.read(_CPU_INFO_BYTES).decode(errors='replace').splitlines():
            if line.startswith(('flags', 'Features')):
                return ' '.join((*names, line))
    return ' '.join((*names, platform.processor()))


def _header(content: bytes | memoryview) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _used_ns(path: Path) -> int:
    return path.stat().st_mtime_ns
