"""Training as the command runs it."""

import pytest

from da3_ros.model import chunks


@pytest.fixture(autouse=True)
def views_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute small views together, see `trainer.compute_views_together`."""
    monkeypatch.setattr(chunks, 'SMALL_VIEW', 0)
