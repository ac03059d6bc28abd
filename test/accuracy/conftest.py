"""The weights that ship with the package, on scenes that they never saw."""

from collections.abc import Iterator

import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.model import chunks


@pytest.fixture(scope='package')
def nano() -> DepthAnything3:
    return DepthAnything3.from_pretrained('da3-nano')


# Not for longer than a module: other tests compare views that are computed one by one.
@pytest.fixture(scope='module', autouse=True)
def views_together() -> Iterator[None]:
    """Compute small views together, see `trainer.compute_views_together`."""
    before, chunks.SMALL_VIEW = chunks.SMALL_VIEW, 0
    yield
    chunks.SMALL_VIEW = before
