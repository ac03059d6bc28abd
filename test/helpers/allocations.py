"""Memory that is in use at a time, counted by Python's allocator and NumPy's."""

from __future__ import annotations

from collections.abc import Callable
import tracemalloc


def most_memory(work: Callable[[], object]) -> int:
    """Return how many bytes more than before were in use at any time, while something is done."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = work()
        _, most = tracemalloc.get_traced_memory()
        del kept
        return most - before
    finally:
        tracemalloc.stop()
