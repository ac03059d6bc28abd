"""Compiled forms of graphs, kept beside them: what a runtime need not compile again.

A form lies in the engine's folder as `GRAPH.RUNTIME-KEY`: a hash of its content, then the content.
The key says all that it was made from, by what and for which processor. One that is not whole is
never used; the graph is compiled again, and the new form takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
import hashlib
import mmap
import os
from pathlib import Path
import platform
from typing import cast

from da3_ros.foreign import open_regular

MAX_FORMS = 4
"""Of one graph: number formats and numbers of threads have one each. Older ones make place."""

_HEADER_BYTES = 64
"""Before the content, which so is aligned as a map of the file is."""

_CPU_INFO = Path('/proc/cpuinfo')
_CPU_INFO_BYTES = 1 << 13


class CompiledForm:
    """Where the compiled form of a graph is kept.

    Args:
        graph: file of the graph.
        runtime: what compiles it.
        made_of: all that the form depends on.
    """

    def __init__(self, graph: Path, runtime: str, made_of: Sequence[str]) -> None:
        key = hashlib.sha256('\n'.join(made_of).encode()).hexdigest()[:20]
        self._path = graph.with_name(f'{graph.stem}.{runtime}-{key}')
        self._others = f'{graph.stem}.{runtime}-*'

    def read(self) -> memoryview | None:
        """Return the content, mapped from the file; None where no whole one is there.

        Changes to the map stay in it and never reach the file.
        """
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
        scratch = self._path.with_name(f'.scratch-{self._path.name}.{os.getpid()}')
        try:
            with scratch.open('wb') as file:
                file.write(_header(content))
                file.write(content)
            scratch.replace(self._path)
        except OSError:
            with suppress(OSError):
                scratch.unlink()
            return
        with suppress(OSError):
            forms = sorted(self._path.parent.glob(self._others), key=_used_ns)
            for old in forms[:-MAX_FORMS]:
                old.unlink(missing_ok=True)


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
