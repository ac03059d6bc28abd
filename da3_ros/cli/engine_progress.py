"""A bar for the seconds or minutes that an engine takes to be built."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class EngineBar:
    """Shows on a terminal how far an engine is, from its first step to its last.

    Args:
        title: what is built.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, step: str, done: int, total: int) -> None:
        """Show what is done now, how many steps are done, and of how many."""
        # While it is shown the stream is one of rich, which may say that it is no terminal.
        if self._progress is None and not sys.stderr.isatty():
            return
        if self._progress is None or self._task is None:
            if done >= total:
                return
            self._begin(total)
        assert self._progress is not None
        assert self._task is not None
        self._progress.update(self._task, description=step, completed=done, total=total)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar away; it may come again."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = None

    def _begin(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn(self._title, markup=False),
            BarColumn(),
            TextColumn('{task.description}', markup=False),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task('', total=total)
        self._progress.start()
