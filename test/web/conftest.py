"""A drive through the world, and a viewer that shows it."""

from collections.abc import Iterator

import pytest

from da3_ros.types import WindowResult
from da3_ros.web.viewer import LiveViewer
from helpers.posed_results import drive
from helpers.watched_viewer import PLAIN, WORLD


@pytest.fixture(scope='module')
def results() -> list[WindowResult]:
    return drive(WORLD, 10)


@pytest.fixture
def viewer() -> Iterator[LiveViewer]:
    viewer = LiveViewer(settings=PLAIN, port=0, max_rate_hz=1000.0)
    viewer.start()
    yield viewer
    viewer.close()
