"""With how many threads tests of networks compute."""

from collections.abc import Iterator
from contextlib import contextmanager
import os

import torch

THREADS = int(os.environ.get('DA3_TEST_THREADS', '1'))
"""One: many small operations only wait for one another with more. `make test-cpus` says two."""


@contextmanager
def computing_threads() -> Iterator[None]:
    """Compute with `THREADS` threads while the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)
